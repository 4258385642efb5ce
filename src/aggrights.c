/*-------------------------------------------------------------------------
 * aggrights.c
 *	  Rights to the functions that the engine does the work of.
 *
 * In other plans the executor asks for them when it prepares expressions; here
 * no expression of those functions is left.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "agg.h"
#include "compat.h"

void
flowdb_agg_check_execute(Oid function)
{
	AclResult acl = flowdb_may_execute(function);

	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FUNCTION, get_func_name(function));
}

static bool
check_clause(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr))
		flowdb_agg_check_execute(((FuncExpr *) node)->funcid);
	else if (IsA(node, OpExpr) || IsA(node, DistinctExpr) ||
			 IsA(node, NullIfExpr))
	{
		set_opfuncid((OpExpr *) node);
		flowdb_agg_check_execute(((OpExpr *) node)->opfuncid);
	}
	else if (IsA(node, ScalarArrayOpExpr))
	{
		set_sa_opfuncid((ScalarArrayOpExpr *) node);
		flowdb_agg_check_execute(((ScalarArrayOpExpr *) node)->opfuncid);
	}
	return expression_tree_walker(node, check_clause, context);
}

void
flowdb_agg_check_clauses(List *clauses)
{
	(void) check_clause((Node *) clauses, NULL);
}
