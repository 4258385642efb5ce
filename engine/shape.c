/*-------------------------------------------------------------------------
 * shape.c
 *	  The shape of a store's rows: asked of the host, who wrote the blob.
 *
 * Locks: L2 for the blob.
 *-------------------------------------------------------------------------
 */
#include "db.h"
#include "row.h"

/* A copy of the store's blob; NULL when there is none. */
static FlowStatus
copy_blob(FlowDb *db, uint32_t store_id, void **blobp, size_t *bytesp)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	bool found = false;

	*blobp = NULL;
	*bytesp = 0;
	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	for (const FlowStore *s = sh->stores; s && !found; s = s->next)
	{
		if (s->id != store_id || s->blob_bytes == 0)
			continue;
		found = true;
		*blobp = env->alloc(env, s->blob_bytes);
		if (*blobp == NULL)
			continue;
		memcpy(*blobp, s->blob, s->blob_bytes);
		*bytesp = s->blob_bytes;
	}
	env->lock_release(env, &sh->state_lock);
	if (found && *blobp == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	return FLOW_OK;
}

static bool
shape_ok(const FlowShape *shape)
{
	if (shape->ncolumns > FLOW_MAX_COLUMNS)
		return false;
	for (uint32_t c = 0; c < shape->ncolumns; c++)
		if (!flowi_column_ok(&shape->columns[c]))
			return false;
	return true;
}

FlowStatus
flowi_store_shape(FlowDb *db, uint32_t store_id, FlowShape *shape)
{
	FlowEnv *env = db->env;
	FlowStatus st;
	void *blob;
	size_t bytes;

	*shape = (FlowShape){0, NULL};
	if (env->store_shape == NULL)
		return FLOW_OK;
	FLOW_TRY(copy_blob(db, store_id, &blob, &bytes));
	if (blob == NULL)
		return FLOW_OK;
	st = env->store_shape(env, blob, bytes, shape);
	env->free(env, blob);
	if (st == FLOW_NOMEM)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	if (st != FLOW_OK)
		*shape = (FlowShape){0, NULL};
	else if (!shape_ok(shape))
		flowi_shape_free(env, shape);
	return st == FLOW_NOTFOUND ? FLOW_OK : st;
}

void
flowi_shape_free(FlowEnv *env, FlowShape *shape)
{
	env->free(env, (void *) (uintptr_t) shape->columns);
	*shape = (FlowShape){0, NULL};
}
