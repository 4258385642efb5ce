/*-------------------------------------------------------------------------
 * flush.c
 *	  From a frozen memtable to SSTables, one a store.
 *
 * The order of things is what makes it safe:
 *	 1. take out stores that were dropped (an edit of its own), learn the fate
 *	    of the memtable's transactions, copy the definitions of new stores and
 *	    the drops that are not decided;
 *	 2. sync the log: all of this, and the records, are durable there (S5);
 *	 3. write, fsync, rename the files, fsync the directory;
 *	 4. append the manifest edit: this is the moment it becomes true;
 *	 5. exchange memtable and SSTables for the readers, under the state lock.
 * What can fail comes before 4.  A crash before 4 leaves orphans, which the
 * load removes, and the log still has the records.
 *
 * One flush at a time (busy), the oldest memtable first, so that flushed_pos
 * is a position up to which everything is in SSTables.
 *
 * What is written and what nobody can ever see is for keep.h to say; what
 * lies below are all SSTables of the store, which nobody adds to meanwhile.
 *
 * Keeps: S1, S3 to S6, S13.  Locks: L2, never during I/O.
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdlib.h>

#include "active.h"
#include "drop.h"
#include "keep.h"
#include "reserve.h"
#include "row.h"
#include "store.h"
#include "version.h"

#define POLL_ROWS 4096 /* between two interrupt polls */

/* A directory entry of the memtable, and its fate as this flush knows it. */
typedef struct Fate
{
	FlowTxn *txn;
	uint64_t seq_first;
	uint64_t seq_last;
	uint32_t state;
	bool used; /* has rows in the file being written */
} Fate;

/* A flush in progress; private. */
typedef struct Flush
{
	FlowDb *db;
	FlowEnv *env;
	FlowMemtable *mt;
	Fate *fates; /* sorted by seq_first */
	uint32_t nfates;
	uint32_t fates_cap;
	bool all_settled;
	uint32_t hint;	   /* last fate found */
	FlowTxnInfo *txns; /* room for a directory: nfates */

	int64_t horizon; /* rows that expired up to it may go */
	uint64_t expired;
	FlowSst **ssts; /* written so far; nids of room */
	uint32_t nssts;
	uint64_t first_id; /* the files are numbered from here on */
	uint32_t nids;	   /* stores in the memtable */
	uint32_t begun;	   /* ids whose files may exist */
	bool again;		   /* an earlier try may have left files */
	FlowEdit *edit;
	FlowVersion *version;
} Flush;

/* ---------------------------------------------------------------- fates */

