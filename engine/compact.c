/*-------------------------------------------------------------------------
 * compact.c
 *	  One merge of some SSTables of a store, in steps.
 *
 * Everything of a merge is private to its handle until the one edit that
 * puts the outputs in the place of the inputs: a merge that is given up, or
 * dies with its process, leaves nothing but unlisted files, which go.  Memory
 * does not grow with the data: a block an input, what a writer keeps, and
 * the range tombstones of the inputs.
 *
 * Between two steps no block is pinned.  The version that was current when
 * the merge began is: its other SSTables of the store are what lies "below"
 * (keep.h).  What was flushed since is newer than all inputs.
 *
 * Keeps: I3, I4, I7, S5.  Locks: L2, never during I/O.
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <inttypes.h>

#include "compact_impl.h"

#define CHECK_ROWS 16			  /* between two looks at the clock */
#define CHECK_BYTES (64u * 1024u) /* the same */
#define MAX_OUTPUTS 4096
#define SPACE_SHARE 16 /* of a small disk, stays free of merges */

/* ---------------------------------------------------------------- inputs */

void
flowi_compact_close_input(FlowMergeSource *base)
{
	FlowMergeInput *in = (FlowMergeInput *) base;

	if (base->it)
		base->it->free(base->it);
	base->it = NULL;
	base->cur = &in->floor;
	if (in->reader)
		flowi_readers_release(in->job->db->readers, in->reader);
	in->reader = NULL;
}

static void
input_ended(FlowMergeSource *base)
{
	FlowMergeInput *in = (FlowMergeInput *) base;

	flowi_compact_close_input(base);
	in->job->sums.bytes_read += in->sst->info.file_bytes;
}

static FlowStatus
open_input(FlowMergeSource *base)
{
	const FlowSeek first = {.unbounded = true};
	FlowMergeInput *in = (FlowMergeInput *) base;
	bool check = atomic_load(&in->sst->unsettled) > 0;

	FLOW_TRY(flowi_readers_acquire(in->job->db->readers, in->sst, &in->reader));
	FLOW_TRY(flowi_sst_iter(
		in->reader->sst,
		&(FlowSstIterOptions){.no_fill_cache = true,
							  .ts_lo = INT64_MIN,
							  .ts_hi = INT64_MAX,
							  .find_txn = check ? flowi_version_find_txn : NULL,
							  .find_arg = in->sst},
		&base->it));
	return base->it->seek(base->it, &first);
}

static FlowStatus
resume_inputs(FlowMergeJob *job)
{
	for (uint32_t i = 0; i < job->choice.ninputs; i++)
	{
		if (job->inputs[i].base.it)
			FLOW_TRY(flowi_sst_iter_resume(job->inputs[i].base.it));
	}
	return FLOW_OK;
}

static void
pause_inputs(FlowMergeJob *job)
{
	for (uint32_t i = 0; i < job->choice.ninputs; i++)
	{
		if (job->inputs[i].base.it)
			flowi_sst_iter_pause(job->inputs[i].base.it);
	}
}

/* ----------------------------------------------------------------- begin */

static void
init_input(FlowMergeJob *job, uint32_t i)
{
	FlowMergeInput *in = &job->inputs[i];
	const FlowSstInfo *info;

	*in =
		(FlowMergeInput){.job = job, .number = i, .sst = job->choice.inputs[i]};
	info = &in->sst->info;
	in->floor = (FlowRec){.key = info->key_min,
						  .key_bytes = info->key_min_bytes,
						  .ts = info->ts_min,
						  .seq = UINT64_MAX};
	in->base.cur = &in->floor;
	in->base.open = open_input;
	in->base.ended = input_ended;
	if (info->records > 0)
		flowi_merge_add(&job->merge, &in->base);
}

static bool
is_input(const FlowChoice *choice, const FlowSst *sst)
{
	for (uint32_t i = 0; i < choice->ninputs; i++)
	{
		if (choice->inputs[i] == sst)
			return true;
	}
	return false;
}

/* Can it have anything that is older than something in the inputs? */
static bool
matters_below(const FlowChoice *choice, const FlowSst *sst)
{
	for (uint32_t i = 0; i < choice->ninputs; i++)
	{
		const FlowSstInfo *in = &choice->inputs[i]->info;

		if (sst->info.records > 0 && sst->info.seq_min < in->seq_max)
			return true;
	}
	return false;
}

