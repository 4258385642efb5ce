/*-------------------------------------------------------------------------
 * version.c
 *	  Sets of SSTables in the shared region.
 *
 * A version is immutable: a reader that holds a reference may read its
 * SSTables as long as it likes.  Whoever changes the set sets busy first,
 * derives a new version, writes the manifest edit (versionlog.c), and only
 * then installs the version under the state lock.
 *
 * A directory is contiguous and as large as it was when the file was
 * written, and readers hold pointers into it.  So entries that are settled
 * are given back by exchanging the whole FlowSst (flowi_version_shrink), for
 * which a part of the metadata is kept free: full metadata must be able to
 * become less full.
 *
 * Keeps: I15.  Locks: L2.
 *-------------------------------------------------------------------------
 */
#include "version.h"

#include <inttypes.h>
#include <stdlib.h>

#include "trash.h"

/* ------------------------------------------------------------- versions */

static int
sst_cmp(const FlowSst *a, const FlowSst *b)
{
	if (a->info.store_id != b->info.store_id)
		return a->info.store_id < b->info.store_id ? -1 : 1;
	return (a->info.id > b->info.id) - (a->info.id < b->info.id);
}

static int
sst_ptr_cmp(const void *a, const void *b)
{
	return sst_cmp(*(FlowSst *const *) a, *(FlowSst *const *) b);
}

/* An empty version with one reference and room for n SSTables. */
static FlowStatus
version_alloc(FlowEnv *env, FlowRoom room, uint32_t n, FlowVersion **vp)
{
	size_t size = sizeof(FlowVersion) + n * sizeof(FlowSst *);

	*vp = flowi_version_alloc(env, room, size);
	if (*vp == NULL)
		return flowi_fail(FLOW_NOMEM,
						  "out of shared memory for a list of %u SSTables", n);
	atomic_init(&(*vp)->refs, 1);
	(*vp)->number = 1;
	return FLOW_OK;
}

/* Enter sst as the last one. */
static void
append(FlowVersion *v, FlowSst *sst)
{
	uint64_t ntombs = v->ntombs + sst->info.ntombs;

	v->ntombs = (uint32_t) FLOW_MIN(ntombs, UINT32_MAX);
	v->sst[v->nssts++] = sst;
	atomic_fetch_add(&sst->refs, 1);
}

