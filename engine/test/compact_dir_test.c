/*-------------------------------------------------------------------------
 * compact_dir_test.c
 *	  Directories of merged files: whatever entries lie over one another, as
 *	  redo after a restored backup can make them, each row finds its own.
 *-------------------------------------------------------------------------
 */
#include "../compact_dir.h"
#include "../env_posix.h"
#include "check.h"

static FlowEnv *env;

#define INPUTS 4
#define ENTRIES 6
#define SEQS 40

/* An input: rows by sequence, entries over them. */
typedef struct Source
{
	FlowSst sst;
	FlowTxn txns[ENTRIES];
	uint8_t saved[ENTRIES];
	bool has_row[SEQS];
} Source;

static Source source[INPUTS];
static uint64_t owner[SEQS]; /* whose row it is; 0: settled */

/*
 * Who wrote a sequence is the same in all inputs.  An entry begins and ends
 * at rows of its transaction, and has rows of no other in its own input.
 */
static void
make_source(CheckRandom *r, Source *s)
{
	FlowTxn *last = NULL;

	memset(s, 0, sizeof(*s));
	s->sst.txns = s->txns;
	s->sst.saved = s->saved;
	for (uint64_t seq = 1; seq < SEQS; seq++)
	{
		if (check_below(r, 3) != 0)
			continue;
		if (owner[seq] == 0)
		{
			s->has_row[seq] = true;
			last = NULL;
			continue;
		}
		if (last && last->xid == owner[seq])
			last->seq_last = seq;
		else if (s->sst.ntxns == ENTRIES)
			continue;
		else
		{
			last = &s->txns[s->sst.ntxns++];
			last->seq_first = last->seq_last = seq;
			last->xid = owner[seq];
		}
		s->has_row[seq] = true;
	}
	atomic_store(&s->sst.unsettled, s->sst.ntxns);
}

/* Every row that was noted is where it belongs. */
static void
check_directory(const FlowTxnInfo *infos, uint32_t n, const bool *noted)
{
	for (uint32_t i = 1; i < n; i++)
		CHECK(infos[i].seq_first > infos[i - 1].seq_last);
	for (uint64_t seq = 1; seq < SEQS; seq++)
	{
		uint64_t xid = 0;

		for (uint32_t i = 0; i < n; i++)
			if (infos[i].seq_first <= seq && seq <= infos[i].seq_last)
				xid = infos[i].xid;
		CHECK(!noted[seq] || xid == owner[seq]);
	}
}

static void
test_random(CheckRandom *r)
{
	FlowSst *ssts[INPUTS];
	uint64_t cut = 0;

	for (int round = 0; round < 30000; round++)
	{
		bool noted[SEQS] = {false};
		FlowMergeDir dir;
		FlowMergeTxn *txns;
		FlowTxnInfo *infos;
		uint32_t n, ninfos;
		uint32_t inputs = 1 + (uint32_t) check_below(r, INPUTS);
		uint64_t xids = 1 + check_below(r, 4);

		for (uint64_t seq = 1; seq < SEQS; seq++)
			owner[seq] = check_below(r, xids + 1);
		for (uint32_t i = 0; i < inputs; i++)
		{
			make_source(r, &source[i]);
			ssts[i] = &source[i].sst;
		}
		CHECK_OK(flowi_mergedir_init(&dir, env, ssts, inputs));
		for (uint64_t seq = 1; seq < SEQS; seq++)
		{
			/* the same row of several inputs is written once (K4) */
			uint32_t i = (uint32_t) check_below(r, inputs);

			if (!source[i].has_row[seq] || check_below(r, 4) == 0)
				continue;
			noted[seq] = true;
			CHECK_OK(flowi_mergedir_note(
				&dir, i, flowi_version_find_txn(ssts[i], seq), seq));
		}
		CHECK_OK(flowi_mergedir_take(&dir, &txns, &n));
		CHECK_OK(flowi_mergedir_now(&dir, txns, n, ssts, &infos, &ninfos));
		CHECK(n == ninfos);
		check_directory(infos, ninfos, noted);
		for (uint32_t i = 0; i < n; i++)
			cut += txns[i].seq_last <
				   source[txns[i].input].txns[txns[i].entry].seq_last;
		env->free(env, txns);
		env->free(env, infos);
		/* nothing is noted any more */
		CHECK_OK(flowi_mergedir_take(&dir, &txns, &n));
		CHECK(n == 0);
		env->free(env, txns);
		flowi_mergedir_free(&dir);
	}
	printf("# %" PRIu64 " entries cut\n", cut);
	CHECK(cut > 1000);
	check_passed("each row finds its own transaction");
}

/* States are those of the current SSTable, whatever the pinned one has. */
static void
test_states(void)
{
	Source *old = &source[0];
	Source *now = &source[1];
	FlowSst *pinned = &old->sst, *current = &now->sst;
	FlowMergeDir dir;
	FlowMergeTxn *txns;
	FlowTxnInfo *infos;
	uint32_t n;

	memset(source, 0, sizeof(source));
	for (uint32_t i = 0; i < 4; i++)
		old->txns[i] = (FlowTxn){
			.seq_first = 10 * i + 1, .seq_last = 10 * i + 5, .xid = 7 + i};
	/* 7 is settled, and its entry gone; 8 was found aborted, 9 committed */
	now->txns[0] = (FlowTxn){.seq_first = 11, .seq_last = 15, .xid = 8};
	now->txns[1] = (FlowTxn){.seq_first = 21, .seq_last = 25, .xid = 9};
	now->txns[2] = (FlowTxn){.seq_first = 31, .seq_last = 35, .xid = 10};
	now->saved[0] = FLOW_TXN_ABORTED;
	atomic_store(&now->txns[1].state, FLOW_TXN_COMMITTED);
	atomic_store(&now->txns[2].state, FLOW_TXN_SETTLED);
	pinned->txns = old->txns;
	pinned->saved = old->saved;
	pinned->ntxns = 4;
	atomic_store(&pinned->unsettled, 4);
	current->txns = now->txns;
	current->saved = now->saved;
	current->ntxns = 3;

	CHECK_OK(flowi_mergedir_init(&dir, env, &pinned, 1));
	for (uint64_t seq = 1; seq < 40; seq += 10)
		CHECK_OK(flowi_mergedir_note(&dir, 0,
									 flowi_version_find_txn(pinned, seq), seq));
	CHECK_OK(flowi_mergedir_take(&dir, &txns, &n));
	CHECK(n == 4);
	CHECK_OK(flowi_mergedir_now(&dir, txns, n, &current, &infos, &n));
	CHECK(n == 2);
	CHECK(infos[0].xid == 8 && infos[0].state == FLOW_TXN_ABORTED);
	CHECK(infos[1].xid == 9 && infos[1].state == FLOW_TXN_COMMITTED);
	env->free(env, txns);
	env->free(env, infos);
	flowi_mergedir_free(&dir);
	check_passed("states");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	CHECK_OK(flow_env_posix_create(4u << 20, &env));
	test_random(&r);
	test_states();
	flow_env_posix_free(env);
	return 0;
}
