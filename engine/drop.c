/*-------------------------------------------------------------------------
 * drop.c
 *	  The end of a store: from its log record to the edit that takes it out of
 *	  the manifest.
 *
 *	 logged -> decided -> settled
 *
 * A drop is logged with its transaction, and does nothing until that has
 * committed.  It is unflushed data like a definition: it moves the active
 * memtable's positions, and the flush writes it into its edit, because redo
 * will not bring it again.  Once the transaction is known to have committed the
 * store is marked: it is found, claimed and listed no more, and its name is
 * free.  That is a hint in memory, which may be ahead of the log.  Then, by
 * whoever sets busy next, the log is synced and one edit says that the store
 * is gone and all of its SSTables are removed: before it everything of the
 * store is there, behind it nothing.  Their files go the way of all trash.
 *
 * Rows of it may still stand in memtables, or come again by redo, as may its
 * definition and its drop.  An id that is below the next one and has no
 * definition was dropped (I25): flushes leave such rows out, redo passes over
 * such records.
 *
 * A drop may also be the other way round (unless): the store goes when the
 * transaction aborts.  That is for stores made by a transaction that may yet
 * take back what they were made for.
 *
 * Keeps: S4, S5, I4, I25.  Locks: L1 to log, L2 for the list, never during I/O.
 *-------------------------------------------------------------------------
 */
#include "drop.h"

#include <inttypes.h>
#include <stdlib.h>

#include "active.h"
#include "record.h"
#include "store.h"
#include "version.h"

/* ------------------------------------------------------------------- list */

static bool
same_drop(const FlowDropInfo *a, const FlowDropInfo *b)
{
	return a->store_id == b->store_id && a->xid == b->xid &&
		   a->unless == b->unless;
}

static bool
is_open(const FlowDrop *d)
{
	return d->state == FLOW_TXN_UNKNOWN;
}

/* Of one that is decided: does the store go? */
static bool
takes_effect(const FlowDrop *d)
{
	return (d->state == FLOW_TXN_ABORTED) == d->info.unless;
}

/* State lock held exclusive. */
static void
decide(FlowDbShared *sh, FlowDrop *d, FlowTxnState state)
{
	d->state = state;
	if (takes_effect(d))
		flowi_stores_mark(sh, d->info.store_id);
}

/* The open drops of a transaction whose records end up to a position; the
 * same. */
static void
decide_all(FlowDbShared *sh, uint64_t xid, uint64_t upto, FlowTxnState state)
{
	for (FlowDrop *d = sh->drops; d; d = d->next)
	{
		if (is_open(d) && d->info.xid == xid && d->end <= upto)
			decide(sh, d, state);
	}
}

/* Enter d, or only its position when the same is there; what is left is for
 * the caller to free.  State lock held exclusive. */
static FlowDrop *
enter_locked(FlowDbShared *sh, FlowDrop *d)
{
	for (FlowDrop *old = sh->drops; old; old = old->next)
	{
		if (!same_drop(&old->info, &d->info))
			continue;
		old->end = FLOW_MAX(old->end, d->end);
		return d;
	}
	d->next = sh->drops;
	sh->drops = d;
	atomic_fetch_add(&sh->ndrops, 1);
	return NULL;
}

/* A drop gives memory back, so it may take of the reserve (I16). */
static FlowDrop *
make_drop(FlowEnv *env, const FlowDropInfo *info, uint64_t end)
{
	FlowDrop *d = flowi_region_alloc_reserve(env, sizeof(*d));

	if (d == NULL)
		(void) flowi_fail(FLOW_NOMEM,
						  "out of shared memory for the drop of store %" PRIu32,
						  info->store_id);
	else
		*d = (FlowDrop){.info = *info, .end = end, .state = FLOW_TXN_UNKNOWN};
	return d;
}

FlowStatus
flowi_drops_enter(FlowEnv *env, FlowDbShared *sh, const FlowDropInfo *info,
				  uint64_t end)
{
	FlowDrop *d = make_drop(env, info, end);
	bool defined;

	if (d == NULL)
		return FLOW_NOMEM;
	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	/* in a manifest the definition may come behind */
	defined = end == 0 || info->store_id < sh->next_store_id;
	if (defined && !(end > 0 && flowi_stores_gone(sh, info->store_id)))
		d = enter_locked(sh, d);
	if (end > 0)
		decide_all(sh, 0, UINT64_MAX, FLOW_TXN_COMMITTED);
	env->lock_release(env, &sh->state_lock);
	flowi_region_free(env, d);
	FLOW_CHECK_DATA(defined, "drop of store %" PRIu32 ", which is not defined",
					info->store_id);
	return FLOW_OK;
}

