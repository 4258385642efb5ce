/*-------------------------------------------------------------------------
 * compact_out.c
 *	  Outputs of a merge, and their exchange for the inputs.
 *
 * An output is finished under its final name long before it is listed: until
 * then it is an orphan of merged rows, which proves nothing and goes at the
 * next load.  Its directory is made at the very end, of what is known of the
 * transactions then.
 *
 * Keeps: I3, I4, S5.  Locks: L2, never during I/O.
 *-------------------------------------------------------------------------
 */
#include "compact_impl.h"

#define MEND_TRIES 20 /* while another process writes the manifest */

/* --------------------------------------------------------------- outputs */

static uint64_t
output_id(const FlowMergeJob *job)
{
	return job->first_id + job->ids_used - 1;
}

FlowStatus
flowi_compact_begin_output(FlowMergeJob *job)
{
	const FlowDbShared *sh = job->db->sh;
	char path[FLOW_PATH_BYTES];

	FLOW_ASSERT(job->ids_used < job->nids);
	flowi_shape_free(job->env, &job->shape);
	FLOW_TRY(flowi_store_shape(job->db, job->choice.store_id, &job->shape));
	job->ids_used++;
	flowi_version_tmp_path(job->db->dir, output_id(job), path);
	return flowi_sst_create(
		job->env, path,
		&(FlowSstSpec){
			.id = output_id(job),
			.store_id = job->choice.store_id,
			.level = job->choice.pick.level,
			.origin = FLOW_SST_MERGED,
			.block_bytes = (uint32_t) flowi_live(sh, FLOW_SETTING_BLOCK_BYTES),
			.bloom_bits_per_key =
				(uint32_t) flowi_live(sh, FLOW_SETTING_BLOOM_BITS),
			.compression = (FlowCompression) flowi_live(
				sh, FLOW_SETTING_MERGE_COMPRESSION),
			.zstd_level = (int32_t) flowi_live(sh, FLOW_SETTING_ZSTD_LEVEL),
			.shape = job->shape.columns ? &job->shape : NULL},
		&job->writer);
}

/* Bytes into b, told by their offset: b may move. */
static FlowStatus
keep_bytes(FlowBuf *b, const uint8_t *p, uint32_t n, size_t *offp)
{
	*offp = b->len;
	return flowi_buf_append(b, p, n);
}

/* The writer's info, its keys copied. */
static FlowStatus
copy_info(FlowMergeOutput *out, const FlowSstInfo *info)
{
	size_t off[4];

	FLOW_TRY(flowi_buf_reserve(&out->keys, 1)); /* no key at all is fine */
	FLOW_TRY(
		keep_bytes(&out->keys, info->key_min, info->key_min_bytes, &off[0]));
	FLOW_TRY(
		keep_bytes(&out->keys, info->key_max, info->key_max_bytes, &off[1]));
	out->info = *info;
	if (info->ntombs > 0)
	{
		FLOW_TRY(keep_bytes(&out->keys, info->cover.key_lo,
							info->cover.key_lo_bytes, &off[2]));
		FLOW_TRY(keep_bytes(&out->keys, info->cover.key_hi,
							info->cover.key_hi ? info->cover.key_hi_bytes : 0,
							&off[3]));
		out->info.cover.key_lo = out->keys.data + off[2];
		if (info->cover.key_hi)
			out->info.cover.key_hi = out->keys.data + off[3];
	}
	out->info.key_min = out->keys.data + off[0];
	out->info.key_max = out->keys.data + off[1];
	return FLOW_OK;
}