uint32_t
flowi_version_index(const FlowVersion *v, const FlowSst *sst)
{
	uint32_t lo = 0;
	uint32_t hi = v->nssts;

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (sst_cmp(v->sst[mid], sst) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->nssts && sst_cmp(v->sst[lo], sst) == 0 ? lo : v->nssts;
}

/* A flag for each SSTable of base: is it in drop?  NULL when drop is empty. */
static FlowStatus
mark_dropped(FlowEnv *env, const FlowVersion *base, FlowSst *const *drop,
			 uint32_t ndrop, bool **markp)
{
	*markp = NULL;
	if (ndrop == 0)
		return FLOW_OK;
	*markp = env->alloc(env, FLOW_MAX(base->nssts, 1));
	if (*markp == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(*markp, 0, base->nssts);
	for (uint32_t i = 0; i < ndrop; i++)
	{
		uint32_t at = flowi_version_index(base, drop[i]);

		if (at == base->nssts || (*markp)[at])
		{
			env->free(env, *markp);
			return flowi_fail(FLOW_INVALID,
							  "SSTable %" PRIu64 " is not listed any more",
							  drop[i]->info.id);
		}
		(*markp)[at] = true;
	}
	return FLOW_OK;
}

/*
 * Merge what is kept of base with add into v, which is empty.  add is sorted
 * first, at the end of v's own room, where the merge never overtakes it.
 */
static void
fill_version(FlowVersion *v, const FlowVersion *base, const bool *dropped,
			 FlowSst *const *add, uint32_t nadd)
{
	uint32_t nbase = base ? base->nssts : 0;
	FlowSst **tail = v->sst + nbase;
	uint32_t j = 0;

	if (nadd > 0)
	{
		memcpy(tail, add, nadd * sizeof(*tail));
		qsort(tail, nadd, sizeof(*tail), sst_ptr_cmp);
	}
	for (uint32_t i = 0; i < nbase; i++)
	{
		if (dropped && dropped[i])
			continue;
		while (j < nadd && sst_cmp(tail[j], base->sst[i]) < 0)
			append(v, tail[j++]);
		append(v, base->sst[i]);
	}
	while (j < nadd)
		append(v, tail[j++]);
}

static FlowStatus
derive(FlowEnv *env, FlowRoom room, const FlowVersion *base,
	   FlowSst *const *add, uint32_t nadd, FlowSst *const *drop, uint32_t ndrop,
	   FlowVersion **vp)
{
	FlowVersion *v;
	bool *dropped;
	FlowStatus st;

	*vp = NULL;
	FLOW_TRY(mark_dropped(env, base, drop, ndrop, &dropped));
	st = version_alloc(env, room, (base ? base->nssts : 0) + nadd, &v);
	if (st == FLOW_OK)
	{
		if (base)
			v->number = base->number + 1;
		fill_version(v, base, dropped, add, nadd);
		*vp = v;
	}
	env->free(env, dropped);
	return st;
}

FlowStatus
flowi_version_create(FlowEnv *env, FlowSst *const *ssts, uint32_t n,
					 FlowVersion **vp)
{
	return derive(env, FLOW_ROOM_ALL, NULL, ssts, n, NULL, 0, vp);
}

FlowStatus
flowi_version_derive(FlowEnv *env, const FlowVersion *base, FlowSst *const *add,
					 uint32_t nadd, FlowSst *const *drop, uint32_t ndrop,
					 FlowVersion **vp)
{
	return derive(env, FLOW_ROOM_USUAL, base, add, nadd, drop, ndrop, vp);
}

FlowStatus
flowi_version_exchange(FlowEnv *env, const FlowVersion *base,
					   FlowSst *const *add, uint32_t nadd, FlowSst *const *drop,
					   uint32_t ndrop, FlowVersion **vp)
{
	return derive(env, FLOW_ROOM_ALL, base, add, nadd, drop, ndrop, vp);
}

FlowVersion *
flowi_version_install(FlowDbShared *sh, FlowVersion *v)
{
	FlowVersion *before = sh->version;

	sh->version = v;
	atomic_store(&sh->version_number, v->number);
	return before;
}

FlowVersion *
flowi_version_pin(FlowDbShared *sh)
{
	atomic_fetch_add(&sh->version->refs, 1);
	return sh->version;
}

/*
 * The last version that listed sst is gone; its file may be in use by the
 * entry that succeeded it.  Tells the database whose trash has got something
 * to sweep.
 */
static FlowDbShared *
sst_unref(FlowEnv *env, FlowSst *sst)
{
	FlowDbShared *trash = NULL;

	while (sst != NULL && atomic_fetch_sub(&sst->refs, 1) == 1)
	{
		FlowSst *successor = sst->successor;

		if (atomic_load(&sst->obsolete) && sst->owner)
		{
			trash = sst->owner;
			flowi_trash_unused(env, trash, sst->info.id);
		}
		flowi_version_sst_free(env, sst);
		sst = successor;
	}
	return trash;
}

void
flowi_version_unref(FlowEnv *env, const char *dir, FlowVersion *v)
{
	FlowDbShared *trash = NULL;

	if (v == NULL || atomic_fetch_sub(&v->refs, 1) != 1)
		return;
	for (uint32_t i = 0; i < v->nssts; i++)
	{
		FlowDbShared *sh = sst_unref(env, v->sst[i]);

		trash = sh ? sh : trash;
	}
	flowi_region_free(env, v);
	if (trash && dir)
		flowi_trash_sweep_in(env, trash, dir);
}

uint32_t
flowi_version_store(const FlowVersion *v, uint32_t store_id, uint32_t *firstp)
{
	uint32_t lo = 0;
	uint32_t hi = v->nssts;
	uint32_t n = 0;

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (v->sst[mid]->info.store_id < store_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo + n < v->nssts && v->sst[lo + n]->info.store_id == store_id)
		n++;
	*firstp = lo;
	return n;
}

/* --------------------------------------------------------------- shrink */

static bool
is_slack(const FlowSst *sst)
{
	return sst->ntxns > 0 && atomic_load(&sst->unsettled) <= sst->ntxns / 2;
}

/* A copy of sst whose directory has the unsettled entries only. */
static FlowStatus
copy_lean(FlowEnv *env, const FlowSst *sst, FlowSst **leanp)
{
	FlowSstInfo info = sst->info;
	FlowTxnInfo *txns;
	FlowStatus st;

	*leanp = NULL;
	FLOW_TRY(flowi_version_directory(env, sst, sst->saved, &txns, &info.ntxns));
	info.txns = txns;
	st = flowi_version_sst_create(env, &info, FLOW_ROOM_ALL, leanp);
	env->free(env, txns);
	return st;
}

/* v, which nobody else sees yet, lists lean in the place of sst. */
static void
succeed(FlowVersion *v, uint32_t i, FlowSst *lean)
{
	FlowSst *sst = v->sst[i];

	atomic_store(&lean->refs, 2); /* v's, and sst's */
	sst->successor = lean;
	v->sst[i] = lean;
	atomic_fetch_sub(&sst->refs, 1); /* the version before has one more */
}

/* Exchange as many as there is memory for.  True: some, but not all. */
static bool
shrink_some(FlowDb *db)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	const FlowVersion *base = sh->version;
	FlowStatus st = FLOW_OK;
	FlowVersion *v;
	uint32_t done = 0;

	if (version_alloc(env, FLOW_ROOM_ALL, base->nssts, &v) != FLOW_OK)
		return false;
	v->number = base->number + 1;
	for (uint32_t i = 0; i < base->nssts; i++)
	{
		FlowSst *lean;

		append(v, base->sst[i]);
		if (st != FLOW_OK || !is_slack(base->sst[i]))
			continue;
		st = copy_lean(env, base->sst[i], &lean);
		if (st == FLOW_OK)
			succeed(v, i, lean);
		done += st == FLOW_OK;
	}
	if (done > 0)
	{
		env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
		v = flowi_version_install(sh, v);
		env->lock_release(env, &sh->state_lock);
	}
	flowi_version_unref(env, db->dir, v);
	return done > 0 && st != FLOW_OK;
}

void
flowi_version_shrink(FlowDb *db)
{
	const FlowVersion *v = db->sh->version;
	uint32_t i = 0;

	while (i < v->nssts && !is_slack(v->sst[i]))
		i++;
	if (i == v->nssts)
		return;
	while (shrink_some(db))
		;
}
