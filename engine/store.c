/*-------------------------------------------------------------------------
 * store.c
 *	  Store definitions: logged when made, in the manifest at the next flush.
 *
 * A definition is unflushed data like a record: it is logged, it moves the
 * active memtable's positions, and so no checkpoint passes it before the
 * memtable was flushed.  The flush writes each definition with def_end
 * beyond flushed_pos into its manifest edit.  That may write one which is
 * logged behind the flushed memtable: the log is synced before the edit
 * (S5), so redo meets it again and applies it a second time, to the same
 * effect.  Of a store that was defined twice only the newest blob is in
 * memory; redo of the older record puts the older blob back for as long as
 * it takes to reach the newer record, which is durable too.  After the edit
 * flushed_pos is at or behind every definition of the memtable, so def_end
 * needs no reset.
 *
 * Locks: L1 to define, L2 for the list.
 *-------------------------------------------------------------------------
 */
#include "store.h"

#include <inttypes.h>

#include "active.h"

/* ----------------------------------------------------------------- list */

/* By name or by id; state lock held. */
static FlowStore *
find_name(const FlowDbShared *sh, const char *name, size_t name_bytes)
{
	for (FlowStore *s = sh->stores; s; s = s->next)
	{
		if (s->name_bytes == name_bytes &&
			memcmp(s->name, name, name_bytes) == 0)
			return s;
	}
	return NULL;
}

static FlowStore *
find_id(const FlowDbShared *sh, uint32_t id)
{
	for (FlowStore *s = sh->stores; s; s = s->next)
	{
		if (s->id == id)
			return s;
	}
	return NULL;
}

/* Region memory for a definition, taken before it is logged. */
typedef struct Prepared
{
	FlowStore *store; /* entered when the id is new, else freed */
	void *blob;
} Prepared;

static void
prepared_free(FlowEnv *env, Prepared *p)
{
	flowi_region_free(env, p->store);
	flowi_region_free(env, p->blob);
}

static FlowStatus
prepare(FlowEnv *env, const FlowStoreInfo *info,
		void *(*alloc)(FlowEnv *, size_t), Prepared *p)
{
	p->store = alloc(env, sizeof(FlowStore) + info->name_bytes + 1);
	p->blob = alloc(env, FLOW_MAX(info->blob_bytes, 1));
	if (p->store == NULL || p->blob == NULL)
	{
		prepared_free(env, p);
		return flowi_fail(FLOW_NOMEM,
						  "out of shared memory for the definition of store "
						  "\"%.*s\"",
						  (int) info->name_bytes, info->name);
	}
	p->store->id = info->id;
	p->store->name_bytes = info->name_bytes;
	memcpy(p->store->name, info->name, info->name_bytes); /* NUL: zeroed */
	if (info->blob_bytes)
		memcpy(p->blob, info->blob, info->blob_bytes);
	return FLOW_OK;
}

/* Enter the definition; what is left in *p is for the caller to free. */
static void
enter_locked(FlowDbShared *sh, const FlowStoreInfo *info, Prepared *p,
			 uint64_t def_end)
{
	FlowStore *s = find_id(sh, info->id);
	void *old_blob;

	if (s == NULL)
	{
		s = p->store;
		p->store = NULL;
		s->next = sh->stores;
		sh->stores = s;
	}
	old_blob = s->blob;
	s->blob = p->blob;
	p->blob = old_blob;
	s->blob_bytes = info->blob_bytes;
	s->def_end = def_end;
	sh->next_store_id = FLOW_MAX(sh->next_store_id, info->id + 1);
	atomic_fetch_add(&sh->store_version, 1);
}

FlowStatus
flowi_stores_apply(FlowEnv *env, FlowDbShared *sh, const FlowStoreInfo *info,
				   uint64_t def_end)
{
	Prepared p;
	bool fits;

	FLOW_CHECK_DATA(
		info->name_bytes <= FLOW_MAX_STORE_NAME &&
			info->blob_bytes <= FLOW_MAX_BLOB && flowi_batch_store_ok(info->id),
		"definition of store %" PRIu32 " is out of bounds", info->id);
	/* it was there before the restart, so it has to be there again */
	FLOW_TRY(prepare(env, info, flowi_region_alloc_reserve, &p));
	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	fits = find_id(sh, info->id) == find_name(sh, info->name, info->name_bytes);
	if (fits)
		enter_locked(sh, info, &p, def_end);
	env->lock_release(env, &sh->state_lock);
	prepared_free(env, &p);
	FLOW_CHECK_DATA(fits,
					"store %" PRIu32 " \"%.*s\" contradicts a store of the "
					"same id or name",
					info->id, (int) info->name_bytes, info->name);
	return FLOW_OK;
}

FlowStatus
flowi_stores_check(FlowEnv *env, FlowDbShared *sh, uint32_t store_id)
{
	const FlowStore *s;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	s = find_id(sh, store_id);
	env->lock_release(env, &sh->state_lock);
	if (s == NULL)
		return flowi_fail(FLOW_INVALID, "there is no store %" PRIu32, store_id);
	return FLOW_OK;
}