/* Take out of the list what pick says; the caller frees it.  State lock held
 * exclusive. */
static FlowDrop *
take_out(FlowDbShared *sh, bool (*pick)(const FlowDrop *d, const void *arg),
		 const void *arg)
{
	FlowDrop **at = &sh->drops;
	FlowDrop *out = NULL;

	while (*at)
	{
		FlowDrop *d = *at;

		if (!pick(d, arg))
		{
			at = &d->next;
			continue;
		}
		*at = d->next;
		d->next = out;
		out = d;
		atomic_fetch_sub(&sh->ndrops, 1);
	}
	return out;
}

static void
free_list(FlowEnv *env, FlowDrop *d)
{
	while (d)
	{
		FlowDrop *next = d->next;

		flowi_region_free(env, d);
		d = next;
	}
}

static bool
pick_same(const FlowDrop *d, const void *arg)
{
	return same_drop(&d->info, arg);
}

void
flowi_drops_forget(FlowEnv *env, FlowDbShared *sh, const FlowDropInfo *info)
{
	FlowDrop *out;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	out = take_out(sh, pick_same, info);
	env->lock_release(env, &sh->state_lock);
	free_list(env, out);
}

static bool
pick_store(const FlowDrop *d, const void *arg)
{
	return d->info.store_id == *(const uint32_t *) arg;
}

void
flowi_drops_load_gone(FlowEnv *env, FlowDbShared *sh, uint32_t id)
{
	flowi_stores_free_list(env, flowi_stores_take(sh, &id, 1));
	flowi_stores_next(sh, id + 1);
	free_list(env, take_out(sh, pick_store, &id));
}

void
flowi_drops_loaded(FlowDbShared *sh)
{
	decide_all(sh, 0, UINT64_MAX, FLOW_TXN_COMMITTED);
	if (sh->nstores + 1 < sh->next_store_id)
		atomic_store(&sh->drop_number, 1);
}

bool
flowi_drops_pending(const FlowDbShared *sh, uint32_t id)
{
	for (const FlowDrop *d = sh->drops; d; d = d->next)
	{
		if (d->info.store_id == id && (is_open(d) || takes_effect(d)))
			return true;
	}
	return false;
}

FlowStatus
flowi_drops_tell(const FlowDbShared *sh, FlowEdit *edit, bool all)
{
	uint64_t flushed = atomic_load(&sh->flushed_pos);

	for (const FlowDrop *d = sh->drops; d; d = d->next)
	{
		if (all || d->end > flushed)
			FLOW_TRY(flowi_edit_drop(edit, &d->info));
	}
	return FLOW_OK;
}

void
flowi_drops_free(FlowEnv *env, FlowDbShared *sh)
{
	free_list(env, sh->drops);
	sh->drops = NULL;
	atomic_store(&sh->ndrops, 0);
}

/* The fate of a transaction is known, for records that end up to upto. */
static void
note_fate(FlowDb *db, uint64_t xid, uint64_t upto, FlowTxnState state)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	decide_all(sh, xid, upto, state);
	env->lock_release(env, &sh->state_lock);
}

/* ---------------------------------------------------------------- logging */

/* Take all memory, log, enter: once logged, nothing can fail. */
static FlowStatus
log_locked(FlowDb *db, const FlowDropInfo *info, uint64_t *endp)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	uint8_t rec[DROP_RECORD_MAX];
	FlowStatus st = flowi_stores_check(env, sh, info->store_id);
	uint64_t start;
	FlowDrop *d;

	if (st == FLOW_INVALID)
		return flowi_fail(FLOW_NOTFOUND, "there is no store %" PRIu32,
						  info->store_id);
	FLOW_TRY(st);
	FLOW_TRY(flowi_active_ensure(db));
	d = make_drop(env, info, 0);
	if (d == NULL)
		return FLOW_NOMEM;
	flowi_active_expect(db, env->log_bound(env));
	env->log_append(env, db, rec, flowi_drop_encode(rec, info), &start, endp);
	d->end = *endp;
	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	d = enter_locked(sh, d);
	env->lock_release(env, &sh->state_lock);
	flowi_active_applied(db, *endp);
	flowi_region_free(env, d);
	return FLOW_OK;
}

