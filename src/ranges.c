/*-------------------------------------------------------------------------
 * ranges.c
 *	  The ranges that a scan reads, one after the other.
 *
 * An odometer over the columns: at a column with points each point is one
 * alternative, behind which the next column begins anew.  The first column
 * without points ends the way down with a range.  Where a row comparison is
 * still undecided there, two alternatives are left: the rows that equal its
 * value, for which the next column decides, and those beyond.  Alternatives
 * are taken in the scan's direction, so that all ranges together are in the
 * order of (key, ts), and nothing is kept but the place in each column.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "ranges.h"

/* ------------------------------------------------------------- key bounds */

/* Bounds of a key, from what is said about the column where they end. */
typedef struct KeyRange
{
	FlowKeyBound lo;
	FlowKeyBound hi;
} KeyRange;

static int
compare_bytes(const void *a, Size a_len, const void *b, Size b_len)
{
	int c = memcmp(a, b, Min(a_len, b_len));

	if (c != 0)
		return c;
	return a_len < b_len ? -1 : a_len > b_len;
}

/* No key is longer than FLOW_MAX_KEY: a longer bound can be cut. */
static void
tighten_lo(KeyRange *b, const void *key, Size len, bool inclusive)
{
	FlowKeyBound *lo = &b->lo;
	int c;

	if (len > FLOW_MAX_KEY)
	{
		len = FLOW_MAX_KEY;
		inclusive = false;
	}
	c = lo->kind == FLOW_OPEN ? 1
							  : compare_bytes(key, len, lo->key, lo->key_bytes);
	if (c > 0 || (c == 0 && !inclusive))
		*lo = (FlowKeyBound){inclusive ? FLOW_INCLUSIVE : FLOW_EXCLUSIVE, key,
							 len};
}

static void
tighten_hi(KeyRange *b, const void *key, Size len, bool inclusive)
{
	FlowKeyBound *hi = &b->hi;
	int c;

	if (len > FLOW_MAX_KEY)
	{
		len = FLOW_MAX_KEY;
		inclusive = true;
	}
	c = hi->kind == FLOW_OPEN ? -1
							  : compare_bytes(key, len, hi->key, hi->key_bytes);
	if (c < 0 || (c == 0 && !inclusive))
		*hi = (FlowKeyBound){inclusive ? FLOW_INCLUSIVE : FLOW_EXCLUSIVE, key,
							 len};
}

/* Every key that begins with these bytes: [p, succ(p)). */
static void
tighten_prefix(KeyRange *b, const void *p, Size len)
{
	FlowKeyBound lo;
	FlowKeyBound hi;

	flow_prefix_bounds(p, len, &lo, &hi, palloc(Max(len, 1)));
	tighten_lo(b, p, len, true);
	if (hi.kind != FLOW_OPEN)
		tighten_hi(b, hi.key, hi.key_bytes, false);
}

/* Every key behind all that begin with these bytes; there may be none. */
static bool
tighten_behind(KeyRange *b, const void *p, Size len)
{
	FlowKeyBound lo;
	FlowKeyBound hi;

	flow_prefix_bounds(p, len, &lo, &hi, palloc(Max(len, 1)));
	if (hi.kind == FLOW_OPEN)
		return false;
	tighten_lo(b, hi.key, hi.key_bytes, true);
	return true;
}

/* Every key that begins with these bytes, or is before those. */
static void
tighten_upto(KeyRange *b, const void *p, Size len)
{
	FlowKeyBound lo;
	FlowKeyBound hi;

	flow_prefix_bounds(p, len, &lo, &hi, palloc(Max(len, 1)));
	if (hi.kind != FLOW_OPEN)
		tighten_hi(b, hi.key, hi.key_bytes, false);
}

/*
 * One condition: key is what the columns before and its value encode to.  In
 * the last column that is a whole key, else the beginning of keys.  False: no
 * key can meet it.
 */
static bool
tighten(KeyRange *b, FlowdbQualOp op, const void *key, Size len, bool whole)
{
	switch (op)
	{
		case FLOWDB_OP_PREFIX:
			tighten_prefix(b, key, len);
			return len <= FLOW_MAX_KEY;
		case FLOWDB_OP_LT:
			tighten_hi(b, key, len, false);
			return true;
		case FLOWDB_OP_LE:
			if (whole)
				tighten_hi(b, key, len, true);
			else
				tighten_upto(b, key, len);
			return true;
		case FLOWDB_OP_GT:
			if (!whole)
				return tighten_behind(b, key, len);
			tighten_lo(b, key, len, false);
			return true;
		case FLOWDB_OP_GE:
			tighten_lo(b, key, len, true);
			return true;
		default:
			elog(ERROR, "unexpected operator %d of a FlowDB bound", (int) op);
	}
}

