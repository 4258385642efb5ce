/*-------------------------------------------------------------------------
 * trash.c
 *	  Files that are not listed any more, until they are gone.
 *
 * The edit that removes an SSTable says at the same time that its file may
 * still be there: readers of older versions use it, a backup may copy it, or
 * the server dies before it is unlinked.  A load unlinks such files and asks
 * no question; any other file that is not listed may be the proof of a lost
 * edit (load.c).  So the manifest may forget a file only when it cannot come
 * back: it was unlinked, and the directory synced.
 *
 *	 removed -> unused (its last reader is gone) -> claimed by a sweep ->
 *	 gone (unlinked, directory synced) -> told to the manifest, forgotten
 *
 * Nothing waits for a file to go.  A sweep that fails leaves its entries as
 * they were, for the next one.
 *
 * Entries are found again by id, and kept in order: between claim and result
 * a sweep holds no pointer, as flow_discard may empty the list meanwhile.
 *
 * Keeps: I4, I15, S12.  Locks: L2, never during I/O.
 *-------------------------------------------------------------------------
 */
#include "trash.h"

#include "cache.h"

FlowTrash *
flowi_trash_alloc(FlowEnv *env, uint32_t n)
{
	FlowTrash *list = NULL;

	while (n-- > 0)
	{
		FlowTrash *t = flowi_region_alloc_reserve(env, sizeof(*t));

		if (t == NULL)
		{
			flowi_trash_free(env, list);
			(void) flowi_fail(FLOW_NOMEM,
							  "out of shared memory for obsolete files");
			return NULL;
		}
		t->next = list;
		list = t;
	}
	return list;
}

void
flowi_trash_free(FlowEnv *env, FlowTrash *list)
{
	while (list != NULL)
	{
		FlowTrash *t = list;

		list = t->next;
		flowi_region_free(env, t);
	}
}

void
flowi_trash_add(FlowDbShared *sh, FlowTrash *list)
{
	while (list != NULL)
	{
		FlowTrash *t = list;

		list = t->next;
		t->next = sh->trash;
		sh->trash = t;
	}
}

void
flowi_trash_unused(FlowEnv *env, FlowDbShared *sh, uint64_t id)
{
	FlowTrash *t;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	for (t = sh->trash; t && t->id != id; t = t->next)
		;
	if (t) /* not after flow_discard */
		t->unused = true;
	env->lock_release(env, &sh->state_lock);
}

/* ---------------------------------------------------------------- sweep */

/* An entry that a sweep has claimed. */
typedef struct Claim
{
	uint64_t id;
	int64_t since;
	bool unlinked;
} Claim;

static bool
is_ripe(const FlowTrash *t)
{
	return t->unused && !t->claimed && !t->gone;
}

/* How many there are to claim, at this moment. */
static uint32_t
count_ripe(FlowEnv *env, FlowDbShared *sh)
{
	uint32_t n = 0;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	for (const FlowTrash *t = sh->trash; t; t = t->next)
		n += is_ripe(t);
	env->lock_release(env, &sh->state_lock);
	return n;
}

/* Claim at most cap; in the order of the list. */
static uint32_t
claim(FlowEnv *env, FlowDbShared *sh, Claim *claims, uint32_t cap)
{
	uint32_t n = 0;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	for (FlowTrash *t = sh->trash; t && n < cap; t = t->next)
	{
		if (!is_ripe(t))
			continue;
		t->claimed = true;
		claims[n++] = (Claim){.id = t->id, .since = t->since};
	}
	env->lock_release(env, &sh->state_lock);
	return n;
}

/* Give the claims back; what was unlinked is gone if that is durable. */
static void
settle(FlowEnv *env, FlowDbShared *sh, const Claim *claims, uint32_t n,
	   bool durable)
{
	uint32_t i = 0;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	for (FlowTrash *t = sh->trash; t && i < n; t = t->next)
	{
		if (t->id != claims[i].id)
			continue;
		t->claimed = false;
		t->gone = durable && claims[i].unlinked;
		i++;
	}
	env->lock_release(env, &sh->state_lock);
}

/* Unlink what need not stay; true: something went.  A file that is not there
 * was unlinked by a sweep that could not sync the directory. */
static bool
unlink_claims(FlowEnv *env, const FlowDbShared *sh, const char *dir,
			  Claim *claims, uint32_t n)
{
	bool any = false;

	for (uint32_t i = 0; i < n; i++)
	{
		char path[FLOW_PATH_BYTES];
		FlowStatus st;

		if (env->keep_files && env->keep_files(env, claims[i].since))
			continue;
		flowi_version_path(dir, claims[i].id, path);
		st = env->unlink(env, path);
		claims[i].unlinked = st == FLOW_OK || st == FLOW_NOTFOUND;
		if (claims[i].unlinked)
			flowi_cache_forget(env, sh->cache_space, claims[i].id);
		any |= claims[i].unlinked;
	}
	return any;
}

/* Whoever sweeps may have an error to tell, and ours is none. */
void
flowi_trash_sweep_in(FlowEnv *env, FlowDbShared *sh, const char *dir)
{
	uint32_t cap = count_ripe(env, sh);
	const FlowError error = *flow_last_error();
	char path[FLOW_PATH_BYTES];
	Claim *claims;
	uint32_t n;
	bool durable = false;

	if (cap == 0)
		return;
	claims = env->alloc(env, cap * sizeof(*claims));
	if (claims == NULL)
		return;
	n = claim(env, sh, claims, cap);
	flowi_version_sst_dir(dir, path);
	if (unlink_claims(env, sh, dir, claims, n))
		durable = FLOW_POINT(env, "trash-unlinked") == FLOW_OK &&
				  env->sync_dir(env, path) == FLOW_OK;
	settle(env, sh, claims, n, durable);
	env->free(env, claims);
	flowi_error_restore(&error);
}

void
flowi_trash_sweep(FlowDb *db)
{
	flowi_trash_sweep_in(db->env, db->sh, db->dir);
}

/* ------------------------------------------------------------- manifest */

FlowStatus
flowi_trash_tell(FlowDb *db, FlowEdit *edit, bool snapshot)
{
	FlowStatus st = FLOW_OK;

	db->env->lock_acquire(db->env, &db->sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	for (FlowTrash *t = db->sh->trash; st == FLOW_OK && t; t = t->next)
	{
		t->told = t->gone;
		if (snapshot && !t->gone)
			st = flowi_edit_trash(edit, t->id);
		else if (!snapshot && t->gone)
			t->told = flowi_edit_gone(edit, t->id) == FLOW_OK;
	}
	db->env->lock_release(db->env, &db->sh->state_lock);
	return st;
}

void
flowi_trash_told(FlowDb *db)
{
	FlowTrash **at = &db->sh->trash;
	FlowTrash *told = NULL;

	db->env->lock_acquire(db->env, &db->sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	while (*at != NULL)
	{
		FlowTrash *t = *at;

		if (!t->told)
		{
			at = &t->next;
			continue;
		}
		*at = t->next;
		t->next = told;
		told = t;
	}
	db->env->lock_release(db->env, &db->sh->state_lock);
	flowi_trash_free(db->env, told);
}

uint32_t
flowi_trash_ngone(FlowDb *db)
{
	uint32_t n = 0;

	db->env->lock_acquire(db->env, &db->sh->state_lock, FLOW_LOCK_SHARED);
	for (const FlowTrash *t = db->sh->trash; t; t = t->next)
		n += t->gone;
	db->env->lock_release(db->env, &db->sh->state_lock);
	return n;
}