static FlowStatus
log_drop(FlowDb *db, const FlowDropInfo *info, uint64_t *endp)
{
	bool frozen = false;
	FlowStatus st;

	FLOW_TRY(flowi_active_enter(db, DROP_RECORD_MAX, FLOW_SYNC_DEFAULT));
	st = log_locked(db, info, endp);
	if (st == FLOW_BUSY)
		frozen = flowi_active_freeze(db);
	flowi_active_leave(db, frozen);
	FLOW_TRY(st);
	return flowi_active_commit(db, *endp);
}

FlowStatus
flow_store_drop(FlowDb *db, uint32_t store_id, uint64_t xid)
{
	uint64_t end = 0;
	FlowStatus st;

	FLOW_TRY(log_drop(db, &(FlowDropInfo){store_id, xid, false}, &end));
	if (xid != 0)
		return FLOW_OK;
	/* only now: it is as durable as it was to be */
	note_fate(db, 0, end, FLOW_TXN_COMMITTED);
	/* what cannot be done now is done by the next flush or maintenance */
	st = flow_drop_step(db);
	(void) st;
	return FLOW_OK;
}

FlowStatus
flow_store_drop_unless(FlowDb *db, uint32_t store_id, uint64_t xid)
{
	uint64_t end = 0;

	if (xid == 0)
		return flowi_fail(FLOW_INVALID, "what has no transaction cannot abort");
	return log_drop(db, &(FlowDropInfo){store_id, xid, true}, &end);
}

/* --------------------------------------------------------------- learning */

void
flow_drop_committed(FlowDb *db, uint64_t xid)
{
	if (atomic_load(&db->sh->ndrops) > 0)
		note_fate(db, xid, UINT64_MAX, FLOW_TXN_COMMITTED);
}

/* Drops copied from the list, private; info is freed by the caller. */
typedef struct Copies
{
	FlowDropInfo *info;
	uint32_t n;
} Copies;

/* The open drops of one store, or of all (0), that the host can be asked for;
 * but those of stores that go in any case. */
static FlowStatus
copy_open(FlowDb *db, uint32_t store_id, Copies *c)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	for (const FlowDrop *d = sh->drops; d; d = d->next)
		c->n += is_open(d);
	c->info = env->alloc(env, FLOW_MAX(c->n, 1) * sizeof(*c->info));
	c->n = 0;
	for (const FlowDrop *d = sh->drops; c->info && d; d = d->next)
	{
		if (is_open(d) && d->info.xid != 0 &&
			(store_id == 0 || d->info.store_id == store_id) &&
			!(sh->nmarked > 0 && flowi_stores_marked(sh, d->info.store_id)))
			c->info[c->n++] = d->info;
	}
	env->lock_release(env, &sh->state_lock);
	return c->info ? FLOW_OK : flowi_fail(FLOW_NOMEM, "out of memory");
}

/* One transaction drops many stores at once: it is asked for once. */
static FlowStatus
ask_all(FlowDb *db, const Copies *c, bool lenient)
{
	FlowEnv *env = db->env;

	for (uint32_t i = 0; i < c->n; i++)
	{
		FlowTxnState state = FLOW_TXN_UNKNOWN;
		FlowStatus st;

		if (i > 0 && c->info[i].xid == c->info[i - 1].xid)
			continue;
		st = env->txn_outcome(env, c->info[i].xid, &state);
		if (st == FLOW_CORRUPT && lenient)
			continue;
		FLOW_TRY(st);
		if (state != FLOW_TXN_UNKNOWN)
			note_fate(db, c->info[i].xid, UINT64_MAX, state);
	}
	return FLOW_OK;
}

FlowStatus
flowi_drops_learn(FlowDb *db, uint32_t store_id, bool lenient)
{
	Copies c = {0};
	FlowStatus st;

	if (atomic_load(&db->sh->ndrops) == 0)
		return FLOW_OK;
	st = copy_open(db, store_id, &c);
	if (st == FLOW_OK)
		st = ask_all(db, &c, lenient);
	db->env->free(db->env, c.info);
	return st;
}

/* --------------------------------------------------------------- settling */

/* What one edit makes durable; private. */
typedef struct Settling
{
	FlowDb *db;
	FlowEnv *env;
	uint32_t *gone; /* ids of stores */
	uint32_t ngone;
	Copies kept;   /* drops that nothing has come of */
	FlowSst **sst; /* of the stores */
	uint32_t nssts;
	FlowEdit *edit;
} Settling;

