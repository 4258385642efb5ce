/*-------------------------------------------------------------------------
 * resolve.c
 *	  Fates of transactions that SSTables do not know yet, and of those that
 *	  drop stores (drop.c).
 *
 * A file is written once, so what becomes of its transactions stands beside
 * it, in the directory that the manifest and the region keep.  Readers may
 * have put newer states into the region than the manifest has (hints): what
 * counts here is the difference to what was saved, and a hint is believed,
 * because the log is synced between reading it and saving it (S5).
 *
 * There may be some hundred thousand entries, and this runs each second.  So
 * the host is asked once for a transaction that stands in neighbouring
 * entries or in several files (a small cache of its last answers), never again
 * for an aborted one, and only for so many in a step that it has nothing new
 * to say of; the next step goes on where one has stopped.  Answers that are
 * new are not limited: they make the entries fewer, and memory may be short.
 *
 * Entries that are settled are given back afterwards; that may fail for want
 * of memory, and is tried again at each call.
 *
 * Keeps: S4, S5.
 *-------------------------------------------------------------------------
 */
#include "drop.h"
#include "pins.h"
#include "trash.h"

#define VAIN_ASKS 20000 /* questions without news in a step */
#define ANSWERS 1024	/* of the host, kept during a step */
#define GONE_FILES 256	/* so many are worth an edit of their own */

/* What the host said of a transaction; xid 0: nothing. */
typedef struct Answer
{
	uint64_t xid;
	FlowTxnState state;
} Answer;

/* An SSTable with open entries, and what is known of each now. */
typedef struct Learned
{
	FlowSst *sst;
	uint8_t *state;
	bool changed; /* something that is not saved */
} Learned;

typedef struct Resolve
{
	FlowDb *db;
	FlowEnv *env;
	FlowEdit *edit;
	Learned *learned; /* in the order of the version */
	uint32_t nlearned;
	uint32_t nchanged;
	Answer *answers;
	uint64_t vain_left;
	FlowResolveAt next; /* the first entry that was left out; 0: none */
} Resolve;

/* ---------------------------------------------------------------- asking */

static Answer *
answer_of(const Resolve *r, uint64_t xid)
{
	uint64_t hash = xid * UINT64_C(0x9e3779b97f4a7c15);

	return &r->answers[(hash >> 32) % ANSWERS];
}

/* Ask the host, unless it has just answered. */
static FlowStatus
ask_host(Resolve *r, uint64_t xid, FlowTxnState *statep)
{
	Answer *answer = answer_of(r, xid);
	FlowTxnState state = *statep;

	if (answer->xid != xid || xid == 0)
	{
		FLOW_TRY(r->env->txn_outcome(r->env, xid, &state));
		*answer = (Answer){xid, state};
		if (state == *statep)
			r->vain_left--;
	}
	if (answer->state != FLOW_TXN_UNKNOWN)
		*statep = answer->state;
	return FLOW_OK;
}

static bool
is_open(uint8_t state)
{
	return state == FLOW_TXN_UNKNOWN || state == FLOW_TXN_COMMITTED;
}

/*
 * Ask for the open entries of l whose first sequence is in [lo, hi].  *morep:
 * there are some left, but no question; then r->next is the first.
 */
static FlowStatus
ask_for(Resolve *r, Learned *l, uint64_t lo, uint64_t hi, bool *morep)
{
	FlowSst *sst = l->sst;

	*morep = false;
	for (uint32_t i = 0; i < sst->ntxns; i++)
	{
		const FlowTxn *txn = &sst->txns[i];
		FlowTxnState state = (FlowTxnState) l->state[i];

		if (!is_open(l->state[i]) || txn->seq_first < lo || txn->seq_first > hi)
			continue;
		if (r->vain_left == 0)
		{
			r->next = (FlowResolveAt){sst->info.store_id, sst->info.id,
									  txn->seq_first};
			*morep = true;
			return FLOW_OK;
		}
		FLOW_TRY(ask_host(r, txn->xid, &state));
		l->state[i] = (uint8_t) state;
		l->changed |= state != sst->saved[i];
	}
	return r->env->poll(r->env);
}

/* Ask for all, beginning at from and going round. */
static FlowStatus
ask_round(Resolve *r, const FlowResolveAt *from)
{
	uint32_t first = 0;
	uint64_t lo = 0;
	bool more = false;

	while (first < r->nlearned &&
		   (r->learned[first].sst->info.store_id < from->store_id ||
			(r->learned[first].sst->info.store_id == from->store_id &&
			 r->learned[first].sst->info.id < from->sst_id)))
		first++;
	if (first == r->nlearned)
		first = 0;
	else if (r->learned[first].sst->info.id == from->sst_id)
		lo = from->seq;
	for (uint32_t k = 0; k < r->nlearned && !more; k++)
	{
		uint32_t i = (first + k) % r->nlearned;

		FLOW_TRY(
			ask_for(r, &r->learned[i], k == 0 ? lo : 0, UINT64_MAX, &more));
	}
	if (!more && lo > 0)
		FLOW_TRY(ask_for(r, &r->learned[first], 0, lo - 1, &more));
	return FLOW_OK;
}

