/*-------------------------------------------------------------------------
 * active.c
 *	  The active memtable: who makes it, what it stands for, how it ends.
 *
 * How flow_oldest_unflushed comes to be right without a lock (S6).  A writer
 * stores the log bound in sh->oldest_unflushed before it appends its record.
 * If the record stands before a position P that somebody read from the log,
 * then the append came before that reading, the store before the append, and
 * so whoever read P sees the store: the result is < P until the record is in
 * an SSTable.  A writer that stores after the reading appends at or behind
 * P, and is no concern of P's.  All are sequentially consistent.
 *
 * Changes of the least position, up by a flush and down by a writer, are
 * made under the state lock.  Locks: L1, L2.
 *-------------------------------------------------------------------------
 */
#include "active.h"

FlowStatus
flowi_active_enter(FlowDb *db, size_t len, FlowSync sync)
{
	FlowEnv *env = db->env;

	if (env->log_admit)
		FLOW_TRY(env->log_admit(env, db, len, sync));
	env->lock_acquire(env, &db->sh->write_lock, FLOW_LOCK_EXCLUSIVE);
	/* flow_close sets it before it freezes what there is under this lock */
	if (!atomic_load(&db->sh->closed))
		return FLOW_OK;
	flowi_active_leave(db, false);
	return flowi_fail(FLOW_INVALID, "database is closed");
}

void
flowi_active_leave(FlowDb *db, bool frozen)
{
	FlowEnv *env = db->env;

	env->lock_release(env, &db->sh->write_lock);
	if (env->log_admit && env->log_leave)
		env->log_leave(env, db);
	if (frozen)
		env->notify(env, db->sh, FLOW_EVENT_FROZEN);
}

FlowStatus
flowi_active_commit(FlowDb *db, uint64_t end)
{
	if (db->env->log_commit == NULL)
		return FLOW_OK;
	return db->env->log_commit(db->env, db, end);
}

FlowStatus
flowi_active_ensure(FlowDb *db)
{
	FlowDbShared *sh = db->sh;
	FlowMemtable *mt;

	if (sh->active != NULL)
		return FLOW_OK;
	mt = flowi_memtable_create(db->env);
	if (mt == NULL)
		return flowi_fail(FLOW_BUSY, "write buffers are full");
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	sh->active = mt;
	db->env->lock_release(db->env, &sh->state_lock);
	return FLOW_OK;
}

void
flowi_active_expect(FlowDb *db, uint64_t bound)
{
	FlowDbShared *sh = db->sh;
	FlowMemtable *mt = sh->active;

	if (atomic_load(&mt->first_pos) != UINT64_MAX)
		return;
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	atomic_store(&mt->first_pos, bound);
	if (bound < atomic_load(&sh->oldest_unflushed))
		atomic_store(&sh->oldest_unflushed, bound);
	db->env->lock_release(db->env, &sh->state_lock);

	/* before the append, thus under the write lock: the host may have to do
	 * something before such a record exists */
	db->env->notify(db->env, sh, FLOW_EVENT_UNFLUSHED);
}

void
flowi_active_applied(FlowDb *db, uint64_t end)
{
	FlowDbShared *sh = db->sh;

	atomic_store(&sh->active->last_end, end);
	atomic_store_explicit(&sh->applied_end, end, memory_order_release);
	if (db->env->log_commit == NULL)
		flowi_active_reveal(sh, end);
}

void
flowi_active_reveal(FlowDbShared *sh, uint64_t end)
{
	uint64_t seen = atomic_load(&sh->visible_end);

	while (seen < end &&
		   !atomic_compare_exchange_weak(&sh->visible_end, &seen, end))
		;
}

bool
flowi_active_freeze(FlowDb *db)
{
	FlowDbShared *sh = db->sh;
	FlowMemtable *mt = sh->active;
	bool empty;

	if (mt == NULL)
		return false;
	empty = atomic_load(&mt->first_pos) == UINT64_MAX;
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	sh->active = NULL;
	if (!empty)
	{
		mt->next_older = sh->frozen;
		sh->frozen = mt;
		atomic_fetch_add(&sh->nfrozen, 1);
	}
	db->env->lock_release(db->env, &sh->state_lock);
	if (empty)
		flowi_memtable_unref(db->env, mt);
	return !empty;
}

FlowStatus
flow_freeze(FlowDb *db, uint64_t pos)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	bool frozen = false;

	env->lock_acquire(env, &sh->write_lock, FLOW_LOCK_EXCLUSIVE);
	if (pos == UINT64_MAX ||
		(sh->active && atomic_load(&sh->active->first_pos) < pos))
		frozen = flowi_active_freeze(db);
	env->lock_release(env, &sh->write_lock);
	if (frozen)
		env->notify(env, sh, FLOW_EVENT_FROZEN);
	return FLOW_OK;
}