/* What is known; every store that is marked has a drop in the list. */
static FlowStatus
collect(Settling *s)
{
	FlowEnv *env = s->env;
	FlowDbShared *sh = s->db->sh;
	uint32_t cap;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	cap = atomic_load(&sh->ndrops);
	s->gone = env->alloc(env, FLOW_MAX(cap, 1) * sizeof(*s->gone));
	s->kept.info = env->alloc(env, FLOW_MAX(cap, 1) * sizeof(*s->kept.info));
	if (s->gone && s->kept.info)
	{
		s->ngone = flowi_stores_list_marked(sh, s->gone, cap);
		for (const FlowDrop *d = sh->drops; d; d = d->next)
		{
			if (!is_open(d) && !takes_effect(d))
				s->kept.info[s->kept.n++] = d->info;
		}
	}
	env->lock_release(env, &sh->state_lock);
	return s->gone && s->kept.info ? FLOW_OK
								   : flowi_fail(FLOW_NOMEM, "out of memory");
}

/* The SSTables of the stores that go; busy is set, so the version stays. */
static FlowStatus
list_files(Settling *s)
{
	const FlowVersion *v = s->db->sh->version;

	s->sst = s->env->alloc(s->env, FLOW_MAX(v->nssts, 1) * sizeof(*s->sst));
	if (s->sst == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = 0; i < s->ngone; i++)
	{
		uint32_t first;
		uint32_t n = flowi_version_store(v, s->gone[i], &first);

		for (uint32_t k = first; k < first + n; k++)
			s->sst[s->nssts++] = v->sst[k];
	}
	return FLOW_OK;
}

/* The definitions that the manifest lacks go first: an id that it has passed
 * over is one of a store that is gone. */
static FlowStatus
make_edit(Settling *s)
{
	FLOW_TRY(flowi_edit_create(s->env, &s->edit));
	FLOW_TRY(flowi_stores_add_new(s->db, s->edit));
	for (uint32_t i = 0; i < s->ngone; i++)
		FLOW_TRY(flowi_edit_store_gone(s->edit, s->gone[i]));
	for (uint32_t i = 0; i < s->kept.n; i++)
		FLOW_TRY(flowi_edit_kept(s->edit, &s->kept.info[i]));
	return FLOW_OK;
}

static bool
pick_settled(const FlowDrop *d, const void *arg)
{
	const Settling *s = arg;

	for (uint32_t i = 0; i < s->kept.n; i++)
	{
		if (same_drop(&d->info, &s->kept.info[i]))
			return true;
	}
	return flowi_stores_among(s->gone, s->ngone, d->info.store_id);
}

/* The edit is durable. */
static void
forget_settled(const Settling *s)
{
	FlowEnv *env = s->env;
	FlowDbShared *sh = s->db->sh;
	FlowStore *stores;
	FlowDrop *drops;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	stores = flowi_stores_take(sh, s->gone, s->ngone);
	drops = take_out(sh, pick_settled, s);
	env->lock_release(env, &sh->state_lock);
	flowi_stores_free_list(env, stores);
	free_list(env, drops);
}

FlowStatus
flowi_drops_settle(FlowDb *db)
{
	Settling s = {.db = db, .env = db->env};
	FlowStatus st;

	if (atomic_load(&db->sh->ndrops) == 0)
		return FLOW_END;
	FLOW_GOTO(collect(&s));
	if (s.ngone == 0 && s.kept.n == 0)
		FLOW_GOTO(FLOW_END);
	FLOW_GOTO(list_files(&s));
	FLOW_GOTO(flowi_version_repair(db));
	FLOW_GOTO(make_edit(&s));
	FLOW_GOTO(FLOW_POINT(s.env, "drop-settle"));
	FLOW_GOTO(flowi_version_remove(db, s.sst, s.nssts, s.edit));
	forget_settled(&s);
	st = FLOW_POINT(s.env, "drop-settled");
out:
	s.env->free(s.env, s.gone);
	s.env->free(s.env, s.kept.info);
	s.env->free(s.env, s.sst);
	flowi_edit_free(s.edit);
	return st;
}

FlowStatus
flow_drop_step(FlowDb *db)
{
	FlowStatus st;

	if (atomic_load(&db->sh->ndrops) == 0)
		return FLOW_END;
	FLOW_TRY(flowi_drops_learn(db, 0, true));
	FLOW_TRY(flowi_version_begin(db));
	st = flowi_drops_settle(db);
	flowi_version_end(db);
	return st;
}
