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
 * A store that was dropped under a name may be followed by another of the same
 * name, which has a higher id.  While both are in the list, the older one is
 * marked: the newer would not exist if the drop had not been known (drop.c).
 *
 * Locks: L1 to define, L2 for the list.
 *-------------------------------------------------------------------------
 */
#include "store.h"

#include <inttypes.h>
#include <stdlib.h>

#include "active.h"
#include "configure.h"
#include "drop.h"

/* ----------------------------------------------------------------- list */

/* The store of that name that is not dropped; state lock held. */
static FlowStore *
find_name(const FlowDbShared *sh, const char *name, size_t name_bytes)
{
	for (FlowStore *s = sh->stores; s; s = s->next)
	{
		if (!s->dropped && s->name_bytes == name_bytes &&
			memcmp(s->name, name, name_bytes) == 0)
			return s;
	}
	return NULL;
}

/* The definition, marked or not, or NULL; the state lock is held. */
static FlowStore *
find_store(const FlowDbShared *sh, uint32_t id)
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

static FlowStatus
no_room(const FlowStoreInfo *info)
{
	return flowi_fail(FLOW_NOMEM,
					  "out of shared memory for the definition of store "
					  "\"%.*s\"",
					  (int) info->name_bytes, info->name);
}

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
		return no_room(info);
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
enter_locked(FlowEnv *env, FlowDbShared *sh, const FlowStoreInfo *info,
			 Prepared *p, uint64_t def_end)
{
	FlowStore *s = find_store(sh, info->id);
	void *old_blob;

	if (s == NULL)
	{
		s = p->store;
		p->store = NULL;
		s->next = sh->stores;
		sh->stores = s;
		sh->nstores++;
		flowi_region_promise(env, 1);
	}
	old_blob = s->blob;
	s->blob = p->blob;
	p->blob = old_blob;
	s->blob_bytes = info->blob_bytes;
	s->def_end = def_end;
	flowi_configure_entered(env, sh, s);
	sh->next_store_id = FLOW_MAX(sh->next_store_id, info->id + 1);
	atomic_fetch_add(&sh->store_version, 1);
}

/*
 * Does the definition fit to the others?  Of two stores of one name the one
 * with the lower id must be on its way out.  State lock held exclusive.
 */
static bool
make_fit(FlowDbShared *sh, const FlowStoreInfo *info, bool *droppedp)
{
	const FlowStore *same_id = find_store(sh, info->id);
	const FlowStore *same_name = find_name(sh, info->name, info->name_bytes);

	*droppedp = false;
	if (same_id)
		return same_id->name_bytes == info->name_bytes &&
			   memcmp(same_id->name, info->name, info->name_bytes) == 0;
	if (same_name == NULL)
		return true;
	*droppedp = same_name->id > info->id;
	if (!flowi_drops_pending(sh, *droppedp ? info->id : same_name->id))
		return false;
	if (!*droppedp)
		flowi_stores_mark(sh, same_name->id);
	return true;
}

FlowStatus
flowi_stores_apply(FlowEnv *env, FlowDbShared *sh, const FlowStoreInfo *info,
				   uint64_t def_end)
{
	Prepared p;
	bool fits;
	bool dropped = false;

	FLOW_CHECK_DATA(
		info->name_bytes <= FLOW_MAX_STORE_NAME &&
			info->blob_bytes <= FLOW_MAX_BLOB && flowi_batch_store_ok(info->id),
		"definition of store %" PRIu32 " is out of bounds", info->id);
	FLOW_TRY(flowi_configure_check(info));
	/* it was there before the restart, so it has to be there again */
	FLOW_TRY(prepare(env, info, flowi_region_alloc_reserve, &p));
	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	if (def_end > 0 && flowi_stores_gone(sh, info->id))
		fits = true; /* redo has come to a store that was dropped later */
	else
	{
		fits = make_fit(sh, info, &dropped);
		if (fits)
			enter_locked(env, sh, info, &p, def_end);
		if (dropped)
			flowi_stores_mark(sh, info->id);
	}
	env->lock_release(env, &sh->state_lock);
	prepared_free(env, &p);
	FLOW_CHECK_DATA(fits,
					"store %" PRIu32 " \"%.*s\" contradicts a store of the "
					"same id or name",
					info->id, (int) info->name_bytes, info->name);
	return FLOW_OK;
}

static bool
is_there(FlowEnv *env, FlowDbShared *sh, uint32_t store_id)
{
	const FlowStore *s;
	bool there;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	s = find_store(sh, store_id);
	there = s && !s->dropped;
	env->lock_release(env, &sh->state_lock);
	return there;
}

FlowStatus
flowi_stores_check(FlowEnv *env, FlowDbShared *sh, uint32_t store_id)
{
	if (!is_there(env, sh, store_id))
		return flowi_fail(FLOW_INVALID, "there is no store %" PRIu32, store_id);
	return FLOW_OK;
}

