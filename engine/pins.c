/*-------------------------------------------------------------------------
 * pins.c
 *	  One consistent set of sources: a version and all memtables.
 *
 * A flush exchanges a memtable for SSTables under the state lock, so whoever
 * takes both under it sees each record in exactly one of them.  The active
 * memtable goes on growing while it is read; visible_end, read at the same
 * moment, cuts off what is not a whole batch yet.
 *
 * Keeps: S8.  Locks: L2 shared.
 *-------------------------------------------------------------------------
 */
#include "pins.h"

#include "active.h"

static FlowStatus
reserve(FlowEnv *env, FlowPins *pins, uint32_t n)
{
	FlowMemtable **list;

	if (n <= pins->cap)
		return FLOW_OK;
	list = env->realloc(env, pins->memtables, n * sizeof(*list));
	if (list == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	pins->memtables = list;
	pins->cap = n;
	return FLOW_OK;
}

static void
pin_memtable(FlowPins *pins, FlowMemtable *mt)
{
	flowi_memtable_ref(mt);
	pins->memtables[pins->nmemtables++] = mt;
}

/* Pin the memtables if the list has room; else tell what is needed.  Lock
 * held. */
static uint32_t
take_memtables(FlowDbShared *sh, FlowPins *pins)
{
	uint32_t n = atomic_load(&sh->nfrozen) + 1;

	if (n > pins->cap)
		return n;
	if (sh->active)
		pin_memtable(pins, sh->active);
	for (FlowMemtable *mt = sh->frozen; mt; mt = mt->next_older)
		pin_memtable(pins, mt);
	pins->visible_end =
		atomic_load_explicit(&sh->visible_end, memory_order_acquire);
	return 0;
}

/* The same for all, exchanging the version. */
static uint32_t
take_all(FlowDbShared *sh, FlowPins *pins, FlowVersion **oldp)
{
	uint32_t need = take_memtables(sh, pins);

	if (need > 0)
		return need;
	if (pins->version != sh->version)
	{
		*oldp = pins->version;
		pins->version = flowi_version_pin(sh);
	}
	return 0;
}

FlowStatus
flowi_pins_take(FlowDb *db, FlowPins *pins)
{
	FlowEnv *env = db->env;
	FlowVersion *old = NULL;
	uint32_t need = atomic_load(&db->sh->nfrozen) + 4;

	FLOW_ASSERT(pins->nmemtables == 0);
	do
	{
		FLOW_TRY(reserve(env, pins, need));
		env->lock_acquire(env, &db->sh->state_lock, FLOW_LOCK_SHARED);
		need = take_all(db->sh, pins, &old);
		env->lock_release(env, &db->sh->state_lock);
	} while (need > 0);
	flowi_version_unref(env, db->dir, old);
	return FLOW_OK;
}

FlowStatus
flowi_pins_take_memtables(FlowDb *db, FlowPins *pins)
{
	FlowEnv *env = db->env;
	uint32_t need = atomic_load(&db->sh->nfrozen) + 4;

	FLOW_ASSERT(pins->nmemtables == 0);
	do
	{
		FLOW_TRY(reserve(env, pins, need));
		env->lock_acquire(env, &db->sh->state_lock, FLOW_LOCK_SHARED);
		need = take_memtables(db->sh, pins);
		env->lock_release(env, &db->sh->state_lock);
	} while (need > 0);
	return FLOW_OK;
}

void
flowi_pins_drop_memtables(FlowDb *db, FlowPins *pins)
{
	while (pins->nmemtables > 0)
		flowi_memtable_unref(db->env, pins->memtables[--pins->nmemtables]);
}

void
flowi_pins_drop(FlowDb *db, FlowPins *pins)
{
	flowi_pins_drop_memtables(db, pins);
	flowi_version_unref(db->env, db->dir, pins->version);
	pins->version = NULL;
}

void
flowi_pins_free(FlowDb *db, FlowPins *pins)
{
	FLOW_ASSERT(pins->version == NULL && pins->nmemtables == 0);
	db->env->free(db->env, pins->memtables);
	pins->memtables = NULL;
	pins->cap = 0;
}
