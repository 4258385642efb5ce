/*-------------------------------------------------------------------------
 * memtable_room_test.c
 *	  The memory of a memtable: what a row takes, what the largest batches
 *	  take, many series, and its end at every single allocation of a batch.
 *-------------------------------------------------------------------------
 */
#include "check.h"

#include <string.h>

#include "../env_posix.h"
#include "../memtable.h"

#define MB (1u << 20)
/* a region whose write buffers are so large */
#define REGION(write_bytes) (((size_t) (write_bytes) + 6) / 7 * 16 + 4096)

/* Of the server: what flowdb.shared_memory leaves at least (settings.c). */
#define LEAST_WRITE_BYTES (32u * MB)

static FlowEnv *env;
static FlowBatchWriter *bw;

static void
begin(size_t write_bytes)
{
	CHECK_OK(flow_env_posix_create(REGION(write_bytes), &env));
	CHECK_OK(flowi_batch_writer_create(env, &bw));
	CHECK(flowi_region_chunk_total(env) >= write_bytes &&
		  flowi_region_chunk_total(env) <= write_bytes + MB);
}

static void
end(void)
{
	CHECK(flowi_region_chunks_used(env) == 0);
	flowi_batch_writer_free(bw);
	flow_env_posix_free(env);
}

static uint32_t
put_key(uint32_t no, uint32_t bytes, uint8_t *key)
{
	memset(key, 'k', bytes);
	for (uint32_t i = 0; i < 4 && i < bytes; i++)
		key[bytes - 1 - i] = (uint8_t) (no >> 8 * i);
	return bytes;
}

typedef struct Spec
{
	FlowOp op;
	uint32_t key_bytes;
	uint32_t value_bytes;
	int64_t expire_at;
} Spec;

static void
add(const Spec *spec, uint32_t series, int64_t ts)
{
	static uint8_t key[FLOW_MAX_KEY];
	static uint8_t value[FLOW_MAX_VALUE];

	CHECK_OK(flowi_batch_add(bw, spec->op, 1, key,
							 put_key(series, spec->key_bytes, key), ts,
							 spec->expire_at, value, spec->value_bytes));
}

static FlowStatus
stage(FlowMemtable *mt)
{
	const void *rec;
	size_t rec_bytes;
	FlowBatchHeader hdr;
	const uint8_t *payload;

	CHECK_OK(flowi_batch_finish(bw, &rec, &rec_bytes, &hdr, &payload));
	return flowi_memtable_stage(env, mt, &hdr, payload);
}

static void
put_in(FlowMemtable *mt)
{
	uint64_t pos = 1 + (atomic_load(&mt->last_end) + 99) / 100 * 100;

	CHECK_OK(stage(mt));
	flowi_memtable_link(mt, pos, pos + 50);
}

/* ---------------------------------------------------------- what rows take */

/* Bytes a row of n series with so many rows, but for key and value. */
static double
overhead(uint32_t nseries, uint32_t nrows)
{
	const Spec spec = {FLOW_PUT, 16, 100, FLOW_NEVER};
	FlowMemtable *mt = flowi_memtable_create(env);
	uint64_t before;
	uint64_t taken;
	uint64_t n = (uint64_t) nseries * nrows;

	flowi_batch_begin(bw, 1);
	CHECK_OK(flowi_batch_step(bw, 0));
	add(&spec, UINT32_MAX, 0);
	put_in(mt);
	before = atomic_load(&mt->bytes);
	for (uint32_t row = 0; row < nrows; row += 10)
	{
		flowi_batch_begin(bw, 1);
		CHECK_OK(flowi_batch_step(bw, 0));
		for (uint32_t s = 0; s < nseries; s++)
			for (uint32_t i = row; i < row + 10 && i < nrows; i++)
				add(&spec, s, i);
		put_in(mt);
	}
	taken = atomic_load(&mt->bytes) - before;
	flowi_memtable_unref(env, mt);
	return (double) taken / (double) n - 100 - (nrows == 1 ? 16 : 0);
}

/* A skiplist of rows took 59 bytes a row, and each row's key. */
static void
test_rows(void)
{
	double one, five, many;

	begin(100u * MB);
	one = overhead(20000, 1);
	five = overhead(10000, 5);
	many = overhead(100, 2000);
	printf("# bytes beside key and value: %.1f, %.1f, %.1f\n", one, five, many);
	CHECK(one < 112 && five < 80 && many < 36);
	end();
	check_passed("memtable: what a row takes");
}