static FlowStatus
list_below(FlowMergeJob *job)
{
	const FlowVersion *v = job->choice.version;
	uint32_t first;
	uint32_t n = flowi_version_store(v, job->choice.store_id, &first);

	job->below = job->env->alloc(job->env, FLOW_MAX(n, 1) * sizeof(FlowSst *));
	if (job->below == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	for (uint32_t i = first; i < first + n; i++)
	{
		if (!is_input(&job->choice, v->sst[i]) &&
			matters_below(&job->choice, v->sst[i]))
			job->below[job->nbelow++] = v->sst[i];
	}
	return FLOW_OK;
}

/* An output is never much larger than what was read; if it is, the last one
 * takes the rest. */
static uint32_t
ids_wanted(const FlowChoice *choice)
{
	uint64_t bytes = 0;

	if (choice->pick.target_bytes == 0)
		return 1;
	for (uint32_t i = 0; i < choice->ninputs; i++)
		bytes += choice->inputs[i]->info.file_bytes;
	return (uint32_t) FLOW_MIN(2 + 2 * (bytes / choice->pick.target_bytes),
							   MAX_OUTPUTS);
}

static FlowStatus
init_job(FlowMergeJob *job)
{
	uint32_t n = job->choice.ninputs;

	FLOW_TRY(FLOW_POINT(job->env, "merge-begin"));
	FLOW_TRY(flowi_mergedir_init(&job->dir, job->env, job->choice.inputs, n));
	FLOW_TRY(list_below(job));
	flowi_keep_init(&job->keeper, job->env, job->below, job->nbelow,
					flowi_keep_horizon(job->env, job->db->sh));
	job->keeper.sh = job->db->sh;
	flowi_merge_reset(&job->merge, false);
	FLOW_TRY(flowi_merge_reserve(&job->merge, n));
	for (uint32_t i = 0; i < n; i++)
		init_input(job, i);
	job->nids = ids_wanted(&job->choice);
	job->sums.inputs = n;
	return FLOW_OK;
}

FlowStatus
flowi_compact_begin(FlowDb *db, FlowChoice *choice, FlowMergeJob **jobp)
{
	FlowEnv *env = db->env;
	size_t inputs_bytes = choice->ninputs * sizeof(FlowMergeInput);
	FlowMergeJob *job = env->alloc(env, sizeof(*job) + inputs_bytes);
	FlowStatus st;

	*jobp = NULL;
	if (job == NULL)
	{
		flowi_choice_free(db, choice, 0);
		return flowi_fail(FLOW_NOMEM, "out of memory");
	}
	memset(job, 0, sizeof(*job) + inputs_bytes);
	job->db = db;
	job->env = env;
	job->choice = *choice;
	*choice = (FlowChoice){0};
	job->inputs = (FlowMergeInput *) (job + 1);
	flowi_merge_init(&job->merge, env);
	flowi_keep_init(&job->keeper, env, NULL, 0, INT64_MIN);
	st = init_job(job);
	if (st != FLOW_OK)
		flowi_compact_free(job, 0);
	else
		*jobp = job;
	return st;
}

/* ------------------------------------------------------------------ rows */

static FlowFate
fate_of(const FlowTxn *txn)
{
	uint32_t state;

	if (txn == NULL || txn->xid == 0)
		return FLOW_FATE_SETTLED;
	state = atomic_load(&txn->state);
	return state == FLOW_TXN_ABORTED   ? FLOW_FATE_ABORTED
		   : state == FLOW_TXN_SETTLED ? FLOW_FATE_SETTLED
									   : FLOW_FATE_OPEN;
}

/* The entry that the output needs for what was written under txn.  (Aborted
 * it may be by now, if the verdict on it is an older one.) */
static const FlowTxn *
entry_of(const FlowTxn *txn, FlowFate fate)
{
	return fate == FLOW_FATE_SETTLED ? NULL : txn;
}

static FlowStatus
copy_tomb(FlowMergeJob *job, uint32_t input, const FlowTomb *tomb)
{
	FlowSst *sst = job->choice.inputs[input];
	const FlowTxn *txn = atomic_load(&sst->unsettled) > 0
							 ? flowi_version_find_txn(sst, tomb->seq)
							 : NULL;
	FlowFate fate = fate_of(txn);
	bool keep;

	FLOW_TRY(flowi_keep_tomb(&job->keeper, tomb, fate, &keep));
	if (!keep)
		return FLOW_OK;
	if (job->writer == NULL)
		FLOW_TRY(flowi_compact_begin_output(job));
	FLOW_TRY(flowi_sst_add_tomb(job->writer, tomb));
	return flowi_mergedir_note(&job->dir, input, entry_of(txn, fate),
							   tomb->seq);
}

/* The range tombstones of one more input. */
static FlowStatus
copy_tombs(FlowMergeJob *job)
{
	FlowReaderCache *readers = job->db->readers;
	uint32_t i = job->tombs_done;
	const FlowTomb *tombs;
	FlowReader *reader;
	FlowStatus st = FLOW_OK;
	uint32_t n;

	if (i == job->choice.ninputs)
	{
		job->phase = PHASE_ROWS;
		return FLOW_OK;
	}
	job->tombs_done++;
	if (job->choice.inputs[i]->info.ntombs == 0)
		return FLOW_OK;
	job->stuck = true;
	FLOW_TRY(flowi_readers_acquire(readers, job->choice.inputs[i], &reader));
	tombs = flowi_sst_tombs(reader->sst, &n);
	for (uint32_t k = 0; st == FLOW_OK && k < n; k++)
		st = copy_tomb(job, i, &tombs[k]);
	flowi_readers_release(readers, reader);
	job->stuck = st != FLOW_OK;
	return st;
}

/* Has the output its size, and can it end before rec? */
static bool
is_full(const FlowMergeJob *job, const FlowRec *rec)
{
	uint64_t target = job->choice.pick.target_bytes;

	return target > 0 && job->writer && job->ids_used < job->nids &&
		   flowi_sst_written(job->writer) >= target &&
		   !flowi_keep_same(&job->keeper, rec);
}

static FlowStatus
write_rec(FlowMergeJob *job, const FlowRec *rec)
{
	FlowRec tombstone;

	if (job->writer == NULL)
	{
		FlowStatus st = flowi_compact_begin_output(job);

		job->stuck = st != FLOW_OK;
		FLOW_TRY(st);
	}
	if (job->verdict == FLOW_KEEP_TOMBSTONE)
	{
		tombstone = flowi_keep_tombstone(rec);
		rec = &tombstone;
	}
	return flowi_sst_add(job->writer, rec);
}

/* The merge's top: judge it once, write it, step over it. */
static FlowStatus
merge_rec(FlowMergeJob *job, const FlowMergeInput *in, const FlowRec *rec,
		  size_t *bytesp)
{
	FlowFate fate = fate_of(rec->txn);
	FlowStatus st;

	if (!job->judged)
	{
		FLOW_TRY(flowi_keep_rec(&job->keeper, rec, fate, &job->verdict));
		job->judged = true;
	}
	if (job->verdict == FLOW_KEEP_WRITE)
	{
		st = flowi_iter_value(in->base.it);
		job->stuck = st != FLOW_OK;
		FLOW_TRY(st);
		*bytesp += rec->value_bytes;
	}
	if (job->verdict != FLOW_KEEP_DROP)
	{
		FLOW_TRY(write_rec(job, rec));
		FLOW_TRY(flowi_mergedir_note(&job->dir, in->number,
									 entry_of(rec->txn, fate), rec->seq));
	}
	job->judged = false;
	job->sums.rows++;
	st = flowi_merge_next(&job->merge);
	job->stuck = st != FLOW_OK;
	return st;
}

/* What follows the last row. */
static void
end_rows(FlowMergeJob *job)
{
	job->final = true;
	job->phase = job->writer ? PHASE_FINISH : PHASE_PUBLISH;
}

/* Some rows, between two looks at the clock. */
static FlowStatus
merge_rows(FlowMergeJob *job)
{
	size_t bytes = 0;

	FLOW_TRY(job->env->poll(job->env));
	for (uint32_t i = 0; i < CHECK_ROWS && bytes < CHECK_BYTES; i++)
	{
		FlowMergeSource *src;
		FlowStatus st = flowi_merge_top(&job->merge, &src);

		if (st == FLOW_END)
		{
			end_rows(job);
			return FLOW_OK;
		}
		job->stuck = st != FLOW_OK;
		FLOW_TRY(st);
		if (!job->judged && is_full(job, src->cur))
		{
			job->phase = PHASE_FINISH;
			return FLOW_OK;
		}
		FLOW_TRY(merge_rec(job, (FlowMergeInput *) src, src->cur, &bytes));
	}
	return FLOW_OK;
}

/* ----------------------------------------------------------------- steps */

/* BUSY as above. */
static FlowStatus
reserve_ids(FlowMergeJob *job)
{
	FLOW_TRY(flowi_version_begin(job->db));
	job->first_id = job->db->sh->next_sst_id;
	job->db->sh->next_sst_id += job->nids;
	flowi_version_end(job->db);
	job->phase = PHASE_TOMBS;
	return FLOW_OK;
}

static FlowStatus
one_step(FlowMergeJob *job)
{
	switch (job->phase)
	{
		case PHASE_IDS:
			return reserve_ids(job);
		case PHASE_TOMBS:
			return copy_tombs(job);
		case PHASE_ROWS:
			return merge_rows(job);
		case PHASE_FINISH:
			return flowi_compact_finish_output(job);
		case PHASE_PUBLISH:
			return flowi_compact_publish(job);
		case PHASE_DONE:
			break;
	}
	return FLOW_END;
}

/* Waiting for the disk takes as long as it takes: only at the beginning of a
 * step, or with much time left. */
static bool
is_too_late(const FlowMergeJob *job, int64_t start, int64_t now,
			int64_t deadline)
{
	return (job->phase == PHASE_FINISH || job->phase == PHASE_PUBLISH) &&
		   now - start > (deadline - start) / 2;
}

/* Step until the time is over. */
static FlowStatus
run(FlowMergeJob *job, int64_t start, int64_t deadline)
{
	FlowEnv *env = job->env;
	int64_t now = start;
	bool first = true;
	FlowStatus st = FLOW_OK;

	while (st == FLOW_OK && (first || now < deadline))
	{
		if (!first && is_too_late(job, start, now, deadline))
			break;
		first = false;
		st = one_step(job);
		if (st == FLOW_BUSY)
		{
			st = env->poll(env);
			if (env->ticks_us(env) >= deadline)
				break;
			env->pause(env);
		}
		now = env->ticks_us(env);
	}
	return st;
}

/*
 * The last of a disk is for what is in memory, and for others: a merge gives
 * up before that.  So much as two memtables take, but not much of a disk that
 * is small.
 */
static FlowStatus
check_space(const FlowMergeJob *job)
{
	FlowEnv *env = job->env;
	uint64_t left, total;
	uint64_t margin =
		2 * (uint64_t) flowi_live(job->db->sh, FLOW_SETTING_MEMTABLE_BYTES);

	if (env->disk_space == NULL ||
		env->disk_space(env, job->db->dir, &left, &total) != FLOW_OK)
		return FLOW_OK;
	margin = FLOW_MIN(margin, total / SPACE_SHARE);
	if (left >= margin)
		return FLOW_OK;
	return flowi_fail_errno(ENOSPC,
							"merge in \"%s\" leaves the last %" PRIu64
							" MB of the disk to what is in memory",
							job->db->dir, (margin >> 20) + 1);
}

FlowStatus
flowi_compact_step(FlowMergeJob *job, int64_t deadline)
{
	FlowEnv *env = job->env;
	int64_t start = env->ticks_us(env);
	FlowStatus st;

	/* the store was dropped: nobody wants what this makes */
	if (!flowi_claim_holds(job->db, job->choice.store_id, job->choice.claim))
		return FLOW_END;
	FLOW_TRY(check_space(job));
	FLOW_TRY(flowi_version_begin_files(job->db));
	st = resume_inputs(job);
	if (st == FLOW_OK)
		st = run(job, start, deadline);
	else
		job->stuck = true;
	pause_inputs(job);
	flowi_version_end_files(job->db);
	job->sums.expired = job->keeper.expired;
	job->sums.bytes_written =
		job->written_before +
		(job->writer ? flowi_sst_written(job->writer) : 0);
	job->sums.time_us += env->ticks_us(env) - start;
	return st == FLOW_OK && job->phase == PHASE_DONE ? FLOW_END : st;
}

bool
flowi_compact_resumable(const FlowMergeJob *job)
{
	return !job->stuck;
}

const FlowMergeSums *
flowi_compact_sums(const FlowMergeJob *job)
{
	return &job->sums;
}

/* ------------------------------------------------------------------- end */

void
flowi_compact_free(FlowMergeJob *job, int64_t retry_at)
{
	FlowDb *db;

	if (job == NULL)
		return;
	db = job->db;
	for (uint32_t i = 0; i < job->choice.ninputs; i++)
		flowi_compact_close_input(&job->inputs[i].base);
	flowi_merge_free(&job->merge);
	flowi_keep_free(&job->keeper);
	flowi_mergedir_free(&job->dir);
	flowi_sst_writer_free(job->writer);
	flowi_shape_free(job->env, &job->shape);
	if (job->phase != PHASE_DONE)
		flowi_compact_unlink_outputs(job);
	flowi_compact_free_outputs(job);
	job->env->free(job->env, job->below);
	flowi_choice_free(db, &job->choice, retry_at);
	job->env->free(job->env, job);
}
