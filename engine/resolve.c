/*-------------------------------------------------------------------------
 * resolve.c
 *	  Fates of transactions that SSTables do not know yet.
 *
 * A file is written once, so what becomes of its transactions stands beside
 * it, in the directory that the manifest and the region keep.  Readers may
 * have put newer states into the region than the manifest has (hints): what
 * counts here is the difference to what was saved, and a hint is believed,
 * because the log is synced between reading it and saving it (S5).
 *
 * Entries that are settled are given back afterwards; that may fail for want
 * of memory, and is tried again at each call.
 *
 * Keeps: S4, S5.
 *-------------------------------------------------------------------------
 */
#include "pins.h"
#include "version.h"

/* An SSTable of which something new is known. */
typedef struct Learned
{
	FlowSst *sst;
	uint8_t *state; /* new state of each entry */
} Learned;

typedef struct Resolve
{
	FlowDb *db;
	FlowEnv *env;
	FlowEdit *edit;
	Learned *learned;
	uint32_t nlearned;
} Resolve;

static FlowStatus
ask(FlowEnv *env, const FlowTxn *txn, uint8_t saved, uint8_t *statep)
{
	FlowTxnState state = (FlowTxnState) atomic_load(&txn->state);

	/* a state that was saved is as good as a hint */
	if (state == FLOW_TXN_UNKNOWN)
		state = (FlowTxnState) saved;
	if (state == FLOW_TXN_UNKNOWN || state == FLOW_TXN_COMMITTED)
		FLOW_TRY(env->txn_outcome(env, txn->xid, &state));
	*statep = (uint8_t) state;
	return FLOW_OK;
}

/* Ask for all that is open in sst; enter it when something is new. */
static FlowStatus
learn(Resolve *r, FlowSst *sst)
{
	FlowTxnInfo *txns = NULL;
	uint32_t ntxns;
	uint8_t *state = r->env->alloc(r->env, sst->ntxns);
	bool changed = false;
	FlowStatus st = FLOW_OK;

	if (state == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = 0; i < sst->ntxns; i++)
	{
		state[i] = sst->saved[i];
		if (state[i] == FLOW_TXN_SETTLED || state[i] == FLOW_TXN_ABORTED)
			continue;
		FLOW_GOTO(ask(r->env, &sst->txns[i], sst->saved[i], &state[i]));
		changed |= state[i] != sst->saved[i];
	}
	if (!changed)
		goto out;
	FLOW_GOTO(flowi_version_directory(r->env, sst, state, &txns, &ntxns));
	FLOW_GOTO(flowi_edit_txns(r->edit, sst->info.id, txns, ntxns));
	r->learned[r->nlearned++] = (Learned){sst, state};
	state = NULL;
out:
	r->env->free(r->env, txns);
	r->env->free(r->env, state);
	return st;
}

static FlowStatus
learn_all(Resolve *r)
{
	const FlowVersion *v = r->db->sh->version;

	r->learned =
		r->env->alloc(r->env, FLOW_MAX(v->nssts, 1) * sizeof(*r->learned));
	if (r->learned == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	FLOW_TRY(flowi_edit_create(r->env, &r->edit));
	for (uint32_t i = 0; i < v->nssts; i++)
	{
		if (atomic_load(&v->sst[i]->unsettled) == 0)
			continue;
		FLOW_TRY(learn(r, v->sst[i]));
		FLOW_TRY(r->env->poll(r->env));
	}
	return r->nlearned > 0 ? FLOW_OK : FLOW_END;
}

/* The edit is durable: tell the readers. */
static void
share(const Learned *l)
{
	FlowSst *sst = l->sst;
	uint32_t unsettled = 0;

	for (uint32_t i = 0; i < sst->ntxns; i++)
	{
		uint8_t state = l->state[i];

		flowi_version_learn(&sst->txns[i], state);
		sst->saved[i] = state;
		unsettled += state != FLOW_TXN_SETTLED;
	}
	atomic_store(&sst->unsettled, unsettled);
}

static FlowStatus
resolve(Resolve *r)
{
	FLOW_TRY(flowi_version_repair(r->db));
	FLOW_TRY(learn_all(r));
	FLOW_TRY(r->env->log_sync(r->env));
	FLOW_TRY(flowi_version_log_edit(r->db, r->edit));
	for (uint32_t i = 0; i < r->nlearned; i++)
		share(&r->learned[i]);
	return FLOW_OK;
}

FlowStatus
flow_resolve_step(FlowDb *db)
{
	Resolve r = {.db = db, .env = db->env};
	FlowStatus st;

	FLOW_TRY(flowi_version_begin(db));
	st = resolve(&r);
	if (st == FLOW_OK || st == FLOW_END)
		flowi_version_shrink(db);
	flowi_version_end(db);
	for (uint32_t i = 0; i < r.nlearned; i++)
		r.env->free(r.env, r.learned[i].state);
	r.env->free(r.env, r.learned);
	flowi_edit_free(r.edit);
	return st;
}

/* ------------------------------------------------------------ memtables */

static FlowStatus
learn_one(void *arg, FlowTxn *txn)
{
	FlowEnv *env = arg;
	FlowTxnState state = FLOW_TXN_UNKNOWN;
	FlowStatus st;

	if (atomic_load_explicit(&txn->state, memory_order_relaxed) !=
		FLOW_TXN_UNKNOWN)
		return FLOW_OK;
	st = env->txn_outcome(env, txn->xid, &state);
	if (st == FLOW_OK)
		flowi_version_learn(txn, state);
	return st == FLOW_CORRUPT ? FLOW_OK : st;
}

FlowStatus
flow_learn_fates(FlowDb *db)
{
	FlowPins pins = {0};
	FlowStatus st = flowi_pins_take(db, &pins);

	for (uint32_t i = 0; st == FLOW_OK && i < pins.nmemtables; i++)
	{
		st = flowi_memtable_each_txn(pins.memtables[i], learn_one, db->env);
		if (st == FLOW_OK)
			st = db->env->poll(db->env);
	}
	flowi_pins_drop(db, &pins);
	flowi_pins_free(db, &pins);
	return st;
}
