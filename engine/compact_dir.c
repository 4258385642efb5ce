/*-------------------------------------------------------------------------
 * compact_dir.c
 *	  The directory of a merge's output: whose sequences are in it.
 *
 * An entry may reach over sequences of others, as long as its own file has
 * no rows of theirs (flush.c).  Two files of one store come from different
 * memtables, so their entries never meet; but after a restored backup redo
 * can have cut the memtables otherwise than before, and then an entry of one
 * input may lie over rows of another.  In one directory it must not.  So
 * each row under a foreign entry is noted as a point, with the entry that
 * it really has, or none; entries are cut where they overlap, and around the
 * points.  Where entries overlap without a point there is no row.
 *-------------------------------------------------------------------------
 */
#include "compact_dir.h"

#include <stdlib.h>

#define SETTLED UINT32_MAX /* input of a point without an entry */

/* A row under a foreign entry. */
typedef struct Point
{
	uint64_t seq;
	uint32_t input;
	uint32_t entry;
} Point;

/* ----------------------------------------------------------------- notes */

static FlowStatus
init_input(FlowEnv *env, FlowMergeDirInput *in, FlowSst *sst)
{
	*in = (FlowMergeDirInput){.sst = sst, .lo = UINT64_MAX};
	if (atomic_load(&sst->unsettled) == 0)
		return FLOW_OK;
	in->used = env->alloc(env, sst->ntxns);
	if (in->used == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(in->used, 0, sst->ntxns);
	in->lo = sst->txns[0].seq_first;
	in->hi = sst->txns[sst->ntxns - 1].seq_last;
	return FLOW_OK;
}

FlowStatus
flowi_mergedir_init(FlowMergeDir *dir, FlowEnv *env, FlowSst *const *inputs,
					uint32_t n)
{
	*dir = (FlowMergeDir){.env = env};
	flowi_buf_init(&dir->points, env);
	dir->inputs = env->alloc(env, FLOW_MAX(n, 1) * sizeof(*dir->inputs));
	if (dir->inputs == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (; dir->n < n; dir->n++)
		FLOW_TRY(init_input(env, &dir->inputs[dir->n], inputs[dir->n]));
	return FLOW_OK;
}

void
flowi_mergedir_free(FlowMergeDir *dir)
{
	if (dir->env == NULL)
		return;
	for (uint32_t i = 0; i < dir->n; i++)
		dir->env->free(dir->env, dir->inputs[i].used);
	dir->env->free(dir->env, dir->inputs);
	flowi_buf_free(&dir->points);
	*dir = (FlowMergeDir){0};
}

static bool
is_same_txn(const FlowTxn *a, const FlowTxn *b)
{
	return a && b && a->xid == b->xid && a->cid == b->cid;
}

FlowStatus
flowi_mergedir_note(FlowMergeDir *dir, uint32_t input, const FlowTxn *txn,
					uint64_t seq)
{
	const FlowMergeDirInput *own = &dir->inputs[input];
	Point point = {.seq = seq, .input = SETTLED};
	bool foreign = false;

	if (txn != NULL)
	{
		point.input = input;
		point.entry = (uint32_t) (txn - own->sst->txns);
		own->used[point.entry] = 1;
	}
	for (uint32_t i = 0; i < dir->n && !foreign; i++)
	{
		const FlowMergeDirInput *in = &dir->inputs[i];
		const FlowTxn *other;

		if (seq < in->lo || seq > in->hi || i == input)
			continue;
		other = flowi_version_find_txn(in->sst, seq);
		foreign = other != NULL && !is_same_txn(other, txn);
	}
	return foreign ? flowi_buf_append(&dir->points, &point, sizeof(point))
				   : FLOW_OK;
}

/* --------------------------------------------------------------- flatten */

/* Entries and points on their way to pieces; private. */
typedef struct Flatten
{
	const FlowMergeDir *dir;
	FlowMergeTxn *entries; /* used ones, by seq_first */
	uint32_t n;
	const Point *points; /* sorted, each sequence once */
	uint32_t npoints;
	FlowMergeTxn *pieces;
	uint32_t npieces;
} Flatten;

static int
entry_cmp(const void *pa, const void *pb)
{
	const FlowMergeTxn *a = pa;
	const FlowMergeTxn *b = pb;

	if (a->seq_first != b->seq_first)
		return a->seq_first < b->seq_first ? -1 : 1;
	return (a->seq_last < b->seq_last) - (a->seq_last > b->seq_last);
}

static int
point_cmp(const void *pa, const void *pb)
{
	const Point *a = pa;
	const Point *b = pb;

	return (a->seq > b->seq) - (a->seq < b->seq);
}

static int
cut_cmp(const void *pa, const void *pb)
{
	const uint64_t *a = pa;
	const uint64_t *b = pb;

	return (*a > *b) - (*a < *b);
}

static const FlowTxn *
txn_of(const FlowMergeDir *dir, const FlowMergeTxn *t)
{
	return &dir->inputs[t->input].sst->txns[t->entry];
}

/* The used entries, sorted. */
static FlowStatus
gather_entries(Flatten *fl)
{
	const FlowMergeDir *dir = fl->dir;
	uint32_t n = 0;

	for (uint32_t i = 0; i < dir->n; i++)
		for (uint32_t e = 0;
			 dir->inputs[i].used && e < dir->inputs[i].sst->ntxns; e++)
			n += dir->inputs[i].used[e];
	fl->entries =
		dir->env->alloc(dir->env, FLOW_MAX(n, 1) * sizeof(*fl->entries));
	if (fl->entries == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = 0; i < dir->n; i++)
	{
		const FlowMergeDirInput *in = &dir->inputs[i];

		for (uint32_t e = 0; in->used && e < in->sst->ntxns; e++)
		{
			if (in->used[e])
				fl->entries[fl->n++] =
					(FlowMergeTxn){.seq_first = in->sst->txns[e].seq_first,
								   .seq_last = in->sst->txns[e].seq_last,
								   .input = i,
								   .entry = e};
		}
	}
	if (n > 1)
		qsort(fl->entries, n, sizeof(*fl->entries), entry_cmp);
	return FLOW_OK;
}

/* Sort the points, forget copies. */
static void
gather_points(Flatten *fl)
{
	Point *points = (Point *) (void *) fl->dir->points.data;
	uint32_t n = (uint32_t) (fl->dir->points.len / sizeof(*points));
	uint32_t kept = 0;

	if (n > 1)
		qsort(points, n, sizeof(*points), point_cmp);
	for (uint32_t i = 0; i < n; i++)
	{
		if (kept == 0 || points[kept - 1].seq != points[i].seq)
			points[kept++] = points[i];
	}
	fl->points = points;
	fl->npoints = kept;
}

static bool
is_flat(const Flatten *fl)
{
	for (uint32_t i = 1; i < fl->n; i++)
	{
		if (fl->entries[i].seq_first <= fl->entries[i - 1].seq_last)
			return false;
	}
	return fl->npoints == 0;
}

/* Where pieces may begin or end: sorted. */
static FlowStatus
gather_cuts(const Flatten *fl, uint64_t **cutsp, uint32_t *np)
{
	FlowEnv *env = fl->dir->env;
	uint32_t n = 0;
	uint64_t *cuts =
		env->alloc(env, 2 * ((size_t) fl->n + fl->npoints) * sizeof(*cuts));

	*cutsp = cuts;
	*np = 0;
	if (cuts == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = 0; i < fl->n; i++)
	{
		cuts[n++] = fl->entries[i].seq_first;
		cuts[n++] = fl->entries[i].seq_last + 1;
	}
	for (uint32_t i = 0; i < fl->npoints; i++)
	{
		cuts[n++] = fl->points[i].seq;
		cuts[n++] = fl->points[i].seq + 1;
	}
	qsort(cuts, n, sizeof(*cuts), cut_cmp);
	for (uint32_t i = 0; i < n; i++)
	{
		if (*np == 0 || cuts[*np - 1] != cuts[i])
			cuts[(*np)++] = cuts[i];
	}
	return FLOW_OK;
}

/* [first, last] belongs to owner: one piece with the one before, or a new
 * one. */
static void
add_piece(Flatten *fl, uint64_t first, uint64_t last, FlowMergeTxn owner)
{
	FlowMergeTxn *before =
		fl->npieces > 0 ? &fl->pieces[fl->npieces - 1] : NULL;

	if (before && before->seq_last + 1 == first &&
		is_same_txn(txn_of(fl->dir, before), txn_of(fl->dir, &owner)))
	{
		before->seq_last = last;
		return;
	}
	owner.seq_first = first;
	owner.seq_last = last;
	fl->pieces[fl->npieces++] = owner;
}

/* The last to begin of the entries before end that cover [first, ..]; *fromp
 * moves over those that end before it. */
static const FlowMergeTxn *
innermost(const Flatten *fl, uint32_t *fromp, uint32_t end, uint64_t first)
{
	while (*fromp < end && fl->entries[*fromp].seq_last < first)
		++*fromp;
	for (uint32_t i = end; i > *fromp; i--)
	{
		if (fl->entries[i - 1].seq_last >= first)
			return &fl->entries[i - 1];
	}
	return NULL;
}

/* The slow way: piece by piece. */
static FlowStatus
cut_pieces(Flatten *fl)
{
	FlowEnv *env = fl->dir->env;
	uint64_t *cuts;
	uint32_t ncuts;
	uint32_t from = 0, end = 0, point = 0;

	FLOW_TRY(gather_cuts(fl, &cuts, &ncuts));
	fl->pieces = env->alloc(env, FLOW_MAX(ncuts, 1) * sizeof(*fl->pieces));
	for (uint32_t i = 0; fl->pieces && i + 1 < ncuts; i++)
	{
		const FlowMergeTxn *owner;
		const Point *p;

		while (end < fl->n && fl->entries[end].seq_first <= cuts[i])
			end++;
		while (point < fl->npoints && fl->points[point].seq < cuts[i])
			point++;
		p = point < fl->npoints && fl->points[point].seq == cuts[i]
				? &fl->points[point]
				: NULL;
		owner = innermost(fl, &from, end, cuts[i]);
		if (p && p->input != SETTLED)
			add_piece(fl, cuts[i], cuts[i + 1] - 1,
					  (FlowMergeTxn){.input = p->input, .entry = p->entry});
		else if (p == NULL && owner != NULL)
			add_piece(fl, cuts[i], cuts[i + 1] - 1, *owner);
	}
	env->free(env, cuts);
	return fl->pieces ? FLOW_OK : flowi_fail(FLOW_NOMEM, "out of memory");
}

static void
forget_notes(FlowMergeDir *dir)
{
	for (uint32_t i = 0; i < dir->n; i++)
	{
		if (dir->inputs[i].used)
			memset(dir->inputs[i].used, 0, dir->inputs[i].sst->ntxns);
	}
	dir->points.len = 0;
}

FlowStatus
flowi_mergedir_take(FlowMergeDir *dir, FlowMergeTxn **txnsp, uint32_t *np)
{
	Flatten fl = {.dir = dir};

	*txnsp = NULL;
	*np = 0;
	FLOW_TRY(gather_entries(&fl));
	gather_points(&fl);
	if (is_flat(&fl))
	{
		*txnsp = fl.entries;
		*np = fl.n;
		forget_notes(dir);
		return FLOW_OK;
	}
	if (fl.n > 0)
	{
		FlowStatus st = cut_pieces(&fl);

		dir->env->free(dir->env, fl.entries);
		if (st != FLOW_OK)
			return st;
	}
	else
		fl.pieces = fl.entries; /* points under entries without rows */
	*txnsp = fl.pieces;
	*np = fl.npieces;
	forget_notes(dir);
	return FLOW_OK;
}

/* ------------------------------------------------------------------- now */

/* What is known of an entry; a hint is believed, the log is synced before
 * the edit (S5).  An entry that is gone is settled. */
static uint32_t
state_now(const FlowMergeDir *dir, const FlowMergeTxn *t, FlowSst *current)
{
	const FlowTxn *txn = txn_of(dir, t);
	uint32_t state = atomic_load(&txn->state);
	FlowTxn *now = flowi_version_find_txn(current, txn->seq_first);
	uint32_t known;

	if (now == NULL)
		return FLOW_TXN_SETTLED;
	known = atomic_load(&now->state);
	if (known == FLOW_TXN_UNKNOWN)
		known = current->saved[now - current->txns];
	if (known == FLOW_TXN_SETTLED || known == FLOW_TXN_ABORTED)
		return known;
	return state != FLOW_TXN_UNKNOWN ? state : known;
}

FlowStatus
flowi_mergedir_now(const FlowMergeDir *dir, const FlowMergeTxn *txns,
				   uint32_t n, FlowSst *const *current, FlowTxnInfo **infosp,
				   uint32_t *ninfosp)
{
	FlowTxnInfo *infos =
		dir->env->alloc(dir->env, FLOW_MAX(n, 1) * sizeof(*infos));
	uint32_t kept = 0;

	*infosp = infos;
	*ninfosp = 0;
	if (infos == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = 0; i < n; i++)
	{
		const FlowTxn *txn = txn_of(dir, &txns[i]);
		uint32_t state = state_now(dir, &txns[i], current[txns[i].input]);

		if (state == FLOW_TXN_SETTLED)
			continue;
		infos[kept++] = (FlowTxnInfo){.seq_first = txns[i].seq_first,
									  .seq_last = txns[i].seq_last,
									  .xid = txn->xid,
									  .cid = txn->cid,
									  .state = state};
	}
	*ninfosp = kept;
	return FLOW_OK;
}