/* Drops go first: they tell which of two stores of one name is the dead one.
 * The id of the next store comes with all definitions below it (I25). */
static FlowStatus
add_stores(FlowDb *db, FlowEdit *edit, bool all)
{
	FlowDbShared *sh = db->sh;
	uint64_t flushed = atomic_load(&sh->flushed_pos);
	FlowStatus st;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	st = flowi_drops_tell(sh, edit, all);
	for (const FlowStore *s = sh->stores; st == FLOW_OK && s; s = s->next)
	{
		if (all || s->def_end > flushed)
			st = flowi_edit_store(edit, &(FlowStoreInfo){
											.id = s->id,
											.name = s->name,
											.name_bytes = s->name_bytes,
											.blob = s->blob,
											.blob_bytes = s->blob_bytes,
										});
	}
	if (st == FLOW_OK)
		st = flowi_edit_next_store(edit, sh->next_store_id);
	db->env->lock_release(db->env, &sh->state_lock);
	return st;
}

FlowStatus
flowi_stores_add_new(FlowDb *db, FlowEdit *edit)
{
	return add_stores(db, edit, false);
}

FlowStatus
flowi_stores_add_all(FlowDb *db, FlowEdit *edit)
{
	return add_stores(db, edit, true);
}

FlowStatus
flowi_stores_check_read(FlowDb *db, uint32_t store_id)
{
	FlowDbShared *sh = db->sh;
	uint64_t number = atomic_load(&sh->drop_number);
	bool dropped;

	if (number == 0 || (db->there == store_id && db->there_number == number))
		return FLOW_OK;
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	dropped = flowi_stores_gone(sh, store_id) ||
			  (sh->nmarked > 0 && flowi_stores_marked(sh, store_id));
	db->env->lock_release(db->env, &sh->state_lock);
	if (dropped)
		return flowi_fail(FLOW_INVALID, "store %" PRIu32 " was dropped",
						  store_id);
	db->there = store_id;
	db->there_number = number;
	return FLOW_OK;
}

void
flowi_stores_next(FlowDbShared *sh, uint32_t id)
{
	sh->next_store_id = FLOW_MAX(sh->next_store_id, id);
}

void
flowi_stores_free_list(FlowEnv *env, FlowStore *list)
{
	while (list != NULL)
	{
		FlowStore *s = list;

		list = s->next;
		flowi_region_promise(env, -1);
		flowi_region_free(env, s->blob);
		flowi_region_free(env, s);
	}
}

void
flowi_stores_free(FlowEnv *env, FlowDbShared *sh)
{
	flowi_stores_free_list(env, sh->stores);
	sh->stores = NULL;
	sh->nstores = 0;
	sh->nmarked = 0;
	flowi_drops_free(env, sh);
}

/* --------------------------------------------------------------- the end */

bool
flowi_stores_gone(const FlowDbShared *sh, uint32_t id)
{
	return id < sh->next_store_id && sh->nstores + 1 < sh->next_store_id &&
		   find_store(sh, id) == NULL;
}

void
flowi_stores_mark(FlowDbShared *sh, uint32_t id)
{
	FlowStore *s = find_store(sh, id);

	if (s == NULL || s->dropped)
		return;
	s->dropped = true;
	sh->nmarked++;
	atomic_fetch_add(&sh->drop_number, 1);
	atomic_fetch_add(&sh->store_version, 1);
}

bool
flowi_stores_marked(const FlowDbShared *sh, uint32_t id)
{
	const FlowStore *s = find_store(sh, id);

	return s && s->dropped;
}

static int
id_cmp(const void *pa, const void *pb)
{
	const uint32_t a = *(const uint32_t *) pa;
	const uint32_t b = *(const uint32_t *) pb;

	return (a > b) - (a < b);
}

uint32_t
flowi_stores_list_marked(const FlowDbShared *sh, uint32_t *ids, uint32_t cap)
{
	uint32_t n = 0;

	for (const FlowStore *s = sh->stores; s && n < cap; s = s->next)
	{
		if (s->dropped)
			ids[n++] = s->id;
	}
	if (n > 0)
		qsort(ids, n, sizeof(*ids), id_cmp);
	return n;
}

bool
flowi_stores_among(const uint32_t *ids, uint32_t n, uint32_t id)
{
	return n > 0 && bsearch(&id, ids, n, sizeof(*ids), id_cmp) != NULL;
}

FlowStore *
flowi_stores_take(FlowDbShared *sh, const uint32_t *ids, uint32_t n)
{
	FlowStore **at = &sh->stores;
	FlowStore *out = NULL;

	while (*at)
	{
		FlowStore *s = *at;

		if (!flowi_stores_among(ids, n, s->id))
		{
			at = &s->next;
			continue;
		}
		*at = s->next;
		s->next = out;
		out = s;
		sh->nstores--;
		sh->nmarked -= s->dropped;
	}
	atomic_fetch_add(&sh->store_version, 1);
	return out;
}