/* ------------------------------------------------------- the largest batches */

/* Rows as the pusher takes them, until it would begin another batch; of each
 * key so many in a step, in so many steps; the later steps at the same times,
 * or before, or behind.  false: not even one. */
static bool
fill_batch(const Spec *spec, uint32_t rows, uint32_t steps, int64_t move)
{
	uint32_t cost = spec->key_bytes + spec->value_bytes + FLOW_BATCH_OP_GUESS;
	uint32_t n = FLOW_BATCH_TARGET_BYTES / cost / steps / rows;

	flowi_batch_begin(bw, 1);
	for (uint32_t step = 0; step < steps; step++)
	{
		CHECK_OK(flowi_batch_step(bw, step));
		for (uint32_t s = 0; s < n; s++)
			for (uint32_t i = 0; i < rows; i++)
				add(spec, s, (int64_t) i + step * move);
	}
	return n > 0;
}

/* Stage such a batch; the memory that it takes. */
static uint64_t
stage_filled(const Spec *spec, uint32_t rows, uint32_t steps, int64_t move)
{
	FlowMemtable *mt = flowi_memtable_create(env);
	uint64_t bytes;

	if (fill_batch(spec, rows, steps, move))
		CHECK_OK(stage(mt));
	bytes = mt->arena.bytes;
	flowi_memtable_unref(env, mt);
	return bytes;
}

/* A batch of any kind fits into a memtable of the least memory there is. */
static void
test_largest(void)
{
	static const struct
	{
		uint32_t rows, steps;
		int64_t move;
	} kinds[] = {{1, 1, 0},		{2, 1, 0},	{3, 1, 0},	{4, 1, 0},
				 {1000, 1, 0},	{1, 2, 0},	{2, 2, 0},	{1, 2, -10000},
				 {2, 2, 10000}, {1, 24, 0}, {1, 24, 1}, {2, 24, -10000},
				 {1000, 24, -9}};
	static const Spec specs[] = {{FLOW_PUT, 3, 0, FLOW_NEVER},
								 {FLOW_PUT, 3, 1, 5},
								 {FLOW_DELETE, 3, 0, 5},
								 {FLOW_PUT, 12, 80, FLOW_NEVER},
								 {FLOW_PUT, 60000, 80, FLOW_NEVER}};
	uint64_t most = 0;

	begin(LEAST_WRITE_BYTES);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		for (size_t j = 0; j < sizeof(kinds) / sizeof(kinds[0]); j++)
		{
			uint64_t bytes = stage_filled(&specs[i], kinds[j].rows,
										  kinds[j].steps, kinds[j].move);

			most = FLOW_MAX(most, bytes);
		}
	printf("# the largest batch takes %.1f MB\n", (double) most / MB);
	for (int i = 0; i < 2; i++)
	{
		FlowMemtable *mt = flowi_memtable_create(env);

		flowi_batch_begin(bw, 1);
		CHECK_OK(flowi_batch_step(bw, 0));
		add(&(Spec){FLOW_PUT, i ? FLOW_MAX_KEY : 3, FLOW_MAX_VALUE, 5}, 1, 1);
		CHECK_OK(stage(mt));
		flowi_memtable_unref(env, mt);
	}
	end();
	check_passed("memtable: the largest batches");
}

/* What is too large for all write buffers is no matter of time. */
static void
test_too_large(void)
{
	FlowMemtable *mt;

	begin(4u * MB);
	mt = flowi_memtable_create(env);
	for (int i = 0; i < 3; i++)
	{
		flowi_batch_begin(bw, 1);
		CHECK_OK(flowi_batch_step(bw, 0));
		if (i == 0)
			add(&(Spec){FLOW_PUT, 3, 5u * MB, 5}, 1, 1);
		for (uint32_t n = 0; i == 1 && n < 6; n++)
			add(&(Spec){FLOW_PUT, 3, MB, 5}, n, 1);
		for (uint32_t n = 0; i == 2 && n < 5u * MB / 24; n++)
			add(&(Spec){FLOW_DELETE, 3, 0, FLOW_NEVER}, 1, n);
		CHECK_STATUS(stage(mt), FLOW_NOMEM);
	}
	flowi_batch_begin(bw, 1);
	CHECK_OK(flowi_batch_step(bw, 0));
	add(&(Spec){FLOW_PUT, 3, 4u * MB - 4096, 5}, 1, 1);
	CHECK_STATUS(stage(mt), FLOW_BUSY);
	flowi_memtable_unref(env, mt);
	end();
	check_passed("memtable: batches that never fit");
}