/* The key so far and a value behind it, in new memory. */
static char *
join_part(const FlowdbRanges *r, const FlowdbPart *part)
{
	char *key = palloc((Size) r->key.len + part->len + 1);

	memcpy(key, r->key.data, (Size) r->key.len);
	memcpy(key + r->key.len, part->data, part->len);
	return key;
}

static bool
tighten_part(const FlowdbRanges *r, KeyRange *b, int column, FlowdbQualOp op,
			 const FlowdbPart *part)
{
	return tighten(b, op, join_part(r, part), (Size) r->key.len + part->len,
				   column == r->table->nkeys - 1);
}

/* ---------------------------------------------------------------- columns */

/* Is the row comparison undecided before this column, and about it? */
static bool
row_asks(const FlowdbRanges *r, int column)
{
	return r->levels[column].tight && column >= r->row.first;
}

/* Begin with a column: how many alternatives has it? */
static void
enter(FlowdbRanges *r, int column, bool tight)
{
	FlowdbLevel *level = &r->levels[column];
	bool time = column == r->table->nkeys;

	level->at = 0;
	level->tight = tight;
	level->used = (uint32) r->key.len;
	if (time)
		level->n = r->time.has_points ? r->time.npoints : 1;
	else if (r->keys[column].has_points)
		level->n = r->keys[column].npoints;
	else
		level->n = row_asks(r, column) && column < r->row.last ? 2 : 1;
	r->depth = column;
}

/*
 * What the row comparison says about a value of a column before its end, or
 * at it: c is how the value compares with the row's.  False: no row; else
 * *tightp: the next column decides.
 */
static bool
row_allows(const FlowdbRowValues *row, int column, int c, bool *tightp)
{
	*tightp = false;
	if (column == row->last)
		switch (row->op)
		{
			case FLOWDB_OP_LT:
				return c < 0;
			case FLOWDB_OP_LE:
				return c <= 0;
			case FLOWDB_OP_GE:
				return c >= 0;
			default:
				return c > 0;
		}
	*tightp = c == 0;
	return c == 0 || (c > 0) == row->above;
}

/* Take a value of a key column, and go on with the next one. */
static void
descend(FlowdbRanges *r, int column, const FlowdbPart *part)
{
	bool tight = r->levels[column].tight;

	if (row_asks(r, column) &&
		!row_allows(&r->row, column,
					flowdb_part_cmp(part, &r->row.parts[column]), &tight))
		return;
	appendBinaryStringInfo(&r->key, (const char *) part->data, (int) part->len);
	enter(r, column + 1, tight);
}

/* A row's value at a column without points, if the clauses there allow it. */
static void
descend_row(FlowdbRanges *r, int column)
{
	const FlowdbKeyValues *k = &r->keys[column];
	const FlowdbPart *part = &r->row.parts[column];

	for (int c = 0; c < k->nconds; c++)
		if (!flowdb_cond_holds(&k->conds[c], part))
			return;
	descend(r, column, part);
}

/* ----------------------------------------------------------------- ranges */

static void
set_times(const FlowdbRanges *r, FlowScanSpec *spec, int64 lo, int64 hi)
{
	spec->ts_lo = (FlowTimeBound){FLOW_OPEN, 0};
	spec->ts_hi = (FlowTimeBound){FLOW_OPEN, 0};
	if (lo != PG_INT64_MIN)
		spec->ts_lo = (FlowTimeBound){FLOW_INCLUSIVE, lo};
	if (hi != PG_INT64_MAX)
		spec->ts_hi = (FlowTimeBound){FLOW_INCLUSIVE, hi};
}

/* Copy a bound into memory that stays until the next range. */
static FlowKeyBound
keep_bound(StringInfo buf, const FlowKeyBound *bound)
{
	FlowKeyBound kept = *bound;

	resetStringInfo(buf);
	if (bound->kind == FLOW_OPEN)
		return kept;
	appendBinaryStringInfo(buf, bound->key, (int) bound->key_bytes);
	kept.key = buf->data;
	return kept;
}

/* Keys that begin as r->key does and meet what is said about the column.
 * False: there are none. */