/* --------------------------------------------------------------- define */

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
	bool fresh = info->id == sh->next_store_id;
	Prepared p;
	void *rec;
	size_t rec_bytes;
	uint64_t start;
	FlowStatus st;

	/* a store that no flush has room for would stop all others' */
	if (fresh && !flowi_is_reserved(info->name) &&
		!flowi_region_has_room(env, sizeof(FlowStore) + info->name_bytes +
										info->blob_bytes))
		return no_room(info);
	FLOW_TRY(flowi_active_ensure(db));
	FLOW_TRY(flowi_store_encode(env, info->id, info->name, info->blob,
								info->blob_bytes, &rec, &rec_bytes));
	st = prepare(env, info, flowi_region_alloc, &p);
	if (st == FLOW_OK)
	{
		flowi_active_expect(db, env->log_bound(env));
		FLOW_ASSERT(rec_bytes <= FLOW_STORE_RECORD_MORE + info->name_bytes +
									 info->blob_bytes);
		env->log_append(env, db, rec, rec_bytes, &start, endp);
		env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
		enter_locked(env, sh, info, &p, *endp);
		env->lock_release(env, &sh->state_lock);
		flowi_active_applied(db, *endp);
		prepared_free(env, &p);
	}
	env->free(env, rec);
	return st;
}

FlowStatus
flowi_stores_define(FlowDb *db, FlowStoreInfo *info, uint64_t *endp)
{
	*endp = 0;
	return look_up(db, info) ? FLOW_OK : define_locked(db, info, endp);
}

FlowStatus
flow_store_define(FlowDb *db, const char *name, const void *blob,
				  size_t blob_bytes, uint32_t *store_idp)
{
	FlowStoreInfo info = {.name = name, .blob = blob};
	size_t name_bytes = strlen(name);
	bool frozen = false;
	uint64_t end = 0;
	FlowStatus st;

	*store_idp = 0;
	if (name_bytes == 0 || name_bytes > FLOW_MAX_STORE_NAME)
		return flowi_fail(FLOW_INVALID,
						  "store name must have 1 to %u bytes, not %zu",
						  FLOW_MAX_STORE_NAME, name_bytes);
	if (flowi_is_reserved(name))
		return flowi_fail(FLOW_INVALID,
						  "names of stores do not begin with byte 1");
	if (blob_bytes > FLOW_MAX_BLOB)
		return flowi_fail(FLOW_INVALID,
						  "description of store \"%s\" is longer than %u bytes",
						  name, FLOW_MAX_BLOB);
	info.name_bytes = (uint32_t) name_bytes;
	info.blob_bytes = blob_bytes;
	FLOW_TRY(
		flowi_active_enter(db, FLOW_STORE_RECORD_MORE + name_bytes + blob_bytes,
						   FLOW_SYNC_DEFAULT));
	st = flowi_stores_define(db, &info, &end);
	if (st == FLOW_OK)
		*store_idp = info.id;
	else if (st == FLOW_BUSY)
		frozen = flowi_active_freeze(db);
	flowi_active_leave(db, frozen);
	if (st == FLOW_OK && end != 0)
		st = flowi_active_commit(db, end);
	return st;
}

/* Has the store of that name a drop that is not decided?  Its id, else 0. */
static uint32_t
in_question(FlowDb *db, const char *name)
{
	FlowDbShared *sh = db->sh;
	const FlowStore *s;
	uint32_t id = 0;

	if (atomic_load(&sh->ndrops) == 0)
		return 0;
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	s = find_name(sh, name, strlen(name));
	if (s && flowi_drops_pending(sh, s->id))
		id = s->id;
	db->env->lock_release(db->env, &sh->state_lock);
	return id;
}

FlowStatus
flow_store_find(FlowDb *db, const char *name, uint32_t *store_idp, void **blobp,
				size_t *blob_bytesp)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	const FlowStore *s;
	void *copy = NULL;
	uint32_t doubtful = in_question(db, name);
	FlowStatus st = FLOW_NOTFOUND;

	*store_idp = 0;
	if (blobp)
		*blobp = NULL;
	if (blob_bytesp)
		*blob_bytesp = 0;
	if (doubtful != 0)
		FLOW_TRY(flowi_drops_learn(db, doubtful, true));
	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	s = find_name(sh, name, strlen(name));
	if (s && !flowi_is_reserved(name))
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

bool
flow_store_exists(FlowDb *db, uint32_t store_id)
{
	return flowi_stores_check_read(db, store_id) == FLOW_OK;
}