/* -------------------------------------------------------------- learning */

/* What is known without asking: what was saved is as good as a hint. */
static FlowStatus
take_hints(Resolve *r, FlowSst *sst)
{
	Learned *l = &r->learned[r->nlearned];

	*l = (Learned){sst, r->env->alloc(r->env, FLOW_MAX(sst->ntxns, 1)), false};
	if (l->state == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	r->nlearned++;
	for (uint32_t i = 0; i < sst->ntxns; i++)
	{
		uint32_t hint = atomic_load(&sst->txns[i].state);

		l->state[i] = sst->saved[i];
		if (is_open(sst->saved[i]) && hint != FLOW_TXN_UNKNOWN)
			l->state[i] = (uint8_t) hint;
		l->changed |= l->state[i] != sst->saved[i];
	}
	return FLOW_OK;
}

static FlowStatus
learn_all(Resolve *r, const FlowResolveAt *from)
{
	const FlowVersion *v = r->db->sh->version;
	size_t answers_bytes = ANSWERS * sizeof(*r->answers);

	r->learned =
		r->env->alloc(r->env, FLOW_MAX(v->nssts, 1) * sizeof(*r->learned));
	r->answers = r->env->alloc(r->env, answers_bytes);
	if (r->learned == NULL || r->answers == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(r->answers, 0, answers_bytes);
	for (uint32_t i = 0; i < v->nssts; i++)
	{
		if (atomic_load(&v->sst[i]->unsettled) > 0)
			FLOW_TRY(take_hints(r, v->sst[i]));
	}
	return ask_round(r, from);
}

/* The edit that says what is new. */
static FlowStatus
make_edit(Resolve *r)
{
	FLOW_TRY(flowi_edit_create(r->env, &r->edit));
	for (uint32_t i = 0; i < r->nlearned; i++)
	{
		const Learned *l = &r->learned[i];
		FlowTxnInfo *txns;
		uint32_t ntxns;
		FlowStatus st;

		if (!l->changed)
			continue;
		r->nchanged++;
		FLOW_TRY(
			flowi_version_directory(r->env, l->sst, l->state, &txns, &ntxns));
		st = flowi_edit_txns(r->edit, l->sst->info.id, txns, ntxns);
		r->env->free(r->env, txns);
		FLOW_TRY(st);
	}
	return FLOW_OK;
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
resolve(Resolve *r, const FlowResolveAt *from)
{
	FLOW_TRY(flowi_version_repair(r->db));
	FLOW_TRY(learn_all(r, from));
	FLOW_TRY(make_edit(r));
	r->db->sh->resolve_at = r->next;
	if (r->nchanged == 0 && flowi_trash_ngone(r->db) < GONE_FILES)
		return FLOW_END;
	if (r->nchanged > 0)
		FLOW_TRY(r->env->log_sync(r->env));
	FLOW_TRY(flowi_version_log_edit(r->db, r->edit));
	for (uint32_t i = 0; i < r->nlearned; i++)
	{
		if (r->learned[i].changed)
			share(&r->learned[i]);
	}
	return r->nchanged > 0 ? FLOW_OK : FLOW_END;
}

/* Stores go first: nobody need ask for the transactions of their rows. */
static FlowStatus
resolve_drops(FlowDb *db)
{
	FLOW_TRY(flowi_drops_learn(db, 0, false));
	return flowi_drops_settle(db);
}

/* The trash is swept whatever becomes of the rest. */
static FlowStatus
resolve_step(FlowDb *db, uint64_t vain_asks)
{
	Resolve r = {.db = db, .env = db->env, .vain_left = vain_asks};
	FlowStatus st = flowi_version_begin(db);

	if (st == FLOW_OK)
	{
		const FlowResolveAt from = db->sh->resolve_at;
		FlowStatus drops = resolve_drops(db);

		st = drops;
		if (st == FLOW_OK || st == FLOW_END)
			st = resolve(&r, &from);
		if (st == FLOW_OK || st == FLOW_END)
			flowi_version_shrink(db);
		if (st == FLOW_END)
			st = drops; /* they were new */
		flowi_version_end(db);
	}
	flowi_trash_sweep(db);
	for (uint32_t i = 0; i < r.nlearned; i++)
		r.env->free(r.env, r.learned[i].state);
	r.env->free(r.env, r.learned);
	r.env->free(r.env, r.answers);
	flowi_edit_free(r.edit);
	return st;
}

FlowStatus
flow_resolve_step(FlowDb *db)
{
	return resolve_step(db, VAIN_ASKS);
}

FlowStatus
flow_resolve_all(FlowDb *db)
{
	return resolve_step(db, UINT64_MAX);
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
	FlowStatus st = flowi_drops_learn(db, 0, true);

	if (st == FLOW_OK)
		st = flowi_pins_take(db, &pins);
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
