/*-------------------------------------------------------------------------
 * fuzz_wal.c
 *	  The file log: segments of any bytes, scanned, opened, appended to.
 *
 * Input: a byte of flags, then segments, each a length of four bytes and the
 * file.  A file gets the name that its header asks for.  Flag 1: checksums
 * stay as they are; flag 2: so do the positions of frames, which are else
 * made right too, as a cut or an insertion puts all of them out.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <xxhash.h>

#include "../coding.h"
#include "../wal_format.h"

#define DIR "db"
#define MODE_RAW 1u
#define MODE_PLACES 2u
#define MODE_FROM 4u /* the bits above say what is flushed */
#define MAX_SEGMENTS 4
#define SEGMENT_BYTES (32u << 10)
#define MOST_START (512u << 10)
#define MOST_BYTES (256u << 10) /* that a header may claim */

/* Records as a callback was given them. */
typedef struct Seen
{
	uint64_t n;
	uint64_t hash;
	uint64_t last_end;
} Seen;

static FlowStatus
see(void *arg, const void *rec, size_t len, uint64_t start, uint64_t end)
{
	Seen *seen = arg;

	FUZZ_CHECK(start >= seen->last_end);
	/* S1: no two records share a position of their steps */
	FUZZ_CHECK(end > start && end - start >= len + FLOW_WAL_FRAME_BYTES);
	seen->n++;
	seen->hash = fuzz_sum(seen->hash, rec, len);
	seen->hash = fuzz_sum(seen->hash, &start, sizeof(start));
	seen->last_end = end;
	return FLOW_OK;
}

static FlowStatus
see_bad(void *arg, const char *file, uint64_t from, uint64_t to,
		uint64_t file_offset)
{
	(void) arg;
	(void) file_offset;
	FUZZ_CHECK(from < to && strlen(file) > 0);
	return FLOW_OK;
}

/* What may be said of a directory of segments. */
static bool
expected(FlowStatus st)
{
	return st == FLOW_OK || st == FLOW_CORRUPT || st == FLOW_MISMATCH ||
		   fuzz_no_memory();
}

/* ------------------------------------------------------------------ files */

static void
fix_checksums(uint8_t *p, size_t bytes, uint8_t mode)
{
	uint64_t start, log_id;
	size_t off = SEG_HEAD_BYTES;

	if (bytes < SEG_HEAD_BYTES)
		return;
	if (flowi_get64(p + SEG_HEAD_SIZE) > MOST_BYTES) /* it would be read */
		flowi_put64(p + SEG_HEAD_SIZE,
					flowi_get64(p + SEG_HEAD_SIZE) % MOST_BYTES);
	flowi_put64(p + SEG_HEAD_CHECKSUM, XXH3_64bits(p, SEG_HEAD_CHECKSUM));
	start = flowi_get64(p + SEG_HEAD_START);
	log_id = flowi_get64(p + SEG_HEAD_LOG);
	while (off <= bytes && bytes - off >= FLOW_WAL_FRAME_BYTES)
	{
		uint32_t len = flowi_get32(p + off + FRAME_LEN);
		uint8_t kind = p[off + FRAME_KIND];
		uint64_t pos = flowi_get64(p + off + FRAME_POS);
		uint64_t synced = flowi_get64(p + off + FRAME_SYNCED);

		if (pos == 0 ||
			(kind == FRAME_RECORD && len > bytes - off - FLOW_WAL_FRAME_BYTES))
			break;
		if ((mode & MODE_PLACES) == 0)
			pos = start + off;
		wal_frame_seal(p + off, pos, synced, len, kind, log_id);
		off += (size_t) wal_frame_bytes(len);
	}
}

/* Where a segment says it starts; near the others, since salvage looks at all
 * that lies between. */
static uint64_t
start_of(uint8_t *p, size_t bytes, int i)
{
	uint64_t start;

	if (bytes < SEG_HEAD_BYTES)
		return (uint64_t) i;
	start = flowi_get64(p + SEG_HEAD_START);
	if (start >= MOST_START)
		flowi_put64(p + SEG_HEAD_START, start % MOST_START);
	return start % MOST_START;
}

/* Put the segments of the input where they belong. */
static void
put_segments(const uint8_t *data, size_t size)
{
	static FuzzBytes file;
	uint8_t mode = size > 0 ? data[0] : 0;
	size_t at = 1;

	for (int i = 0; i < MAX_SEGMENTS && size > at && size - at >= 4; i++)
	{
		size_t n = flowi_get32(data + at);
		char path[FLOW_PATH_BYTES];
		char dir[FLOW_PATH_BYTES];

		at += 4;
		n = FLOW_MIN(n, size - at);
		fuzz_bytes_set(&file, data + at, n);
		at += n;
		wal_dir(DIR, dir);
		wal_path(dir, start_of(file.data, n, i), "wal", path);
		if ((mode & MODE_RAW) == 0)
			fix_checksums(file.data, n, mode);
		fuzz_put_file(path, file.data, n);
	}
}

/* ----------------------------------------------------------------- target */

