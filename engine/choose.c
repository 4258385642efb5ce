/*-------------------------------------------------------------------------
 * choose.c
 *	  Which store is merged next: claims, policies, candidates.
 *
 * Policies are asked without a lock, about a pinned version.  The claim
 * comes afterwards, and the choice counts only if the current version still
 * lists all of its files: from then on nobody but the claimer removes them.
 *
 * Locks: L2, never during I/O.
 *-------------------------------------------------------------------------
 */
#include "choose.h"

#include "expired.h"
#include "keep.h"

#define CHOOSE_TRIES 3 /* others may be faster */

/* ---------------------------------------------------------------- claims */

/* One that is not dropped; state lock held. */
static FlowStore *
find_store(const FlowDbShared *sh, uint32_t id)
{
	FlowStore *s = sh->stores;

	while (s && (s->id != id || s->dropped))
		s = s->next;
	return s;
}

FlowStatus
flowi_claim(FlowDb *db, uint32_t store_id, uint64_t *claimp)
{
	FlowDbShared *sh = db->sh;
	FlowStatus st = FLOW_OK;
	FlowStore *s;

	*claimp = 0;
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	s = find_store(sh, store_id);
	if (s == NULL)
		st = FLOW_NOTFOUND;
	else if (s->claim != 0)
		st = FLOW_BUSY;
	else
		*claimp = s->claim = ++sh->last_claim;
	db->env->lock_release(db->env, &sh->state_lock);
	return st;
}

bool
flowi_claim_holds(FlowDb *db, uint32_t store_id, uint64_t claim)
{
	FlowDbShared *sh = db->sh;
	const FlowStore *s;
	bool holds;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	s = find_store(sh, store_id);
	holds = s && s->claim == claim;
	db->env->lock_release(db->env, &sh->state_lock);
	return holds;
}

void
flowi_claim_release(FlowDb *db, uint32_t store_id, uint64_t claim,
					int64_t retry_at)
{
	FlowDbShared *sh = db->sh;
	FlowStore *s;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	s = find_store(sh, store_id);
	if (s && s->claim == claim)
	{
		s->claim = 0;
		s->retry_at = FLOW_MAX(s->retry_at, retry_at);
	}
	db->env->lock_release(db->env, &sh->state_lock);
}

/* ---------------------------------------------------------------- stores */

/* A store as the policies see it. */
typedef struct Store
{
	uint32_t id;
	uint64_t claim;
	int64_t retry_at;
	FlowMergePolicy policy;
} Store;

/* All of a database, as of one moment; private. */
typedef struct Survey
{
	FlowDb *db;
	FlowEnv *env;
	int64_t now;   /* wall clock, for windows */
	int64_t ticks; /* for retry_at */
	int64_t horizon;
	FlowVersion *version; /* pinned */
	Store *stores;
	uint32_t nstores;
	/* of one store; room for all SSTables */
	FlowPickFile *files;
	uint8_t *drop; /* see expired.h */
	uint32_t ndrop;
} Survey;

/* State lock held. */
static FlowMergePolicy
policy_of(const FlowDbShared *sh, const FlowStore *s)
{
	return s->has_policy ? s->policy : sh->policy;
}

/* Copy into room for cap; how many there are.  State lock held. */
static uint32_t
copy_stores(const FlowDbShared *sh, Store *stores, uint32_t cap)
{
	uint32_t n = 0;

	for (const FlowStore *s = sh->stores; s; s = s->next)
	{
		if (s->dropped)
			continue;
		if (n++ < cap)
			stores[n - 1] = (Store){.id = s->id,
									.claim = s->claim,
									.retry_at = s->retry_at,
									.policy = policy_of(sh, s)};
	}
	return n;
}

static void
survey_end(Survey *sv)
{
	flowi_version_unref(sv->env, sv->db->dir, sv->version);
	sv->env->free(sv->env, sv->stores);
	sv->env->free(sv->env, sv->files);
	sv->env->free(sv->env, sv->drop);
}

