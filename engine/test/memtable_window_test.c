/*-------------------------------------------------------------------------
 * memtable_window_test.c
 *	  Readers between two stores of a memtable's writer: few rows, where they
 *	  are written, again and again.  memtable_race_test.c has whole walks.
 *
 * A batch appends rows to the series "m", then writes the last of them once
 * more, and makes a series of its own, "n" and its number.  Before and behind
 * these are "a" and "z", which never change.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <pthread.h>
#include <string.h>

#include "../env_posix.h"
#include "../memtable.h"

#define BATCHES 6000
#define ROWS 20 /* a batch: a new chunk in every few */
#define NREADERS 2

typedef struct Race
{
	FlowEnv *env;
	FlowMemtable *mt;
	_Atomic bool done;
	_Atomic uint64_t next; /* batch that is being linked, or was */
} Race;

static uint32_t
put_new_key(uint64_t batch, uint8_t key[5])
{
	key[0] = 'n';
	for (int i = 0; i < 4; i++)
		key[1 + i] = (uint8_t) (batch >> (24 - 8 * i));
	return 5;
}

static void
put(FlowBatchWriter *bw, const void *key, uint32_t key_bytes, int64_t ts)
{
	CHECK_OK(flowi_batch_add(bw, FLOW_PUT, 1, key, key_bytes, ts, FLOW_NEVER,
							 (const uint8_t *) "v", 1));
}

static void
link_batch(Race *race, FlowBatchWriter *bw, uint64_t seq)
{
	const void *rec;
	size_t rec_bytes;
	FlowBatchHeader hdr;
	const uint8_t *payload;

	CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
	CHECK_OK(flowi_memtable_stage(race->env, race->mt, &hdr, payload));
	flowi_memtable_link(race->mt, seq, seq + 50);
}

static void *
write_main(void *arg)
{
	Race *race = arg;
	FlowBatchWriter *bw;

	CHECK_OK(flowi_batch_writer_create(race->env, &bw));
	for (uint64_t i = 1; i <= BATCHES; i++)
	{
		uint8_t key[5];

		flowi_batch_begin(bw, 7);
		CHECK_OK(flowi_batch_step(bw, 0));
		for (uint64_t n = 0; n < ROWS; n++)
			put(bw, "m", 1, (int64_t) (i * ROWS + n));
		put(bw, key, put_new_key(i, key), 0);
		CHECK_OK(flowi_batch_step(bw, 0));
		put(bw, "m", 1, (int64_t) (i * ROWS + ROWS - 1));
		atomic_store(&race->next, i);
		link_batch(race, bw, i * 100);
	}
	atomic_store(&race->done, true);
	flowi_batch_writer_free(bw);
	return NULL;
}

/* From the end of "m" back: what is there twice is there from both. */
static void
read_back(FlowIter *it)
{
	FlowSeek to = {.key = (const uint8_t *) "m", .key_bytes = 1};
	bool was_late = false;
	int64_t ts = INT64_MAX;
	FlowStatus st;

	to.ts = INT64_MAX;
	st = it->seek(it, &to);
	for (int i = 0; i < 3 && st == FLOW_OK; i++, st = it->next(it))
	{
		bool late = it->cur.seq % 100 == 1;

		CHECK(it->cur.key[0] == 'm');
		CHECK(ts == INT64_MAX || it->cur.ts == ts - !was_late);
		if (was_late)
			CHECK(!late);
		was_late = late;
		ts = it->cur.ts;
	}
	CHECK(st == FLOW_OK);
}

/* From a time on that is written now, to the end. */
static void
read_on(Race *race, FlowIter *it)
{
	uint64_t next = atomic_load(&race->next);
	FlowSeek to = {.key = (const uint8_t *) "m",
				   .key_bytes = 1,
				   .ts = (int64_t) (next * ROWS + ROWS - 2)};
	bool was_late = false;
	int64_t ts = to.ts - 1;
	FlowStatus st;

	for (st = it->seek(it, &to); st == FLOW_OK && it->cur.key[0] == 'm';
		 st = it->next(it))
	{
		bool late = it->cur.seq % 100 == 1;

		CHECK(it->cur.ts == (was_late ? ts : ts + 1));
		CHECK(!was_late || !late);
		was_late = late;
		ts = it->cur.ts;
	}
	CHECK(st == FLOW_OK && !was_late);
}

/* A series that is made now leads on to those behind it, and back. */
static void
read_new(Race *race, FlowIter *it, bool reverse)
{
	uint8_t key[5];
	FlowSeek to = {.key = key};
	FlowStatus st;

	to.key_bytes = put_new_key(atomic_load(&race->next) + 1, key);
	for (int i = 0; i < 100; i++)
	{
		st = it->seek(it, &to);
		CHECK(st == FLOW_OK);
		if (it->cur.key_bytes == 5 && memcmp(it->cur.key, key, 5) == 0)
			break;
	}
	for (int i = 0; st == FLOW_OK && i < 20; i++)
	{
		if (it->cur.key[0] == (reverse ? 'm' : 'z'))
			return;
		st = it->next(it);
	}
	CHECK(st == FLOW_OK);
}

static void *
read_main(void *arg)
{
	Race *race = arg;
	FlowIter *back;
	FlowIter *on;

	CHECK_OK(flowi_memtable_iter(race->env, race->mt, 1, true, &back));
	CHECK_OK(flowi_memtable_iter(race->env, race->mt, 1, false, &on));
	while (!atomic_load(&race->done))
	{
		for (int i = 0; i < 100; i++)
		{
			read_back(back);
			read_on(race, on);
		}
		read_new(race, on, false);
		read_new(race, back, true);
	}
	back->free(back);
	on->free(on);
	return NULL;
}

int
main(int argc, char **argv)
{
	int times = argc > 2 ? atoi(argv[2]) : 5;
	FlowEnv *env;

	(void) check_seed(argc, argv);
	CHECK_OK(flow_env_posix_create(64u << 20, &env));
	while (times-- > 0)
	{
		Race race = {.env = env, .mt = flowi_memtable_create(env)};
		pthread_t threads[1 + NREADERS];
		FlowBatchWriter *bw;

		CHECK_OK(flowi_batch_writer_create(env, &bw));
		flowi_batch_begin(bw, 7);
		CHECK_OK(flowi_batch_step(bw, 0));
		put(bw, "a", 1, 0);
		for (int64_t ts = 0; ts < ROWS; ts++)
			put(bw, "m", 1, ts);
		put(bw, "z", 1, 0);
		link_batch(&race, bw, 10);
		flowi_batch_writer_free(bw);
		for (int i = 0; i <= NREADERS; i++)
			CHECK(pthread_create(&threads[i], NULL, i ? read_main : write_main,
								 &race) == 0);
		for (int i = 0; i <= NREADERS; i++)
			CHECK(pthread_join(threads[i], NULL) == 0);
		flowi_memtable_unref(env, race.mt);
	}
	flow_env_posix_free(env);
	check_passed("memtable: readers between two stores");
	return 0;
}