FlowStatus
flowi_stores_add_new(FlowDb *db, FlowEdit *edit)
{
	FlowDbShared *sh = db->sh;
	FlowStatus st = FLOW_OK;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	for (const FlowStore *s = sh->stores; st == FLOW_OK && s; s = s->next)
	{
		if (s->def_end > atomic_load(&sh->flushed_pos))
			st = flowi_edit_store(edit, &(FlowStoreInfo){
											.id = s->id,
											.name = s->name,
											.name_bytes = s->name_bytes,
											.blob = s->blob,
											.blob_bytes = s->blob_bytes,
										});
	}
	db->env->lock_release(db->env, &sh->state_lock);
	return st;
}

void
flowi_stores_free(FlowEnv *env, FlowDbShared *sh)
{
	FlowStore *s;

	while ((s = sh->stores) != NULL)
	{
		sh->stores = s->next;
		flowi_region_free(env, s->blob);
		flowi_region_free(env, s);
	}
}

/* --------------------------------------------------------------- define */

/* Bytes of a STORE record beside name and blob, at most. */
#define RECORD_MORE 32u

/* Is that definition there already?  Sets info->id: the store's id, or the
 * next free one.  Write lock held, so nobody else defines. */
static bool
look_up(FlowDb *db, FlowStoreInfo *info)
{
	FlowDbShared *sh = db->sh;
	const FlowStore *s;
	bool same;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	s = find_name(sh, info->name, info->name_bytes);
	info->id = s ? s->id : sh->next_store_id;
	same = s && s->blob_bytes == info->blob_bytes &&
		   (info->blob_bytes == 0 ||
			memcmp(s->blob, info->blob, info->blob_bytes) == 0);
	db->env->lock_release(db->env, &sh->state_lock);
	return same;
}

/* Take all memory, log, enter: once logged, nothing can fail. */
static FlowStatus
define_locked(FlowDb *db, const FlowStoreInfo *info, uint64_t *endp)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	Prepared p;
	void *rec;
	size_t rec_bytes;
	uint64_t start;
	FlowStatus st;

	FLOW_TRY(flowi_active_ensure(db));
	FLOW_TRY(flowi_store_encode(env, info->id, info->name, info->blob,
								info->blob_bytes, &rec, &rec_bytes));
	st = prepare(env, info, flowi_region_alloc, &p);
	if (st == FLOW_OK)
	{
		flowi_active_expect(db, env->log_bound(env));
		FLOW_ASSERT(rec_bytes <=
					RECORD_MORE + info->name_bytes + info->blob_bytes);
		env->log_append(env, db, rec, rec_bytes, &start, endp);
		env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
		enter_locked(sh, info, &p, *endp);
		env->lock_release(env, &sh->state_lock);
		flowi_active_applied(db, *endp);
		prepared_free(env, &p);
	}
	env->free(env, rec);
	return st;
}

FlowStatus
flow_store_define(FlowDb *db, const char *name, const void *blob,
				  size_t blob_bytes, uint32_t *store_idp)
{
	FlowStoreInfo info = {.name = name, .blob = blob};
	size_t name_bytes = strlen(name);
	bool frozen = false;
	uint64_t end = 0;
	FlowStatus st = FLOW_OK;

	*store_idp = 0;
	if (name_bytes == 0 || name_bytes > FLOW_MAX_STORE_NAME)
		return flowi_fail(FLOW_INVALID,
						  "store name must have 1 to %u bytes, not %zu",
						  FLOW_MAX_STORE_NAME, name_bytes);
	if (blob_bytes > FLOW_MAX_BLOB)
		return flowi_fail(FLOW_INVALID,
						  "description of store \"%s\" is longer than %u bytes",
						  name, FLOW_MAX_BLOB);
	info.name_bytes = (uint32_t) name_bytes;
	info.blob_bytes = blob_bytes;
	FLOW_TRY(flowi_active_enter(db, RECORD_MORE + name_bytes + blob_bytes,
								FLOW_SYNC_DEFAULT));
	if (!look_up(db, &info))
		st = define_locked(db, &info, &end);
	if (st == FLOW_OK)
		*store_idp = info.id;
	else if (st == FLOW_BUSY)
		frozen = flowi_active_freeze(db);
	flowi_active_leave(db, frozen);
	if (st == FLOW_OK && end != 0)
		st = flowi_active_commit(db, end);
	return st;
}

FlowStatus
flow_store_find(FlowDb *db, const char *name, uint32_t *store_idp, void **blobp,
				size_t *blob_bytesp)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	const FlowStore *s;
	void *copy = NULL;
	FlowStatus st = FLOW_NOTFOUND;

	*store_idp = 0;
	if (blobp)
		*blobp = NULL;
	if (blob_bytesp)
		*blob_bytesp = 0;
	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	s = find_name(sh, name, strlen(name));
	if (s)
	{
		st = FLOW_OK;
		*store_idp = s->id;
		if (blob_bytesp)
			*blob_bytesp = s->blob_bytes;
		if (blobp)
			copy = env->alloc(env, FLOW_MAX(s->blob_bytes, 1));
		if (copy && s->blob_bytes)
			memcpy(copy, s->blob, s->blob_bytes);
	}
	env->lock_release(env, &sh->state_lock);
	if (st == FLOW_OK && blobp && copy == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	if (blobp)
		*blobp = copy;
	return st;
}

uint64_t
flow_store_version(FlowDb *db)
{
	return atomic_load(&db->sh->store_version);
}