static FlowStatus
append(FlowWal *wal, const void *rec, size_t len, FlowSync sync)
{
	FlowWalRoom *room;
	uint64_t start, end, visible;

	FLOW_TRY(flowi_wal_admit(wal, len, sync, &room));
	flowi_wal_append(wal, room, rec, len, &start, &end);
	FUZZ_CHECK(end > start);
	FLOW_TRY(flowi_wal_commit(wal, end, &visible));
	FUZZ_CHECK(visible >= end);
	return FLOW_OK;
}

static FlowStatus
open_log(FlowEnv *env, uint64_t from, Seen *seen, FlowWal **walp)
{
	const FlowWalOptions opts = {.segment_bytes = SEGMENT_BYTES,
								 .sync_mode = FLOW_SYNC_ALWAYS,
								 .sync_interval_ms = 100};
	FlowWalReport report;
	FlowStatus st;

	*seen = (Seen){0, 0, from};
	seen->last_end = 0;
	st = flowi_wal_open(env, DIR, &opts, from, see, seen, &report, walp);
	if (st == FLOW_OK)
		FUZZ_CHECK(report.records == seen->n && report.end >= seen->last_end);
	return st;
}

/* The flushed position of the input. */
static uint64_t
from_of(const uint8_t *data, size_t size)
{
	return size > 0 && (data[0] & MODE_FROM) ? (data[0] >> 3) * UINT64_C(1024)
											 : 0;
}

/* A log that opens can be written to, and then has that record more. */
static void
check_open(FlowEnv *env, uint64_t from)
{
	FlowWal *wal;
	Seen first, again;
	FlowStatus st = open_log(env, from, &first, &wal);

	FUZZ_CHECK(expected(st));
	if (st != FLOW_OK)
		return;
	fuzz_decoded++;
	st = append(wal, "a record", 8, FLOW_SYNC_YES);
	FUZZ_CHECK(flowi_wal_close(wal) == FLOW_OK || fuzz_no_memory());
	if (st != FLOW_OK)
		return; /* no room behind the last position there is */
	st = open_log(env, from, &again, &wal);
	if (st != FLOW_OK)
	{
		FUZZ_CHECK(fuzz_no_memory());
		return;
	}
	FUZZ_CHECK(again.n == first.n + 1 && again.last_end > first.last_end);
	FUZZ_CHECK(flowi_wal_close(wal) == FLOW_OK || fuzz_no_memory());
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FlowEnv *env = fuzz_begin(data, size);
	uint64_t from = from_of(data, size);
	Seen seen = {0, 0, 0};
	FlowWalReport report;
	FlowStatus st;

	env->file_datasync = env->file_sync;
	put_segments(data, size);
	st = flowi_wal_scan(env, DIR, from, see, see_bad, &seen, &report);
	FUZZ_CHECK(expected(st) || st == FLOW_NOTFOUND);
	if (st == FLOW_OK)
		FUZZ_CHECK(report.records == seen.n);
	check_open(env, from);
	fuzz_end();
	return 0;
}

/* ----------------------------------------------------------------- seeds */

static void
add_file(FuzzBytes *out, const char *path)
{
	size_t at = out->bytes;
	size_t bytes;
	const uint8_t *file = fuzz_get_file(path, &bytes);

	/* zeroes at the end say nothing; those of a full segment do */
	while (bytes > SEG_HEAD_BYTES && file[bytes - 1] == 0)
		bytes--;
	fuzz_bytes_resize(out, at + 4 + bytes);
	flowi_put32(out->data + at, (uint32_t) bytes);
	memcpy(out->data + at + 4, file, bytes);
}

static FlowStatus
add_name(void *arg, const char *name)
{
	char path[FLOW_PATH_BYTES];
	char dir[FLOW_PATH_BYTES];

	wal_dir(DIR, dir);
	snprintf(path, sizeof(path), "%.500s/%.100s", dir, name);
	if (strstr(name, ".wal") != NULL)
		add_file(arg, path);
	return FLOW_OK;
}

void
fuzz_seed(CheckRandom *r, FuzzBytes *out)
{
	static uint8_t rec[20000];
	FlowEnv *env = fuzz_begin(NULL, 0);
	uint64_t n = check_below(r, 12);
	bool large = check_below(r, 6) == 0; /* into more than one segment */
	char dir[FLOW_PATH_BYTES];
	FlowWal *wal;
	Seen seen;

	env->file_datasync = env->file_sync;
	FUZZ_CHECK(open_log(env, check_below(r, 1000), &seen, &wal) == FLOW_OK);
	for (uint64_t i = 0; i < n; i++)
	{
		size_t len = check_below(r, large ? sizeof(rec) : 60);

		rec[check_below(r, 60)] = (uint8_t) check_random(r);
		FUZZ_CHECK(append(wal, rec, len,
						  check_below(r, 2) ? FLOW_SYNC_YES : FLOW_SYNC_NO) ==
				   FLOW_OK);
	}
	FUZZ_CHECK(flowi_wal_close(wal) == FLOW_OK);
	fuzz_bytes_resize(out, 1);
	out->data[0] = (uint8_t) (check_below(r, 3) ? 0 : check_below(r, 4));
	wal_dir(DIR, dir);
	FUZZ_CHECK(env->list_dir(env, dir, add_name, out) == FLOW_OK);
	fuzz_end();
}
