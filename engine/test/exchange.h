/*-------------------------------------------------------------------------
 * exchange.h
 *	  What a merge does, without its rules: the rows of some SSTables into
 *	  one file, and that in their place.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_EXCHANGE_H
#define FLOW_TEST_EXCHANGE_H

#include "../trash.h"
#include "dbtest.h"

#define EXCHANGE_ROWS 20000

/* A row of an input. */
typedef struct ExchangeRow
{
	FlowRec rec;
	uint8_t bytes[48]; /* key, value */
} ExchangeRow;

static inline int
exchange_row_cmp(const void *pa, const void *pb)
{
	const FlowRec *a = &((const ExchangeRow *) pa)->rec;
	const FlowRec *b = &((const ExchangeRow *) pb)->rec;
	int c = flowi_identity_cmp(a->key, a->key_bytes, a->ts, b->key,
							   b->key_bytes, b->ts);

	return c ? c : (a->seq < b->seq) - (a->seq > b->seq);
}

static inline void
exchange_copy(ExchangeRow *row, const FlowRec *rec)
{
	CHECK(rec->key_bytes + rec->value_bytes <= sizeof(row->bytes));
	row->rec = *rec;
	memcpy(row->bytes, rec->key, rec->key_bytes);
	if (rec->value_bytes)
		memcpy(row->bytes + rec->key_bytes, rec->value, rec->value_bytes);
}

/* Point into the copies, which the sort has moved. */
static inline void
exchange_point(ExchangeRow *row)
{
	row->rec.key = row->bytes;
	row->rec.value =
		row->rec.op == FLOW_PUT ? row->bytes + row->rec.key_bytes : NULL;
}

static inline FlowStatus
exchange_read(TestDb *t, const FlowSst *sst, ExchangeRow *rows, uint32_t *np)
{
	const FlowSstIterOptions o = {.ts_lo = INT64_MIN, .ts_hi = INT64_MAX};
	char path[FLOW_PATH_BYTES];
	FlowSstReader *reader;
	FlowIter *it = NULL;
	FlowStatus st;

	flowi_version_path(t->dir, sst->info.id, path);
	FLOW_TRY(flowi_sst_open(t->env, path, t->sh->cache_space, sst->info.id,
							sst->info.store_id, &reader));
	FLOW_GOTO(flowi_sst_iter(reader, &o, &it));
	for (st = it->seek(it, &(FlowSeek){.unbounded = true}); st == FLOW_OK;
		 st = it->next(it))
	{
		CHECK(*np < EXCHANGE_ROWS);
		st = flowi_iter_value(it);
		if (st != FLOW_OK)
			break;
		exchange_copy(&rows[*np], &it->cur);
		exchange_point(&rows[(*np)++]);
	}
	st = st == FLOW_END ? FLOW_OK : st;
out:
	if (it)
		it->free(it);
	flowi_sst_close(reader);
	return st;
}

/* Write the rows, sorted and each once, into a file under its final name. */
static inline FlowStatus
exchange_write(TestDb *t, uint32_t store, uint64_t id, ExchangeRow *rows,
			   uint32_t n, FlowSst **sstp)
{
	char tmp[FLOW_PATH_BYTES], path[FLOW_PATH_BYTES];
	FlowSstWriter *w = NULL;
	FlowSstInfo info;
	FlowStatus st;

	for (uint32_t i = 0; i < n; i++)
		exchange_point(&rows[i]);
	qsort(rows, n, sizeof(*rows), exchange_row_cmp);
	for (uint32_t i = 0; i < n; i++)
		exchange_point(&rows[i]);
	flowi_version_tmp_path(t->dir, id, tmp);
	flowi_version_path(t->dir, id, path);
	FLOW_GOTO(flowi_sst_create(t->env, tmp,
							   &(FlowSstSpec){.id = id,
											  .store_id = store,
											  .level = 1,
											  .origin = FLOW_SST_MERGED,
											  .block_bytes = 1024,
											  .bloom_bits_per_key = 10},
							   &w));
	for (uint32_t i = 0; i < n; i++)
	{
		if (i == 0 || exchange_row_cmp(&rows[i - 1], &rows[i]) != 0)
			FLOW_GOTO(flowi_sst_add(w, &rows[i].rec));
	}
	FLOW_GOTO(flowi_sst_finish(w, &info));
	info.origin = FLOW_SST_MERGED;
	info.level = 1;
	FLOW_GOTO(t->env->rename(t->env, tmp, path));
	st = flowi_version_sst_create(t->env, &info, FLOW_ROOM_ALL, sstp);
out:
	flowi_sst_writer_free(w);
	return st;
}

/*
 * Merge the n SSTables in drop, all of one store.  When it fails, nothing has
 * happened but for files that no manifest lists, or may list.
 */
static inline FlowStatus
exchange(TestDb *t, FlowSst *const *drop, uint32_t n)
{
	static ExchangeRow *rows;
	char path[FLOW_PATH_BYTES];
	FlowSst *sst = NULL;
	uint64_t id;
	uint32_t nrows = 0;
	FlowStatus st;

	if (rows == NULL)
		rows = calloc(EXCHANGE_ROWS, sizeof(*rows));
	CHECK(rows != NULL);
	FLOW_TRY(flowi_version_begin(t->db));
	id = t->sh->next_sst_id++;
	FLOW_GOTO(flowi_version_repair(t->db));
	for (uint32_t i = 0; i < n; i++)
		FLOW_GOTO(exchange_read(t, drop[i], rows, &nrows));
	FLOW_GOTO(exchange_write(t, drop[0]->info.store_id, id, rows, nrows, &sst));
	flowi_version_sst_dir(t->dir, path);
	FLOW_GOTO(t->env->sync_dir(t->env, path));
	FLOW_GOTO(flowi_version_replace(t->db, &sst, 1, drop, n));
	sst = NULL;
out:
	if (st != FLOW_OK && !t->sh->manifest_failed)
	{
		flowi_version_path(t->dir, id, path);
		(void) t->env->unlink(t->env, path);
		flowi_version_tmp_path(t->dir, id, path);
		(void) t->env->unlink(t->env, path);
	}
	flowi_version_sst_free(t->env, sst);
	flowi_version_end(t->db);
	return st;
}

/* Merge the SSTables first .. first + n - 1 of the current version. */
static inline FlowStatus
exchange_some(TestDb *t, uint32_t first, uint32_t n)
{
	FlowSst *drop[64];

	CHECK(n <= 64 && first + n <= t->sh->version->nssts);
	memcpy(drop, t->sh->version->sst + first, n * sizeof(*drop));
	return exchange(t, drop, n);
}

/* Files in SST. */
static inline uint32_t
count_files(const TestDb *t)
{
	return test_count_files(t, "SST");
}

static inline uint32_t
count_trash(const TestDb *t)
{
	uint32_t n = 0;

	for (const FlowTrash *e = t->sh->trash; e; e = e->next)
		n++;
	return n;
}

/* keep_files of an env while a backup runs. */
static bool exchange_backup;

static inline bool
exchange_keep(FlowEnv *env, int64_t since)
{
	CHECK(since <= env->ticks_us(env));
	return exchange_backup;
}

#endif /* FLOW_TEST_EXCHANGE_H */