static bool
key_range(const FlowdbRanges *r, int column, KeyRange *b)
{
	const FlowdbKeyValues *k = &r->keys[column];
	const FlowdbRowValues *row = &r->row;

	if (r->key.len > 0)
		tighten_prefix(b, r->key.data, (Size) r->key.len);
	for (int c = 0; c < k->nconds; c++)
		if (!tighten_part(r, b, column, k->conds[c].op, &k->conds[c].part))
			return false;
	if (!row_asks(r, column))
		return true;
	return tighten_part(r, b, column,
						column == row->last ? row->op
						: row->above		? FLOWDB_OP_GT
											: FLOWDB_OP_LT,
						&row->parts[column]);
}

/* The range of keys that ends the way down at this column. */
static bool
emit_keys(FlowdbRanges *r, int column, FlowScanSpec *spec)
{
	MemoryContext scratch = AllocSetContextCreate(
		CurrentMemoryContext, "FlowDB key range", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	KeyRange b = {{FLOW_OPEN, NULL, 0}, {FLOW_OPEN, NULL, 0}};
	bool any = key_range(r, column, &b);

	MemoryContextSwitchTo(old);
	if (any)
	{
		spec->key_lo = keep_bound(&r->lo, &b.lo);
		spec->key_hi = keep_bound(&r->hi, &b.hi);
		set_times(r, spec, r->time.lo, r->time.hi);
	}
	MemoryContextDelete(scratch);
	return any;
}

/* One key and a range of times, or one time. */
static bool
emit_times(FlowdbRanges *r, int i, FlowScanSpec *spec, bool *pointp)
{
	const FlowdbRowValues *row = &r->row;
	int64 lo = r->time.has_points ? r->time.points[i] : r->time.lo;
	int64 hi = r->time.has_points ? r->time.points[i] : r->time.hi;

	if (row_asks(r, r->table->nkeys))
	{
		if (row->op == FLOWDB_OP_LT || row->op == FLOWDB_OP_LE)
		{
			if (row->op == FLOWDB_OP_LT && row->ts == PG_INT64_MIN)
				return false;
			hi = Min(hi, row->ts - (row->op == FLOWDB_OP_LT));
		}
		else
		{
			if (row->op == FLOWDB_OP_GT && row->ts == PG_INT64_MAX)
				return false;
			lo = Max(lo, row->ts + (row->op == FLOWDB_OP_GT));
		}
	}
	if (lo > hi || r->key.len > (int) FLOW_MAX_KEY)
		return false;
	spec->key_lo =
		(FlowKeyBound){FLOW_INCLUSIVE, r->key.data, (size_t) r->key.len};
	spec->key_hi = spec->key_lo;
	set_times(r, spec, lo, hi);
	*pointp = lo == hi;
	if (*pointp)
	{
		spec->ts_lo = (FlowTimeBound){FLOW_INCLUSIVE, lo};
		spec->ts_hi = spec->ts_lo;
	}
	return true;
}

/* Take alternative i of the column where the walk stands. */
static bool
take(FlowdbRanges *r, int column, int i, FlowScanSpec *spec, bool *pointp)
{
	if (column == r->table->nkeys)
		return emit_times(r, i, spec, pointp);
	if (r->keys[column].has_points)
	{
		descend(r, column, &r->keys[column].points[i]);
		return false;
	}
	/* of a row's two, the rows that equal it come first when the others are
	 * above */
	if (r->levels[column].n == 2 && (i == 0) == r->row.above)
	{
		descend_row(r, column);
		return false;
	}
	return emit_keys(r, column, spec);
}

void
flowdb_ranges_rewind(FlowdbRanges *r)
{
	resetStringInfo(&r->key);
	enter(r, 0, r->row.exists);
}

bool
flowdb_ranges_next(FlowdbRanges *r, FlowScanSpec *spec, bool *pointp)
{
	*pointp = false;
	while (r->depth >= 0)
	{
		int column = r->depth;
		FlowdbLevel *level = &r->levels[column];
		int i;

		CHECK_FOR_INTERRUPTS();
		if (level->at >= level->n)
		{
			r->depth--;
			continue;
		}
		i = level->at++;
		if (r->reverse)
			i = level->n - 1 - i;
		r->key.len = (int) level->used;
		if (take(r, column, i, spec, pointp))
			return true;
	}
	return false;
}

double
flowdb_ranges_most(const FlowdbRanges *r)
{
	double n = r->row.exists ? r->row.last - r->row.first + 1 : 1;

	for (int column = 0; column < r->table->nkeys; column++)
	{
		if (!r->keys[column].has_points)
			return n;
		n *= r->keys[column].npoints;
	}
	return r->time.has_points ? n * r->time.npoints : n;
}