static FlowStatus
collect_fate(void *arg, FlowTxn *txn)
{
	Flush *f = arg;

	if (f->nfates == f->fates_cap)
	{
		uint32_t cap = f->fates_cap ? f->fates_cap * 2 : 256;
		Fate *fates = f->env->realloc(f->env, f->fates, cap * sizeof(Fate));

		if (fates == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory");
		f->fates = fates;
		f->fates_cap = cap;
	}
	f->fates[f->nfates++] = (Fate){.txn = txn,
								   .seq_first = txn->seq_first,
								   .seq_last = txn->seq_last,
								   .state = atomic_load(&txn->state)};
	return FLOW_OK;
}

static int
fate_cmp(const void *pa, const void *pb)
{
	const Fate *a = pa;
	const Fate *b = pb;

	return (a->seq_first > b->seq_first) - (a->seq_first < b->seq_first);
}

/* One that the host has forgotten stays as it is: the rows are written all the
 * same, and flow_resolve_step is there to complain. */
static FlowStatus
ask_fate(FlowEnv *env, uint64_t xid, FlowTxnState *statep)
{
	FlowTxnState known = *statep;
	FlowStatus st = env->txn_outcome(env, xid, statep);

	if (st != FLOW_CORRUPT)
		return st;
	*statep = known;
	return FLOW_OK;
}

/* Ask for each transaction once while entries of one follow each other. */
static FlowStatus
learn_fates(Flush *f)
{
	const Fate *last = NULL;

	FLOW_TRY(flowi_memtable_each_txn(f->mt, collect_fate, f));
	if (f->nfates > 0)
		qsort(f->fates, f->nfates, sizeof(Fate), fate_cmp);
	f->all_settled = true;
	for (uint32_t i = 0; i < f->nfates; i++)
	{
		Fate *fate = &f->fates[i];
		FlowTxnState state = (FlowTxnState) fate->state;

		if (fate->txn->xid == 0)
			state = FLOW_TXN_SETTLED;
		else if (state == FLOW_TXN_UNKNOWN || state == FLOW_TXN_COMMITTED)
		{
			if (last && last->txn->xid == fate->txn->xid)
				state = (FlowTxnState) last->state;
			else
				FLOW_TRY(ask_fate(f->env, fate->txn->xid, &state));
		}
		fate->state = state;
		f->all_settled &= state == FLOW_TXN_SETTLED;
		last = fate;
	}
	return FLOW_OK;
}

/* Tell the readers of the memtable. */
static void
share_fates(const Flush *f)
{
	for (uint32_t i = 0; i < f->nfates; i++)
		flowi_version_learn(f->fates[i].txn, f->fates[i].state);
}

/* The fate of sequence seq; every record has one. */
static FlowStatus
find_fate(Flush *f, uint64_t seq, Fate **fatep)
{
	uint32_t lo = 0;
	uint32_t hi = f->nfates;

	*fatep = &f->fates[f->hint];
	if (f->hint < hi && (*fatep)->seq_first <= seq && seq <= (*fatep)->seq_last)
		return FLOW_OK;
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (f->fates[mid].seq_first <= seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	FLOW_CHECK_DATA(lo > 0 && seq <= f->fates[lo - 1].seq_last,
					"record of sequence %" PRIu64 " has no transaction", seq);
	f->hint = lo - 1;
	*fatep = &f->fates[f->hint];
	return FLOW_OK;
}

/* ------------------------------------------------------------- one store */

/* A store's file being written. */
typedef struct Output
{
	Flush *flush;
	uint32_t store_id;
	FlowKeeper keeper;
	FlowShape shape;	   /* of its values; once there is a writer */
	FlowSstWriter *writer; /* NULL: nothing to write yet */
} Output;

static uint64_t
output_id(const Flush *f)
{
	return f->first_id + f->nssts;
}

static FlowStatus
begin_file(Output *out)
{
	Flush *f = out->flush;
	const FlowDbShared *sh = f->db->sh;
	char path[FLOW_PATH_BYTES];

	FLOW_TRY(flowi_store_shape(f->db, out->store_id, &out->shape));
	f->begun = f->nssts + 1;
	flowi_version_tmp_path(f->db->dir, output_id(f), path);
	return flowi_sst_create(
		f->env, path,
		&(FlowSstSpec){
			.id = output_id(f),
			.store_id = out->store_id,
			.origin = FLOW_SST_FLUSHED,
			.block_bytes = (uint32_t) flowi_live(sh, FLOW_SETTING_BLOCK_BYTES),
			.bloom_bits_per_key =
				(uint32_t) flowi_live(sh, FLOW_SETTING_BLOOM_BITS),
			.compression = (FlowCompression) flowi_live(
				sh, FLOW_SETTING_FLUSH_COMPRESSION),
			.zstd_level = (int32_t) flowi_live(sh, FLOW_SETTING_ZSTD_LEVEL),
			.shape = out->shape.columns ? &out->shape : NULL},
		&out->writer);
}

/* The fate of a sequence for the keeper; *fatep is NULL when all are
 * settled. */
static FlowStatus
judge_fate(Flush *f, uint64_t seq, Fate **fatep, FlowFate *judgedp)
{
	*fatep = NULL;
	*judgedp = FLOW_FATE_SETTLED;
	if (f->all_settled)
		return FLOW_OK;
	FLOW_TRY(find_fate(f, seq, fatep));
	if ((*fatep)->state == FLOW_TXN_ABORTED)
		*judgedp = FLOW_FATE_ABORTED;
	else if ((*fatep)->state != FLOW_TXN_SETTLED)
		*judgedp = FLOW_FATE_OPEN;
	return FLOW_OK;
}

/* Write a range tombstone, if it is needed. */
static FlowStatus
write_tomb(void *arg, const FlowTomb *tomb)
{
	Output *out = arg;
	FlowFate judged;
	Fate *fate;
	bool keep;

	FLOW_TRY(judge_fate(out->flush, tomb->seq, &fate, &judged));
	FLOW_TRY(flowi_keep_tomb(&out->keeper, tomb, judged, &keep));
	if (!keep)
		return FLOW_OK;
	if (fate)
		fate->used = true;
	if (out->writer == NULL)
		FLOW_TRY(begin_file(out));
	return flowi_sst_add_tomb(out->writer, tomb);
}

/* Write a version, if it is needed, or a tombstone in its place. */
static FlowStatus
write_version(Output *out, const FlowRec *rec)
{
	FlowKeepVerdict verdict;
	FlowRec tombstone;
	FlowFate judged;
	Fate *fate;

	FLOW_TRY(judge_fate(out->flush, rec->seq, &fate, &judged));
	FLOW_TRY(flowi_keep_rec(&out->keeper, rec, judged, &verdict));
	if (verdict == FLOW_KEEP_DROP)
		return FLOW_OK;
	if (fate)
		fate->used = true;
	if (out->writer == NULL)
		FLOW_TRY(begin_file(out));
	if (verdict == FLOW_KEEP_TOMBSTONE)
	{
		tombstone = flowi_keep_tombstone(rec);
		rec = &tombstone;
	}
	return flowi_sst_add(out->writer, rec);
}

static FlowStatus
write_rows(Output *out)
{
	const FlowSeek first = {.unbounded = true};
	Flush *f = out->flush;
	FlowIter *it;
	uint32_t rows = 0;
	FlowStatus st;

	FLOW_TRY(flowi_memtable_iter(f->env, f->mt, out->store_id, false, &it));
	for (st = it->seek(it, &first); st == FLOW_OK; st = it->next(it))
	{
		st = write_version(out, &it->cur);
		if (st == FLOW_OK && ++rows % POLL_ROWS == 0)
			st = f->env->poll(f->env);
		if (st != FLOW_OK)
			break;
	}
	it->free(it);
	return st == FLOW_END ? FLOW_OK : st;
}

/*
 * The directory of the file just written: what has rows in it and is not
 * settled.  Neighbours of one fate become one entry, but never across an
 * entry with rows, whose sequences it would swallow.
 */
static uint32_t
take_directory(Flush *f)
{
	FlowTxnInfo *last = NULL;
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->nfates; i++)
	{
		Fate *fate = &f->fates[i];
		const FlowTxn *txn = fate->txn;

		if (!fate->used)
			continue;
		fate->used = false;
		if (fate->state == FLOW_TXN_SETTLED)
			last = NULL;
		else if (last && last->xid == txn->xid && last->cid == txn->cid &&
				 last->state == fate->state)
			last->seq_last = fate->seq_last;
		else
		{
			last = &f->txns[n++];
			*last = (FlowTxnInfo){.seq_first = fate->seq_first,
								  .seq_last = fate->seq_last,
								  .xid = txn->xid,
								  .cid = txn->cid,
								  .state = fate->state};
		}
	}
	return n;
}

/* Make the written file final, and enter it into edit and version-to-be. */
static FlowStatus
finish_file(Output *out)
{
	Flush *f = out->flush;
	char tmp[FLOW_PATH_BYTES];
	char path[FLOW_PATH_BYTES];
	FlowSstInfo info;

	FLOW_TRY(flowi_sst_finish(out->writer, &info));
	info.ntxns = take_directory(f);
	info.txns = f->txns;
	FLOW_TRY(FLOW_POINT(f->env, "flush-written"));
	flowi_version_tmp_path(f->db->dir, info.id, tmp);
	flowi_version_path(f->db->dir, info.id, path);
	FLOW_TRY(f->env->rename(f->env, tmp, path));
	FLOW_TRY(flowi_edit_add_sst(f->edit, &info));
	FLOW_TRY(flowi_version_sst_create(f->env, &info, FLOW_ROOM_USUAL,
									  &f->ssts[f->nssts]));
	f->nssts++;
	return FLOW_OK;
}

/* Was the store dropped, as the manifest knows?  Of one that is only known to
 * be dropped the rows are written: the log may not have its fate yet. */
static bool
is_gone(const Flush *f, uint32_t store_id)
{
	FlowDbShared *sh = f->db->sh;
	bool gone;

	f->env->lock_acquire(f->env, &sh->state_lock, FLOW_LOCK_SHARED);
	gone = flowi_stores_gone(sh, store_id);
	f->env->lock_release(f->env, &sh->state_lock);
	return gone;
}

static FlowStatus
write_store(Flush *f, uint32_t store_id)
{
	Output out = {.flush = f, .store_id = store_id};
	const FlowVersion *v = f->db->sh->version;
	uint32_t first;
	uint32_t n = flowi_version_store(v, store_id, &first);
	FlowStatus st;

	flowi_keep_init(&out.keeper, f->env, v->sst + first, n, f->horizon);
	out.keeper.sh = f->db->sh;
	FLOW_GOTO(flowi_memtable_each_tomb(f->mt, store_id, write_tomb, &out));
	FLOW_GOTO(write_rows(&out));
	if (out.writer)
		FLOW_GOTO(finish_file(&out));
	f->expired += out.keeper.expired;
out:
	flowi_sst_writer_free(out.writer);
	flowi_shape_free(f->env, &out.shape);
	flowi_keep_free(&out.keeper);
	return st;
}

/* ---------------------------------------------------------- one memtable */

/*
 * Ids for the files, one a store, the same ones at each try.  Files that an
 * earlier try left are unlinked: flowi_version_repair has made sure that no
 * manifest lists them.
 */
static FlowStatus
reserve_ids(Flush *f)
{
	FlowDbShared *sh = f->db->sh;
	FlowMemtable *mt = f->mt;
	char path[FLOW_PATH_BYTES];

	f->again = mt->first_sst_id != 0;
	for (uint32_t from = 0, id;
		 flowi_memtable_next_store(mt, from, &id) == FLOW_OK; from = id + 1)
		f->nids++;
	if (!f->again)
	{
		mt->first_sst_id = sh->next_sst_id;
		sh->next_sst_id += f->nids;
	}
	f->first_id = mt->first_sst_id;
	for (uint32_t i = 0; f->again && i < f->nids; i++)
	{
		FlowStatus st;

		flowi_version_path(f->db->dir, f->first_id + i, path);
		st = f->env->unlink(f->env, path);
		if (st != FLOW_NOTFOUND)
			FLOW_TRY(st);
	}
	f->ssts = f->env->alloc(f->env, FLOW_MAX(f->nids, 1) * sizeof(*f->ssts));
	f->txns = f->env->alloc(f->env, FLOW_MAX(f->nfates, 1) * sizeof(*f->txns));
	if (f->ssts == NULL || f->txns == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	return FLOW_OK;
}

static FlowStatus
write_files(Flush *f)
{
	char path[FLOW_PATH_BYTES];

	f->horizon = flowi_keep_horizon(f->env, f->db->sh);
	for (uint32_t from = 0, store;
		 flowi_memtable_next_store(f->mt, from, &store) == FLOW_OK;
		 from = store + 1)
	{
		if (!is_gone(f, store))
			FLOW_TRY(write_store(f, store));
	}
	/* a file of an earlier try that was unlinked must not come back either:
	 * it would look like the proof of a lost edit */
	if (f->nssts == 0 && !f->again)
		return FLOW_OK;
	FLOW_TRY(FLOW_POINT(f->env, "flush-renamed"));
	flowi_version_sst_dir(f->db->dir, path);
	return f->env->sync_dir(f->env, path);
}

/* Stores whose end is known go first, so that no file is made for them.  The
 * fate of one that the host has forgotten is flow_resolve_step's concern. */
static FlowStatus
settle_drops(FlowDb *db)
{
	FlowStatus st;

	FLOW_TRY(flowi_drops_learn(db, 0, true));
	st = flowi_drops_settle(db);
	return st == FLOW_END ? FLOW_OK : st;
}

/* Everything up to and with the manifest edit. */
static FlowStatus
flush_memtable(Flush *f)
{
	FlowDb *db = f->db;
	FlowEnv *env = f->env;

	FLOW_TRY(FLOW_POINT(env, "flush-begin"));
	FLOW_TRY(flowi_version_repair(db));
	FLOW_TRY(settle_drops(db));
	flowi_reserve_keep(env, db->dir, db->sh);
	FLOW_TRY(flowi_edit_create(env, &f->edit));
	FLOW_TRY(learn_fates(f));
	FLOW_TRY(flowi_stores_add_new(db, f->edit));
	FLOW_TRY(env->log_sync(env));
	share_fates(f);
	FLOW_TRY(reserve_ids(f));
	FLOW_TRY(write_files(f));
	FLOW_TRY(flowi_version_derive(env, db->sh->version, f->ssts, f->nssts, NULL,
								  0, &f->version));
	FLOW_TRY(flowi_edit_flushed(f->edit, atomic_load(&f->mt->last_end)));
	FLOW_TRY(flowi_edit_next_id(f->edit, db->sh->next_sst_id));
	return flowi_version_log_edit(db, f->edit);
}

/* The least position that is only in memory; state lock held exclusive. */
static void
recompute_oldest(FlowDbShared *sh)
{
	uint64_t oldest = UINT64_MAX;

	if (sh->active)
		oldest = atomic_load(&sh->active->first_pos);
	for (FlowMemtable *mt = sh->frozen; mt; mt = mt->next_older)
		oldest = FLOW_MIN(oldest, atomic_load(&mt->first_pos));
	atomic_store(&sh->oldest_unflushed, oldest);
}

/* Add what the published files hold; the version has them. */
static void
sum_up(const Flush *f, FlowFlushReport *report)
{
	if (report->sstables == 0 && f->nssts > 0)
		report->first_id = f->first_id;
	report->sstables += f->nssts;
	for (uint32_t i = 0; i < f->nssts; i++)
	{
		report->records += f->ssts[i]->info.records;
		report->file_bytes += f->ssts[i]->info.file_bytes;
	}
}

/* The edit is durable: nothing here can fail. */
static void
publish(Flush *f, FlowFlushReport *report)
{
	FlowDbShared *sh = f->db->sh;
	FlowMemtable **at = &sh->frozen;
	uint64_t end = atomic_load(&f->mt->last_end);
	FlowVersion *before;

	sum_up(f, report); /* while nobody can drop them */

	f->env->lock_acquire(f->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	before = flowi_version_install(sh, f->version);
	while (*at != f->mt)
		at = &(*at)->next_older;
	*at = f->mt->next_older;
	atomic_fetch_sub(&sh->nfrozen, 1);
	atomic_store(&sh->flushed_pos, end);
	recompute_oldest(sh);
	sh->busy = false;
	f->env->lock_release(f->env, &sh->state_lock);

	atomic_fetch_add(&sh->flushes, 1);
	atomic_fetch_add(&sh->records_expired, f->expired);
	atomic_store(&sh->last_flush_at, f->env->now_us(f->env));
	atomic_store(&sh->failing, 0);
	flowi_version_unref(f->env, f->db->dir, before);
	flowi_memtable_unref(f->env, f->mt); /* the list's */
	if (f->env->log_flushed)
		f->env->log_flushed(f->env, f->db, end);
	f->env->notify(f->env, sh, FLOW_EVENT_FLUSHED);
	if (f->nssts > 0)
		f->env->notify(f->env, sh, FLOW_EVENT_MERGE);
}

/*
 * Take back what a failed flush has done.  When the edit itself failed it
 * may stand in the manifest all the same: then the files have to stay until
 * the next try has repaired the manifest.
 */
static void
abandon(Flush *f)
{
	FlowDbShared *sh = f->db->sh;
	char path[FLOW_PATH_BYTES];

	if (f->version) /* frees the SSTables too */
		flowi_version_unref(f->env, NULL, f->version);
	else
		for (uint32_t i = 0; i < f->nssts; i++)
			flowi_version_sst_free(f->env, f->ssts[i]);
	for (uint32_t i = 0; i < f->begun; i++)
	{
		flowi_version_tmp_path(f->db->dir, f->first_id + i, path);
		(void) f->env->unlink(f->env, path);
		flowi_version_path(f->db->dir, f->first_id + i, path);
		if (!sh->manifest_failed)
			(void) f->env->unlink(f->env, path);
	}
	flowi_version_end(f->db);
}

/* Tell who asks why. */
static void
note_failure(FlowDb *db, FlowStatus st)
{
	FlowDbShared *sh = db->sh;
	const FlowError *err = flow_last_error();

	if (st == FLOW_INTERRUPTED)
		return;
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	sh->flush_error = *err;
	if (err->status != st)
		sh->flush_error = (FlowError){.status = st};
	db->env->lock_release(db->env, &sh->state_lock);
	atomic_fetch_add(&sh->flush_failures, 1);
	atomic_fetch_add(&sh->failing, 1);
}

/* Set busy and take the oldest frozen memtable, with a reference. */
static FlowStatus
begin(Flush *f)
{
	FlowDbShared *sh = f->db->sh;
	FlowStatus st = FLOW_OK;

	f->env->lock_acquire(f->env, &sh->state_lock, FLOW_LOCK_EXCLUSIVE);
	if (sh->retired)
		st = flowi_fail(FLOW_INVALID, "database is closed");
	else if (sh->busy)
		st = FLOW_BUSY;
	else if (sh->frozen == NULL)
		st = FLOW_END;
	else
	{
		sh->busy = true;
		f->mt = sh->frozen;
		while (f->mt->next_older)
			f->mt = f->mt->next_older;
		flowi_memtable_ref(f->mt);
	}
	f->env->lock_release(f->env, &sh->state_lock);
	return st;
}

static FlowStatus
flush_step(FlowDb *db, FlowFlushReport *report)
{
	Flush f = {.db = db, .env = db->env};
	int64_t start = db->env->ticks_us(db->env);
	FlowStatus st;

	FLOW_TRY(begin(&f));
	st = flush_memtable(&f);
	if (st == FLOW_OK)
	{
		publish(&f, report);
		flowi_latency_add(&db->sh->latency[FLOW_LATENCY_FLUSH],
						  db->env->ticks_us(db->env) - start);
	}
	else
	{
		note_failure(db, st);
		abandon(&f);
	}
	flowi_memtable_unref(f.env, f.mt);
	flowi_edit_free(f.edit);
	f.env->free(f.env, f.fates);
	f.env->free(f.env, f.txns);
	f.env->free(f.env, f.ssts);
	/* directories may have become smaller: then the next try succeeds */
	if (st == FLOW_NOMEM)
		st = flowi_status_merge(st, flow_resolve_step(db));
	return st;
}

FlowStatus
flow_flush_step(FlowDb *db)
{
	FlowFlushReport report = {0};

	return flush_step(db, &report);
}

/* ------------------------------------------------------------------- all */

/* Log position up to which flow_flush has to get; 0: nothing is frozen. */
static uint64_t
frozen_end(FlowDb *db)
{
	FlowDbShared *sh = db->sh;
	uint64_t end = 0;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	if (sh->frozen)
		end = atomic_load(&sh->frozen->last_end);
	db->env->lock_release(db->env, &sh->state_lock);
	return end;
}

FlowStatus
flow_flush(FlowDb *db, FlowFlushReport *report)
{
	FlowEnv *env = db->env;
	FlowFlushReport mine;
	uint64_t end;

	if (report == NULL)
		report = &mine;
	*report = (FlowFlushReport){0};
	FLOW_TRY(flow_freeze(db, UINT64_MAX));
	end = frozen_end(db);
	while (atomic_load(&db->sh->flushed_pos) < end)
	{
		FlowStatus st = flush_step(db, report);

		if (st == FLOW_BUSY)
		{
			FLOW_TRY(env->poll(env));
			env->pause(env);
		}
		else if (st == FLOW_END) /* somebody else was faster */
			break;
		else
			FLOW_TRY(st);
	}
	return FLOW_OK;
}

uint64_t
flow_oldest_unflushed(FlowDbShared *shared)
{
	return atomic_load(&shared->oldest_unflushed);
}

bool
flow_has_frozen(FlowDbShared *shared)
{
	return atomic_load(&shared->nfrozen) > 0;
}

uint32_t
flow_flush_failing(FlowDbShared *shared)
{
	return atomic_load(&shared->failing);
}

uint32_t
flow_flush_error(FlowDb *db, FlowError *error)
{
	FlowDbShared *sh = db->sh;
	uint32_t failing;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	failing = atomic_load(&sh->failing);
	*error = sh->flush_error;
	db->env->lock_release(db->env, &sh->state_lock);
	return failing;
}