/* ------------------------------------------------------------ many series */

#ifdef __SANITIZE_THREAD__
#define MANY 60000u
#else
#define MANY 1100000u /* more than there are buckets */
#endif

static bool
is_there(FlowMemtable *mt, FlowIter *it, uint32_t no)
{
	uint8_t key[8];
	FlowSeek to = {.key = key, .key_bytes = put_key(no, 8, key), .ts = 1};
	FlowSince q = {.store_id = 1, .key = key, .key_bytes = 8, .ts = 1};
	bool there = flowi_memtable_since(mt, &q);

	if (there)
		CHECK(it->seek(it, &to) == FLOW_OK && memcmp(it->cur.key, key, 8) == 0);
	return there;
}

/* Each is found, as the hash grows and when it does no longer; in order. */
static void
test_many_series(void)
{
	const Spec spec = {FLOW_PUT, 8, 4, FLOW_NEVER};
	FlowMemtable *mt;
	FlowIter *it;
	uint32_t n = 0;
	uint8_t last[8];
	FlowStatus st;

	begin(192u * MB);
	mt = flowi_memtable_create(env);
	CHECK_OK(flowi_memtable_iter(env, mt, 1, false, &it));
	for (uint32_t batch = 1; n < MANY; batch = FLOW_MIN(batch * 2, 20000))
	{
		uint32_t first = n;

		flowi_batch_begin(bw, 1);
		CHECK_OK(flowi_batch_step(bw, 0));
		for (; n < MANY && n - first < batch; n++)
			add(&spec, n * 2, 1);
		put_in(mt);
		CHECK(mt->dir.nseries == n);
		for (uint32_t i = 0; i < 100 && i < n; i++)
		{
			uint32_t no = (i * 7919 + batch) % n;

			CHECK(is_there(mt, it, 2 * no));
			CHECK(!is_there(mt, it, 2 * no + 1));
		}
		CHECK(is_there(mt, it, 2 * (n - 1)) && !is_there(mt, it, 2 * n));
	}
	CHECK(atomic_load(&mt->dir.nbuckets) ==
		  FLOW_MIN(n, FLOW_MEM_SEGMENTS * FLOW_MEM_SEGMENT_BUCKETS));
	for (uint32_t i = 0; i < MANY; i++)
		CHECK(is_there(mt, it, 2 * i));
	n = 0;
	for (st = it->seek(it, &(FlowSeek){.unbounded = true}); st == FLOW_OK;
		 st = it->next(it), n++)
	{
		CHECK(n == 0 || memcmp(last, it->cur.key, 8) < 0);
		memcpy(last, it->cur.key, 8);
	}
	CHECK(st == FLOW_END && n == MANY);
	it->free(it);
	flowi_memtable_unref(env, mt);
	end();
	check_passed("memtable: many series");
}

/* ---------------------------------------------- an end at each allocation */

/* All rows in both directions, and range tombstones, as one number. */
static FlowStatus
digest_tomb(void *arg, const FlowTomb *tomb)
{
	uint64_t *sum = arg;

	*sum = *sum * 31 + tomb->seq + (uint64_t) tomb->rect.ts_hi;
	return FLOW_OK;
}

static uint64_t
digest(FlowMemtable *mt)
{
	uint64_t sum = 0;

	for (int reverse = 0; reverse < 2; reverse++)
	{
		FlowIter *it;
		FlowStatus st;

		CHECK_OK(flowi_memtable_iter(env, mt, 1, reverse, &it));
		for (st = it->seek(it, &(FlowSeek){.unbounded = true}); st == FLOW_OK;
			 st = it->next(it))
			sum = sum * 31 + it->cur.seq * 7 + (uint64_t) it->cur.ts +
				  it->cur.key[it->cur.key_bytes - 1] + it->cur.value_bytes;
		CHECK(st == FLOW_END);
		it->free(it);
	}
	CHECK_OK(flowi_memtable_each_tomb(mt, 1, digest_tomb, &sum));
	return sum;
}

#define SOME 2040 /* series; the batch makes the hash grow by a segment */

/* Runs of 1 to 8 rows, some with late rows. */
static void
fill(FlowMemtable *mt)
{
	const Spec spec = {FLOW_PUT, 6, 4, FLOW_NEVER};

	flowi_batch_begin(bw, 1);
	for (int64_t step = 0; step < 2; step++)
	{
		CHECK_OK(flowi_batch_step(bw, 0));
		for (uint32_t s = 0; s < SOME; s++)
			for (uint32_t i = 0; i <= s % 8 && (step == 0 || s % 3 == 0); i++)
				add(&spec, s * 2, 10 * i - step);
	}
	put_in(mt);
}

