/*-------------------------------------------------------------------------
 * pushlike.c
 *	  Clauses that ask how a text or bytea key begins.
 *
 * A prefix is a range of bytes under any deterministic collation.  Of a
 * pattern that is known, the planner makes an equality or a prefix, which is
 * exact when nothing but one "%" follows; of one that is not, the scan takes
 * its beginning, and the executor checks again.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"

#include "pushdown.h"

/* The contract is at the declaration. */
bool
flowdb_like_prefix(const char *pattern, Size len, StringInfo prefix,
				   bool *wildcardp, bool *restp)
{
	const char *p = pattern;
	const char *end = p + len;

	*wildcardp = false;
	*restp = false;
	for (; p < end; p++)
	{
		if (*p == '%' || *p == '_')
		{
			*wildcardp = true;
			*restp = *p == '_' || p + 1 < end;
			return true;
		}
		if (*p == '\\' && ++p == end)
			return false;
		appendStringInfoCharMacro(prefix, *p);
	}
	return true;
}

/* A Const of the column's type that holds these bytes. */
static Const *
bytes_const(const Const *like, StringInfo bytes)
{
	bytea *v = palloc(VARHDRSZ + (Size) bytes->len);

	SET_VARSIZE(v, VARHDRSZ + (Size) bytes->len);
	memcpy(VARDATA(v), bytes->data, (Size) bytes->len);
	return makeConst(like->consttype, -1, like->constcollid, -1,
					 PointerGetDatum(v), false, false);
}

/* The pattern is known: make of it what it is. */
static bool
match_pattern(Const *pattern, int target, FlowdbQual *qual)
{
	struct varlena *v;
	StringInfoData prefix;
	bool wildcard;
	bool rest;

	if (pattern->constisnull)
		return false;
	v = PG_DETOAST_DATUM_PACKED(pattern->constvalue);
	initStringInfo(&prefix);
	if (!flowdb_like_prefix(VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v), &prefix,
							&wildcard, &rest) ||
		(wildcard && prefix.len == 0))
		return false;
	flowdb_match_set(qual, target, wildcard ? FLOWDB_OP_PREFIX : FLOWDB_OP_EQ,
					 (Node *) bytes_const(pattern, &prefix),
					 pattern->consttype);
	qual->exact = !rest;
	return true;
}

/* Is the target a key column of text (or bytea) whose beginning is bytes? */
static bool
is_bytes(FlowdbMatch *m, int target, FlowdbKeyType type, Oid collation)
{
	if (target < 0 || m->table->keys[target].type != type)
		return false;
	if (type == FLOWDB_KEY_TEXT && !OidIsValid(collation))
		return false;
	if (type == FLOWDB_KEY_TEXT && !get_collation_isdeterministic(collation))
	{
		m->collation = true;
		return false;
	}
	return true;
}

bool
flowdb_match_like(FlowdbMatch *m, OpExpr *op, FlowdbQual *qual)
{
	bool text = op->opno == OID_TEXT_LIKE_OP;
	int target = flowdb_match_target(m, linitial(op->args));
	Node *pattern = lsecond(op->args);

	if (!flowdb_match_constant(m, pattern) ||
		!is_bytes(m, target, text ? FLOWDB_KEY_TEXT : FLOWDB_KEY_BYTEA,
				  op->inputcollid))
		return false;
	if (IsA(pattern, Const))
		return match_pattern((Const *) pattern, target, qual);
	flowdb_match_set(qual, target, FLOWDB_OP_LIKE, pattern,
					 text ? TEXTOID : BYTEAOID);
	qual->exact = false;
	return true;
}

bool
flowdb_match_starts_with(FlowdbMatch *m, Node *column, Node *value,
						 Oid collation, FlowdbQual *qual)
{
	int target = flowdb_match_target(m, column);

	if (!flowdb_match_constant(m, value) ||
		!is_bytes(m, target, FLOWDB_KEY_TEXT, collation))
		return false;
	flowdb_match_set(qual, target, FLOWDB_OP_PREFIX, value, TEXTOID);
	return true;
}