/* Pin the version, copy what there is of stores. */
static FlowStatus
survey_stores(Survey *sv)
{
	FlowDbShared *sh = sv->db->sh;
	uint32_t cap = 16;

	for (;;)
	{
		Store *stores =
			sv->env->realloc(sv->env, sv->stores, cap * sizeof(*stores));

		if (stores == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory");
		sv->stores = stores;
		sv->env->lock_acquire(sv->env, &sh->state_lock, FLOW_LOCK_SHARED);
		sv->nstores = copy_stores(sh, stores, cap);
		if (sv->nstores <= cap)
			sv->version = flowi_version_pin(sh);
		sv->env->lock_release(sv->env, &sh->state_lock);
		if (sv->nstores <= cap)
			return FLOW_OK;
		cap = sv->nstores + 16;
	}
}

static FlowStatus
survey_begin(FlowDb *db, Survey *sv)
{
	FlowStatus st;

	*sv = (Survey){.db = db,
				   .env = db->env,
				   .now = db->env->now_us(db->env),
				   .ticks = db->env->ticks_us(db->env)};
	st = survey_stores(sv);
	if (st == FLOW_OK)
	{
		uint32_t n = FLOW_MAX(sv->version->nssts, 1);

		sv->horizon = flowi_keep_horizon(sv->env, db->sh);
		sv->files = sv->env->alloc(sv->env, n * sizeof(*sv->files));
		sv->drop = sv->env->alloc(sv->env, n);
		if (sv->files == NULL || sv->drop == NULL)
			st = flowi_fail(FLOW_NOMEM, "out of memory");
	}
	if (st != FLOW_OK)
		survey_end(sv);
	return st;
}

FlowStatus
flowi_choose_stores(FlowDb *db, uint32_t **idsp, uint32_t *np)
{
	Survey sv = {.db = db, .env = db->env};
	FlowStatus st = survey_stores(&sv);

	*idsp = NULL;
	*np = 0;
	if (st == FLOW_OK)
	{
		*idsp = sv.env->alloc(sv.env, FLOW_MAX(sv.nstores, 1) * sizeof(**idsp));
		if (*idsp == NULL)
			st = flowi_fail(FLOW_NOMEM, "out of memory");
	}
	for (uint32_t i = 0; st == FLOW_OK && i < sv.nstores; i++)
		(*idsp)[(*np)++] = sv.stores[i].id;
	survey_end(&sv);
	return st;
}

/* --------------------------------------------------------------- garbage */

/* Expired rows, if expiry is spread evenly; a file that was just rewritten
 * has none, whatever the spread. */
static double
expired_share(const FlowSstInfo *info, int64_t horizon)
{
	double range;

	if (info->expire_min > horizon || info->expire_max == FLOW_NEVER)
		return 0;
	if (info->expire_max <= horizon)
		return 1;
	range = (double) info->expire_max - (double) info->expire_min;
	return ((double) horizon - (double) info->expire_min) / range;
}

/*
 * The share of ssts[i] that a merge of it alone leaves out.  The oldest rows
 * mostly expire first, so that what hides nothing from the first time on is
 * what goes; of the other expired rows tombstones stay.  In either case no
 * expired row is left, nor a tombstone that counted, and nothing is rewritten
 * for ever.  An entry of an aborted transaction stands for one row at least,
 * and for metadata that nothing else gives back.
 */
static double
garbage_of(FlowSst *const *ssts, uint32_t n, uint32_t i, int64_t horizon)
{
	const FlowSst *sst = ssts[i];
	const FlowSstInfo *info = &sst->info;
	double records = (double) (info->records + info->ntombs);
	double share;
	double goes;

	if (atomic_load(&sst->unsettled) > 0)
		return flowi_version_count_txns(sst, FLOW_TXN_ABORTED) / records;
	if (info->records == 0)
		return 0;
	share = expired_share(info, horizon);
	if (share > 0)
	{
		goes = flowi_expired_free(ssts, n, i, horizon);
		share = FLOW_MIN(share, goes);
	}
	if (info->tombstones > 0 && !flowi_expired_hides(ssts, n, i))
	{
		goes = (double) info->tombstones / (double) info->records;
		share = FLOW_MAX(share, goes);
	}
	return share;
}

/* ---------------------------------------------------------------- choose */

/* The store's files into sv->files; how many. */
static uint32_t
list_files(Survey *sv, uint32_t store_id, bool garbage, uint32_t *firstp)
{
	uint32_t n = flowi_version_store(sv->version, store_id, firstp);
	FlowSst *const *ssts = sv->version->sst + *firstp;

	sv->ndrop =
		garbage ? flowi_expired_mark(ssts, n, sv->horizon, sv->drop) : 0;
	for (uint32_t i = 0; i < n; i++)
		sv->files[i] =
			(FlowPickFile){.info = &ssts[i]->info,
						   /* to drop it is cheaper */
						   .garbage = garbage && !sv->drop[i]
										  ? garbage_of(ssts, n, i, sv->horizon)
										  : 0};
	return n;
}

static FlowSst *
sst_of(const FlowSstInfo *info)
{
	return (FlowSst *) ((uintptr_t) info - offsetof(FlowSst, info));
}

/* Into the list, which is sorted by id. */
static void
insert_input(FlowChoice *choice, FlowSst *sst)
{
	uint32_t at = choice->ninputs++;

	for (; at > 0 && choice->inputs[at - 1]->info.id > sst->info.id; at--)
		choice->inputs[at] = choice->inputs[at - 1];
	choice->inputs[at] = sst;
}

/* Make *choice what is picked of the n files, not claimed yet. */
static FlowStatus
take_choice(Survey *sv, uint32_t store_id, uint32_t n, const FlowPick *pick,
			FlowChoice *choice)
{
	FlowSst **inputs = sv->env->realloc(
		sv->env, choice->inputs, FLOW_MAX(pick->npicked, 1) * sizeof(*inputs));

	if (inputs == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	choice->inputs = inputs;
	choice->ninputs = 0;
	choice->store_id = store_id;
	choice->pick = *pick;
	for (uint32_t i = 0; i < n; i++)
	{
		if (sv->files[i].picked)
			insert_input(choice, sst_of(sv->files[i].info));
	}
	FLOW_ASSERT(choice->ninputs == pick->npicked);
	return FLOW_OK;
}

static bool
is_free(const Survey *sv, const Store *s)
{
	return s->claim == 0 && s->retry_at <= sv->ticks;
}

/* The best pick of all stores that are free. */
static FlowStatus
best_pick(Survey *sv, FlowChoice *choice)
{
	choice->pick = (FlowPick){0};
	for (uint32_t i = 0; i < sv->nstores; i++)
	{
		const Store *s = &sv->stores[i];
		FlowPick pick;
		uint32_t first;
		uint32_t n;

		if (!is_free(sv, s))
			continue;
		n = list_files(sv, s->id, true, &first);
		flowi_pick(&s->policy, sv->now, sv->files, n, &pick);
		if (pick.npicked > 0 &&
			(choice->pick.npicked == 0 || pick.score > choice->pick.score))
			FLOW_TRY(take_choice(sv, s->id, n, &pick, choice));
		FLOW_TRY(sv->env->poll(sv->env));
	}
	return choice->pick.npicked > 0 ? FLOW_OK : FLOW_END;
}

/* Does the current version list them all? */
static bool
still_there(FlowDb *db, const FlowChoice *choice)
{
	FlowDbShared *sh = db->sh;
	uint32_t found = 0;
	uint32_t first;
	uint32_t n;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	n = flowi_version_store(sh->version, choice->store_id, &first);
	for (uint32_t i = first; i < first + n && found < choice->ninputs; i++)
		found += sh->version->sst[i]->info.id == choice->inputs[found]->info.id;
	db->env->lock_release(db->env, &sh->state_lock);
	return found == choice->ninputs;
}

/* Claim what was chosen of sv; BUSY: somebody was faster. */
static FlowStatus
claim_choice(Survey *sv, FlowChoice *choice)
{
	FLOW_TRY(flowi_claim(sv->db, choice->store_id, &choice->claim));
	choice->version = sv->version;
	sv->version = NULL;
	if (still_there(sv->db, choice))
		return FLOW_OK;
	flowi_claim_release(sv->db, choice->store_id, choice->claim, 0);
	choice->claim = 0;
	return FLOW_BUSY;
}

void
flowi_choice_free(FlowDb *db, FlowChoice *choice, int64_t retry_at)
{
	if (choice->claim != 0)
		flowi_claim_release(db, choice->store_id, choice->claim, retry_at);
	flowi_version_unref(db->env, db->dir, choice->version);
	db->env->free(db->env, choice->inputs);
	*choice = (FlowChoice){0};
}

FlowStatus
flowi_choose(FlowDb *db, FlowChoice *choice)
{
	FlowStatus st = FLOW_BUSY;

	for (int i = 0; i < CHOOSE_TRIES && st == FLOW_BUSY; i++)
	{
		Survey sv;

		*choice = (FlowChoice){0};
		FLOW_TRY(survey_begin(db, &sv));
		st = best_pick(&sv, choice);
		if (st == FLOW_OK)
			st = claim_choice(&sv, choice);
		survey_end(&sv);
		if (st != FLOW_OK)
			flowi_choice_free(db, choice, 0);
	}
	return st == FLOW_BUSY || st == FLOW_NOTFOUND ? FLOW_END : st;
}

/* Under the claim, so that what is picked stays. */
static FlowStatus
pick_manual(FlowDb *db, FlowChoice *choice)
{
	Survey sv;
	FlowPick pick;
	uint32_t first;
	uint32_t n;
	FlowStatus st = FLOW_END;

	FLOW_TRY(survey_begin(db, &sv));
	n = list_files(&sv, choice->store_id, false, &first);
	flowi_pick_manual(
		(uint32_t) flowi_live(db->sh, FLOW_SETTING_MERGE_THRESHOLD), sv.files,
		n, &pick);
	if (pick.npicked > 0)
		st = take_choice(&sv, choice->store_id, n, &pick, choice);
	if (st == FLOW_OK)
	{
		choice->version = sv.version;
		sv.version = NULL;
	}
	survey_end(&sv);
	return st;
}

FlowStatus
flowi_choose_manual(FlowDb *db, uint32_t store_id, FlowChoice *choice)
{
	FlowStatus st;

	*choice = (FlowChoice){.store_id = store_id};
	FLOW_TRY(flowi_claim(db, store_id, &choice->claim));
	st = pick_manual(db, choice);
	if (st != FLOW_OK)
		flowi_choice_free(db, choice, 0);
	return st;
}

/* -------------------------------------------------------------- anything */

FlowStatus
flowi_choose_any(FlowDb *db, bool *anyp)
{
	Survey sv;

	*anyp = false;
	FLOW_TRY(survey_begin(db, &sv));
	for (uint32_t i = 0; i < sv.nstores && !*anyp; i++)
	{
		const Store *s = &sv.stores[i];
		FlowPick pick;
		uint32_t first;
		uint32_t n;

		if (!is_free(&sv, s))
			continue;
		n = list_files(&sv, s->id, true, &first);
		flowi_pick(&s->policy, sv.now, sv.files, n, &pick);
		*anyp = pick.npicked > 0 || sv.ndrop > 0;
	}
	survey_end(&sv);
	return FLOW_OK;
}