/* To series that are there and new ones, in order and late, of all kinds. */
static void
make_batch(void)
{
	const Spec put = {FLOW_PUT, 6, 40, FLOW_NEVER};
	const Spec expires = {FLOW_PUT, 6, 0, 77};
	const Spec delete = {FLOW_DELETE, 6, 0, FLOW_NEVER};

	flowi_batch_begin(bw, 1);
	for (uint32_t step = 0; step < 3; step++)
	{
		FlowRect rect = {(const uint8_t *) "a", NULL, 1, 0, 3, 9};

		CHECK_OK(flowi_batch_step(bw, step));
		CHECK_OK(flowi_batch_add_tomb(bw, 1, &rect));
		for (uint32_t s = 0; s < 24; s++)
			for (int64_t i = 0; i < 3; i++)
				add(&put, s, 35 + 10 * i + 10 * (step % 2));
		for (uint32_t s = 0; step == 1 && s < 40; s++)
			add(s % 2 ? &expires : &delete, 100000 + s, s);
	}
}

/* A memtable with so many bytes left, and none to be had: the batch is refused
 * and nothing of it stays, whatever it was that did not fit. */
static void
test_exhaustion(void)
{
	FlowMemtable *mt;
	uint8_t *end_of_chunk;
	uint64_t before, after;
	void *others[64];
	size_t nothers = 0;
	uint32_t refused = 0;

	begin(8u * MB);
	mt = flowi_memtable_create(env);
	fill(mt);
	before = digest(mt);
	make_batch();
	/* room for all of it: so much is to be had in one piece */
	while ((others[nothers] = flowi_region_chunks_alloc(env, 1)) != NULL)
		nothers++;
	end_of_chunk = mt->arena.end;
	CHECK(mt->arena.end - mt->arena.ptr > 60000);
	for (size_t room = 0;; room += 8)
	{
		uint8_t *ptr = mt->arena.ptr;
		uint64_t bytes = mt->arena.bytes;
		FlowStatus st;

		mt->arena.end = mt->arena.ptr + room;
		st = stage(mt);
		if (st == FLOW_OK)
			break;
		CHECK(st == FLOW_BUSY);
		CHECK(mt->arena.ptr == ptr && mt->arena.bytes == bytes);
		CHECK(mt->staged == NULL && mt->staged_txns == NULL &&
			  mt->staged_tombs == NULL && mt->dir.nstaged == 0 &&
			  mt->dir.nsegments == mt->dir.linked_segments);
		refused++;
		if (refused % 16 == 0)
			CHECK(digest(mt) == before);
	}
	CHECK(refused > 1000);
	/* given up as a whole; another one in its place; then in earnest */
	flowi_memtable_unstage(env, mt);
	mt->arena.end = end_of_chunk;
	CHECK(digest(mt) == before);
	while (nothers > 0)
		flowi_region_chunks_free(env, others[--nothers], 1);
	fill(mt);
	after = digest(mt);
	CHECK(after != before);
	make_batch();
	CHECK_OK(stage(mt));
	CHECK(digest(mt) == after);
	flowi_memtable_link(mt, 1000, 1050);
	CHECK(digest(mt) != after);
	CHECK(atomic_load(&mt->dir.nbuckets) > 2 * FLOW_MEM_SEGMENT_BUCKETS);
	flowi_memtable_unref(env, mt);
	end();
	check_passed("memtable: no room at each allocation");
}

/* Not even for the memtable. */
static void
test_no_memtable(void)
{
	void *others[64];
	size_t nothers = 0;

	begin(4u * MB);
	while ((others[nothers] = flowi_region_chunks_alloc(env, 1)) != NULL)
		nothers++;
	CHECK(flowi_memtable_create(env) == NULL);
	CHECK(flowi_region_chunks_used(env) == nothers);
	while (nothers > 0)
		flowi_region_chunks_free(env, others[--nothers], 1);
	end();
	check_passed("memtable: no room for one");
}

int
main(int argc, char **argv)
{
	(void) check_seed(argc, argv);
	test_no_memtable();
	test_rows();
	test_largest();
	test_too_large();
	test_exhaustion();
	test_many_series();
	return 0;
}