/* Room for one more, which is not counted yet. */
static FlowStatus
reserve_output(FlowMergeJob *job)
{
	if (job->noutputs == job->outputs_cap)
	{
		uint32_t cap = job->outputs_cap ? 2 * job->outputs_cap : 4;
		FlowMergeOutput *outputs =
			job->env->realloc(job->env, job->outputs, cap * sizeof(*outputs));

		if (outputs == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory");
		job->outputs = outputs;
		job->outputs_cap = cap;
	}
	job->outputs[job->noutputs] = (FlowMergeOutput){.ntxns = 0};
	flowi_buf_init(&job->outputs[job->noutputs].keys, job->env);
	return FLOW_OK;
}

static void
free_output(FlowEnv *env, FlowMergeOutput *out)
{
	flowi_buf_free(&out->keys);
	env->free(env, out->txns);
}

FlowStatus
flowi_compact_finish_output(FlowMergeJob *job)
{
	char tmp[FLOW_PATH_BYTES];
	char path[FLOW_PATH_BYTES];
	FlowSstInfo info;
	FlowMergeOutput *out;
	FlowStatus st;

	FLOW_TRY(reserve_output(job));
	out = &job->outputs[job->noutputs];
	st = flowi_sst_finish(job->writer, &info);
	if (st == FLOW_INTERRUPTED)
		return st; /* nothing was done that cannot be done again */
	FLOW_GOTO(st);
	FLOW_GOTO(FLOW_POINT(job->env, "merge-written"));
	FLOW_GOTO(copy_info(out, &info));
	FLOW_GOTO(flowi_mergedir_take(&job->dir, &out->txns, &out->ntxns));
	flowi_version_tmp_path(job->db->dir, info.id, tmp);
	flowi_version_path(job->db->dir, info.id, path);
	FLOW_GOTO(job->env->rename(job->env, tmp, path));
	job->noutputs++;
	job->sums.outputs++;
	job->written_before += info.file_bytes;
	flowi_sst_writer_free(job->writer);
	job->writer = NULL;
	job->phase = job->final ? PHASE_PUBLISH : PHASE_ROWS;
	return FLOW_OK;
out:
	free_output(job->env, out);
	job->stuck = true;
	return st;
}

/* --------------------------------------------------------------- publish */

/* The inputs as the current version lists them; END: not all of them, the
 * store is gone.  busy is set. */
static FlowStatus
find_current(FlowMergeJob *job, FlowSst **current)
{
	const FlowVersion *v = job->db->sh->version;
	const FlowChoice *choice = &job->choice;
	uint32_t first;
	uint32_t n = flowi_version_store(v, choice->store_id, &first);
	uint32_t found = 0;

	for (uint32_t i = first; i < first + n && found < choice->ninputs; i++)
	{
		if (v->sst[i]->info.id == choice->inputs[found]->info.id)
			current[found++] = v->sst[i];
	}
	job->gone = found < choice->ninputs ||
				!flowi_claim_holds(job->db, choice->store_id, choice->claim);
	return job->gone ? FLOW_END : FLOW_OK;
}

/* From the reserve if need be: what the inputs take is given back (I16). */
static FlowStatus
create_sst(FlowMergeJob *job, const FlowMergeOutput *out,
		   FlowSst *const *current, FlowSst **sstp)
{
	FlowSstInfo info = out->info;
	FlowTxnInfo *txns;
	FlowStatus st;

	*sstp = NULL;
	st = flowi_mergedir_now(&job->dir, out->txns, out->ntxns, current, &txns,
							&info.ntxns);
	info.txns = txns;
	if (st == FLOW_OK)
		st = flowi_version_sst_create(job->env, &info, FLOW_ROOM_ALL, sstp);
	job->env->free(job->env, txns);
	return st;
}

/* The exchange; busy is set.  add and current have room. */
static FlowStatus
exchange(FlowMergeJob *job, FlowSst **add, FlowSst **current)
{
	FlowDb *db = job->db;
	char path[FLOW_PATH_BYTES];
	uint32_t n = 0;
	FlowStatus st = FLOW_OK;

	FLOW_TRY(find_current(job, current));
	FLOW_TRY(flowi_version_repair(db));
	for (; n < job->noutputs && st == FLOW_OK; n++)
		st = create_sst(job, &job->outputs[n], current, &add[n]);
	if (st == FLOW_OK)
		st = FLOW_POINT(job->env, "merge-renamed");
	flowi_version_sst_dir(db->dir, path);
	if (st == FLOW_OK && n > 0)
		st = job->env->sync_dir(job->env, path);
	if (st == FLOW_OK)
		st = flowi_version_replace(db, add, n, current, job->choice.ninputs);
	job->doubtful = st != FLOW_OK && db->sh->manifest_failed;
	for (uint32_t i = 0; st != FLOW_OK && i < n; i++)
		flowi_version_sst_free(job->env, add[i]);
	return st;
}

/* Close what this handle has open of the inputs. */
static void
forget_readers(FlowMergeJob *job)
{
	FlowDb *db = job->db;
	FlowVersion *v;

	for (uint32_t i = 0; i < job->choice.ninputs; i++)
		flowi_compact_close_input(&job->inputs[i].base);
	job->env->lock_acquire(job->env, &db->sh->state_lock, FLOW_LOCK_SHARED);
	v = flowi_version_pin(db->sh);
	job->env->lock_release(job->env, &db->sh->state_lock);
	flowi_readers_retain(db->readers, v);
	flowi_version_unref(job->env, db->dir, v);
}

FlowStatus
flowi_compact_publish(FlowMergeJob *job)
{
	uint32_t n = job->noutputs + job->choice.ninputs;
	FlowSst **ssts;
	FlowStatus st;

	FLOW_TRY(job->env->poll(job->env));
	FLOW_TRY(flowi_version_begin(job->db));
	ssts = job->env->alloc(job->env, n * sizeof(FlowSst *));
	if (ssts == NULL)
		st = flowi_fail(FLOW_NOMEM, "out of memory");
	else
		st = exchange(job, ssts, ssts + job->noutputs);
	flowi_version_end(job->db);
	job->env->free(job->env, ssts);
	if (st == FLOW_OK)
	{
		job->phase = PHASE_DONE;
		job->sums.published = true;
		forget_readers(job);
	}
	return st;
}

/* ------------------------------------------------------------------- end */

/*
 * When the edit failed, it may stand in the manifest all the same.  Then the
 * manifest has to be mended before the outputs may go; if that cannot be
 * done, they stay: the next load removes or lists them.
 */
static bool
may_unlink(FlowMergeJob *job)
{
	FlowDb *db = job->db;

	for (int i = 0; job->doubtful && i < MEND_TRIES; i++)
	{
		FlowStatus st = flowi_version_begin(db);

		if (st != FLOW_OK)
		{
			job->env->pause(job->env);
			continue;
		}
		st = flowi_version_repair(db);
		flowi_version_end(db);
		if (st != FLOW_OK)
			return false;
		job->doubtful = false;
	}
	return !job->doubtful;
}

void
flowi_compact_unlink_outputs(FlowMergeJob *job)
{
	char path[FLOW_PATH_BYTES];
	bool all;

	/* else they are left to the next load: the ids may be another's */
	if (flowi_version_begin_files(job->db) != FLOW_OK)
		return;
	all = may_unlink(job);
	for (uint32_t i = 0; i < job->ids_used; i++)
	{
		flowi_version_tmp_path(job->db->dir, job->first_id + i, path);
		(void) job->env->unlink(job->env, path);
		flowi_version_path(job->db->dir, job->first_id + i, path);
		if (all)
			(void) job->env->unlink(job->env, path);
	}
	flowi_version_end_files(job->db);
}

void
flowi_compact_free_outputs(FlowMergeJob *job)
{
	for (uint32_t i = 0; i < job->noutputs; i++)
		free_output(job->env, &job->outputs[i]);
	job->env->free(job->env, job->outputs);
}
