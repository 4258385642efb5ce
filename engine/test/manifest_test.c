/*-------------------------------------------------------------------------
 * manifest_test.c
 *	  Manifest and CURRENT: replay of what was written, damage, faults.
 *
 * Every edit is also a line of text in a journal; what replay visits must
 * give the same lines.
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common.h"
#include "../edit.h"
#include "../env_posix.h"
#include "check.h"
#include "testfile.h"

static FlowEnv *env;
static char dir[] = "/tmp/manifest_test.XXXXXX";

/* --- the journal --- */

typedef struct Journal
{
	char *text;
	size_t len;
	size_t cap;
} Journal;

static void note(Journal *j, const char *fmt, ...) FLOW_PRINTF(2, 3);

static void
note(Journal *j, const char *fmt, ...)
{
	va_list args;
	int n;

	if (j->cap - j->len < 4096)
	{
		j->cap = 2 * j->cap + 8192;
		j->text = realloc(j->text, j->cap);
		CHECK(j->text != NULL);
	}
	va_start(args, fmt);
	n = vsnprintf(j->text + j->len, j->cap - j->len, fmt, args);
	va_end(args);
	CHECK(n >= 0 && (size_t) n < j->cap - j->len);
	j->len += (size_t) n;
}

static void
note_bytes(Journal *j, const void *p, size_t n)
{
	uint64_t sum = n;

	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + ((const uint8_t *) p)[i];
	note(j, " %zu:%" PRIx64, n, sum);
}

static void
note_txns(Journal *j, const FlowTxnInfo *txns, uint32_t ntxns)
{
	note(j, " txns %u", ntxns);
	for (uint32_t i = 0; i < ntxns; i++)
		note(j, " %" PRIu64 "-%" PRIu64 " %" PRIu64 " %u %u", txns[i].seq_first,
			 txns[i].seq_last, txns[i].xid, txns[i].cid, txns[i].state);
	note(j, "\n");
}

static FlowStatus
see_add(void *arg, const FlowSstInfo *s)
{
	note(arg, "add %" PRIu64 " %u %u %" PRIu64 " %" PRIu64, s->id, s->store_id,
		 s->level, s->file_bytes, s->records);
	note(arg, " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64, s->tombstones,
		 s->raw_bytes, s->ts_min, s->ts_max);
	note(arg, " %" PRId64 " %" PRId64 " %" PRIu64 " %" PRIu64, s->expire_min,
		 s->expire_max, s->seq_min, s->seq_max);
	note_bytes(arg, s->key_min, s->key_min_bytes);
	note_bytes(arg, s->key_max, s->key_max_bytes);
	note(arg, " %u %" PRIu64 " %" PRIu64, s->origin, s->keys, s->ntombs);
	if (s->ntombs > 0)
	{
		note(arg, " %" PRId64 " %" PRId64 " %d", s->cover.ts_lo, s->cover.ts_hi,
			 s->cover.key_hi != NULL);
		note_bytes(arg, s->cover.key_lo, s->cover.key_lo_bytes);
		if (s->cover.key_hi)
			note_bytes(arg, s->cover.key_hi, s->cover.key_hi_bytes);
	}
	note_txns(arg, s->txns, s->ntxns);
	return FLOW_OK;
}

static FlowStatus
see_remove(void *arg, uint64_t id)
{
	note(arg, "remove %" PRIu64 "\n", id);
	return FLOW_OK;
}

static FlowStatus
see_trash(void *arg, uint64_t id)
{
	note(arg, "trash %" PRIu64 "\n", id);
	return FLOW_OK;
}

static FlowStatus
see_gone(void *arg, uint64_t id)
{
	note(arg, "gone %" PRIu64 "\n", id);
	return FLOW_OK;
}

static FlowStatus
see_edit_done(void *arg)
{
	note(arg, "done\n");
	return FLOW_OK;
}

static FlowStatus
see_txns(void *arg, uint64_t id, const FlowTxnInfo *txns, uint32_t ntxns)
{
	note(arg, "txns of %" PRIu64, id);
	note_txns(arg, txns, ntxns);
	return FLOW_OK;
}

static FlowStatus
see_store(void *arg, const FlowStoreInfo *store)
{
	CHECK(strlen(store->name) == store->name_bytes);
	note(arg, "store %u %s", store->id, store->name);
	note_bytes(arg, store->blob, store->blob_bytes);
	note(arg, "\n");
	return FLOW_OK;
}

static FlowStatus
see_drop(void *arg, const FlowDropInfo *d)
{
	note(arg, "drop %u %" PRIu64 " %d\n", d->store_id, d->xid, d->unless);
	return FLOW_OK;
}

static FlowStatus
see_kept(void *arg, const FlowDropInfo *d)
{
	note(arg, "kept %u %" PRIu64 " %d\n", d->store_id, d->xid, d->unless);
	return FLOW_OK;
}

static FlowStatus
see_store_gone(void *arg, uint64_t id)
{
	note(arg, "store gone %" PRIu64 "\n", id);
	return FLOW_OK;
}

static FlowStatus
see_next_store(void *arg, uint64_t id)
{
	note(arg, "next store %" PRIu64 "\n", id);
	return FLOW_OK;
}

static FlowStatus
see_flushed(void *arg, uint64_t pos)
{
	note(arg, "flushed %" PRIu64 "\n", pos);
	return FLOW_OK;
}

static FlowStatus
see_next_id(void *arg, uint64_t id)
{
	note(arg, "next %" PRIu64 "\n", id);
	return FLOW_OK;
}

static FlowStatus
replay(Journal *j, FlowManifestPos *pos)
{
	FlowManifestVisitor v = {.arg = j,
							 .add_sst = see_add,
							 .remove_sst = see_remove,
							 .txns = see_txns,
							 .store = see_store,
							 .drop = see_drop,
							 .kept = see_kept,
							 .store_gone = see_store_gone,
							 .next_store = see_next_store,
							 .flushed = see_flushed,
							 .next_id = see_next_id,
							 .trash = see_trash,
							 .gone = see_gone,
							 .edit_done = see_edit_done};

	j->len = 0;
	note(j, "%s", "");
	return flowi_manifest_replay(env, dir, &v, pos);
}

/* --- random edits --- */

static uint64_t
any_number(CheckRandom *r)
{
	switch (check_below(r, 4))
	{
		case 0:
			return check_below(r, 3) - 1;
		case 1:
			return check_random(r);
		default:
			return check_below(r, 100000);
	}
}

static uint32_t
make_txns(CheckRandom *r, FlowTxnInfo *txns, uint32_t most)
{
	uint32_t n = (uint32_t) check_below(r, most + 1);
	uint64_t seq = check_below(r, 2) ? 0 : check_random(r) / 2;

	for (uint32_t i = 0; i < n; i++)
	{
		txns[i].seq_first = seq;
		txns[i].seq_last = seq + check_below(r, 1000);
		txns[i].xid = any_number(r);
		txns[i].cid = (uint32_t) any_number(r);
		txns[i].state = (uint32_t) check_below(r, 4);
		seq = txns[i].seq_last + 1 + check_below(r, 2) * check_below(r, 100);
	}
	if (n > 0 && check_below(r, 4) == 0)
		txns[n - 1].seq_last = UINT64_MAX;
	return n;
}

/* Two numbers in order. */
static void
any_range(CheckRandom *r, int64_t *lop, int64_t *hip)
{
	int64_t a = (int64_t) any_number(r);
	int64_t b = (int64_t) any_number(r);

	*lop = FLOW_MIN(a, b);
	*hip = FLOW_MAX(a, b);
}

/* Bounds and counts of the records of s, at least one. */
static void
make_records(CheckRandom *r, FlowSstInfo *s, uint8_t key[2][40])
{
	s->records = any_number(r);
	s->records += s->records == 0;
	s->tombstones = check_below(r, s->records);
	s->keys = check_below(r, s->records);
	any_range(r, &s->ts_min, &s->ts_max);
	any_range(r, &s->expire_min, &s->expire_max);
	s->key_min_bytes = (uint32_t) check_below(r, 41);
	s->key_max_bytes = (uint32_t) check_below(r, 41);
	if (flowi_key_cmp(key[0], s->key_min_bytes, key[1], s->key_max_bytes) > 0)
	{
		s->key_max = s->key_min;
		s->key_max_bytes = s->key_min_bytes;
	}
}

static void
make_tombs(CheckRandom *r, FlowSstInfo *s, uint8_t key[2][40])
{
	s->ntombs = any_number(r);
	s->ntombs += s->ntombs == 0;
	s->cover = (FlowRect){.key_lo = key[0],
						  .key_lo_bytes = (uint32_t) check_below(r, 41),
						  .ts_lo = (int64_t) any_number(r),
						  .ts_hi = (int64_t) any_number(r)};
	if (check_below(r, 2))
	{
		s->cover.key_hi = key[1];
		s->cover.key_hi_bytes = (uint32_t) check_below(r, 41);
	}
}

static FlowStatus
add_random_sst(CheckRandom *r, FlowEdit *edit, Journal *j)
{
	uint8_t key[2][40];
	FlowTxnInfo txns[5];
	int64_t seq[2];
	FlowSstInfo s = {.id = any_number(r),
					 .store_id = 1 + (uint32_t) check_below(r, 1000),
					 .level = (uint32_t) check_below(r, 7),
					 .origin = (uint32_t) check_below(r, 2),
					 .file_bytes = any_number(r),
					 .raw_bytes = any_number(r),
					 .ts_min = INT64_MAX,
					 .ts_max = INT64_MIN,
					 .key_min = key[0],
					 .key_max = key[1],
					 .txns = txns};
	uint64_t what = check_below(r, 4);

	for (int i = 0; i < 40; i++)
	{
		key[0][i] = (uint8_t) check_random(r);
		key[1][i] = (uint8_t) check_random(r);
	}
	any_range(r, &seq[0], &seq[1]);
	s.seq_min = (uint64_t) FLOW_MAX(seq[0], 0);
	s.seq_max = (uint64_t) FLOW_MAX(seq[1], 0);
	if (what != 0)
		make_records(r, &s, key);
	if (what < 2)
		make_tombs(r, &s, key);
	s.ntxns = make_txns(r, txns, 5);
	FLOW_TRY(flowi_edit_add_sst(edit, &s));
	return see_add(j, &s);
}

static FlowStatus
add_random_field(CheckRandom *r, FlowEdit *edit, Journal *j)
{
	FlowTxnInfo txns[9];
	FlowStoreInfo store = {.id = (uint32_t) any_number(r),
						   .name = "cpu\303\244",
						   .blob = "schema\0schema",
						   .blob_bytes = check_below(r, 14)};
	uint64_t number = any_number(r);
	const FlowDropInfo drop = {1 + (uint32_t) check_below(r, 9), any_number(r),
							   check_below(r, 2)};
	uint32_t ntxns;

	store.name_bytes = (uint32_t) strlen(store.name);
	switch (check_below(r, 12))
	{
		case 0:
			return add_random_sst(r, edit, j);
		case 8:
			FLOW_TRY(flowi_edit_drop(edit, &drop));
			return see_drop(j, &drop);
		case 9:
			FLOW_TRY(flowi_edit_kept(edit, &drop));
			return see_kept(j, &drop);
		case 10:
			FLOW_TRY(flowi_edit_store_gone(edit, drop.store_id));
			return see_store_gone(j, drop.store_id);
		case 11:
			FLOW_TRY(flowi_edit_next_store(edit, drop.store_id));
			return see_next_store(j, drop.store_id);
		case 1:
			FLOW_TRY(flowi_edit_remove_sst(edit, number));
			return see_remove(j, number);
		case 2:
			ntxns = make_txns(r, txns, 9);
			FLOW_TRY(flowi_edit_txns(edit, number, txns, ntxns));
			return see_txns(j, number, txns, ntxns);
		case 3:
			FLOW_TRY(flowi_edit_store(edit, &store));
			return see_store(j, &store);
		case 4:
			FLOW_TRY(flowi_edit_flushed(edit, number));
			return see_flushed(j, number);
		case 5:
			FLOW_TRY(flowi_edit_trash(edit, number));
			return see_trash(j, number);
		case 6:
			FLOW_TRY(flowi_edit_gone(edit, number));
			return see_gone(j, number);
		default:
			FLOW_TRY(flowi_edit_next_id(edit, number));
			return see_next_id(j, number);
	}
}

/* Write one random edit, or a snapshot, which begins the journal anew.  The
 * journal moves only when it went well. */
static FlowStatus
write_edit(CheckRandom *r, bool snapshot, Journal *j, FlowManifestPos *pos)
{
	uint64_t nfields = check_below(r, 5);
	size_t old = j->len;
	FlowEdit *edit;
	FlowStatus st;

	FLOW_GOTO(flowi_edit_create(env, &edit));
	while (nfields-- > 0)
		FLOW_GOTO(add_random_field(r, edit, j));
	note(j, "done\n");
	st = snapshot ? flowi_manifest_rewrite(env, dir, edit, pos)
				  : flowi_manifest_append(env, dir, edit, pos);
out:
	flowi_edit_free(edit);
	if (j->text == NULL)
		return st;
	if (st != FLOW_OK)
		j->len = old;
	else if (snapshot)
	{
		memmove(j->text, j->text + old, j->len - old);
		j->len -= old;
	}
	j->text[j->len] = '\0';
	return st;
}

static bool
same(const Journal *a, const Journal *b)
{
	return a->len == b->len &&
		   (a->len == 0 || memcmp(a->text, b->text, a->len) == 0);
}

/* --- files --- */

static void
index_path(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/INDEX/%s", dir, name);
}

static void
cut_to(uint64_t number, uint64_t len)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/INDEX/MANIFEST-%08" PRIu64, dir, number);
	CHECK(truncate(path, (off_t) len) == 0);
}

static FlowStatus
count_name(void *arg, const char *name)
{
	CHECK(strncmp(name, "pgsql_tmp", 9) != 0);
	++*(int *) arg;
	return FLOW_OK;
}

/* INDEX holds CURRENT and one manifest. */
static void
check_tidy(void)
{
	char path[256];
	int n = 0;

	snprintf(path, sizeof(path), "%s/INDEX", dir);
	CHECK_OK(env->list_dir(env, path, count_name, &n));
	CHECK(n == 2);
}

/* --- tests --- */

static void
test_random(CheckRandom *r)
{
	Journal want = {0};
	Journal got = {0};
	FlowManifestPos pos = {0};
	FlowManifestPos seen = {0};

	CHECK_STATUS(replay(&got, &seen), FLOW_NOTFOUND);
	CHECK_OK(write_edit(r, true, &want, &pos));
	for (int i = 0; i < 300; i++)
	{
		CHECK_OK(write_edit(r, check_below(r, 20) == 0, &want, &pos));
		if (check_below(r, 4) == 0)
		{
			CHECK_OK(replay(&got, &seen));
			CHECK(same(&got, &want));
			CHECK(memcmp(&seen, &pos, sizeof(pos)) == 0);
			check_tidy();
		}
	}
	free(want.text);
	free(got.text);
	check_passed("random edits");
}

/* Damaged: an error that names the file and the place. */
static void
check_damaged(const char *path)
{
	FlowManifestPos pos = {.number = 99};
	Journal got = {0};
	FlowStatus st = replay(&got, &pos);

	CHECK(st == FLOW_CORRUPT || st == FLOW_MISMATCH);
	CHECK(strstr(flow_last_error()->message, path) != NULL);
	CHECK(strstr(flow_last_error()->message, "offset") != NULL);
	CHECK(pos.number == 99);
	free(got.text);
}

/* The last edit is gone, and the file cut: what was before is all there. */
static void
check_torn(const Journal *before, const FlowManifestPos *pos)
{
	FlowManifestPos seen;
	Journal got = {0};
	char path[256], name[64];
	struct stat sb;

	CHECK_OK(replay(&got, &seen));
	CHECK(same(&got, before));
	CHECK(memcmp(&seen, pos, sizeof(seen)) == 0);
	snprintf(name, sizeof(name), "MANIFEST-%08" PRIu64, pos->number);
	index_path(path, sizeof(path), name);
	CHECK(stat(path, &sb) == 0 && (uint64_t) sb.st_size == pos->offset);
	free(got.text);
}

static void
test_damage(CheckRandom *r)
{
	Journal want = {0};
	FlowManifestPos pos = {0};
	FlowManifestPos ends[8]; /* behind the header, and behind each frame */
	Journal journals[8];
	int nends = 0;
	char path[256], name[64];
	uint8_t *file;
	size_t size;

	for (int i = 0; i < 7; i++)
	{
		CHECK_OK(write_edit(r, i == 0, &want, &pos));
		ends[nends] = pos;
		journals[nends] =
			(Journal){strdup(want.text ? want.text : ""), want.len, want.len};
		nends++;
	}
	snprintf(name, sizeof(name), "MANIFEST-%08" PRIu64, pos.number);
	index_path(path, sizeof(path), name);
	file = file_read_all(path, &size);
	CHECK(size == pos.offset);
	for (size_t i = 0; i < size; i++)
	{
		uint8_t good = file[i];

		for (int bit = 0; bit < 9; bit++)
		{
			file[i] = bit < 8 ? (uint8_t) (good ^ 1 << bit) : (uint8_t) ~good;
			file_write_all(path, file, size);
			if (i < ends[nends - 2].offset)
				check_damaged(path);
			else
				check_torn(&journals[nends - 2], &ends[nends - 2]);
		}
		file[i] = good;
	}
	for (size_t len = 0; len < size; len++)
	{
		int last = nends - 1;

		file_write_all(path, file, len);
		while (last >= 0 && ends[last].offset > len)
			last--;
		if (last < 0)
			check_damaged(path);
		else
			check_torn(&journals[last], &ends[last]);
	}
	check_passed("manifest: every flipped bit and every cut");

	/* a tail of zeros, or of what the disk held, is cut */
	for (int i = 0; i < 100; i++)
	{
		uint8_t tail[100] = {0};

		for (size_t k = 0; i > 0 && k < sizeof(tail); k++)
			tail[k] = (uint8_t) check_random(r);
		file_write_all(path, file, size);
		{
			int fd = open(path, O_WRONLY | O_APPEND);

			CHECK(fd >= 0 && write(fd, tail, sizeof(tail)) == sizeof(tail));
			close(fd);
		}
		check_torn(&want, &pos);
	}
	check_passed("manifest: a torn tail");

	CHECK(unlink(path) == 0);
	CHECK_STATUS(replay(&want, &pos), FLOW_CORRUPT);
	{
		FlowEdit *edit;
		FlowManifestPos before = pos;

		CHECK_OK(flowi_edit_create(env, &edit));
		CHECK_STATUS(flowi_manifest_append(env, dir, edit, &pos), FLOW_CORRUPT);
		CHECK(memcmp(&pos, &before, sizeof(pos)) == 0);
		flowi_edit_free(edit);
	}
	file_write_all(path, file, size);
	check_passed("manifest: missing");

	for (int i = 0; i < nends; i++)
		free(journals[i].text);
	free(want.text);
	free(file);
}

static void
test_current(void)
{
	char path[256];
	uint8_t *file;
	size_t size;
	Journal got = {0};
	FlowManifestPos pos;

	index_path(path, sizeof(path), "CURRENT");
	file = file_read_all(path, &size);
	for (size_t i = 0; i < size; i++)
		for (int bit = 0; bit < 8; bit++)
		{
			file[i] ^= (uint8_t) (1 << bit);
			file_write_all(path, file, size);
			check_damaged(path);
			file[i] ^= (uint8_t) (1 << bit);
		}
	for (size_t len = 0; len < size; len++)
	{
		file_write_all(path, file, len);
		check_damaged(path);
	}
	file_write_all(path, file, size + 1); /* file_read_all has room */
	check_damaged(path);
	file_write_all(path, file, size);
	CHECK_OK(replay(&got, &pos));
	free(got.text);
	free(file);
	check_passed("CURRENT: every flipped bit and every cut");
}

/* Damage with checksums that fit: CORRUPT, or an edit that could be. */
static void
test_hostile(CheckRandom *r)
{
	Journal got = {0};
	FlowManifestPos start, seen;

	CHECK_OK(replay(&got, &start));
	for (int i = 0; i < 3000; i++)
	{
		FlowManifestPos pos = start;
		Journal j = {0};
		FlowEdit *edit;
		FlowStatus st;
		size_t at;

		CHECK_OK(flowi_edit_create(env, &edit));
		for (int k = 0; k < 3; k++)
			CHECK_OK(add_random_field(r, edit, &j));
		at = EDIT_BYTES + check_below(r, edit->buf.len - EDIT_BYTES);
		edit->buf.data[at] = (uint8_t) check_random(r);
		if (check_below(r, 2))
			edit->buf.len = at;
		CHECK_OK(flowi_manifest_append(env, dir, edit, &pos));
		st = replay(&got, &seen);
		CHECK(st == FLOW_OK || st == FLOW_CORRUPT);
		if (st == FLOW_OK)
			CHECK(memcmp(&seen, &pos, sizeof(pos)) == 0);
		flowi_edit_free(edit);
		free(j.text);
		cut_to(start.number, start.offset);
	}
	free(got.text);
	check_passed("hostile edits under good checksums");
}

static FlowStatus
write_some(CheckRandom *r, Journal *j, FlowManifestPos *pos, bool *rewritep)
{
	for (int i = 0; i < 4; i++)
	{
		bool rewrite = i == 2 || *rewritep;

		*rewritep = true; /* unless this goes well */
		FLOW_TRY(write_edit(r, rewrite, j, pos));
		*rewritep = false;
	}
	return FLOW_OK;
}

/*
 * Fail each operation once, then go on as the engine does, by a rewrite.
 * After the failure a restart must find all that was acknowledged, and at
 * most the edit that failed beside it.
 */
static void
test_faults(CheckRandom *r)
{
	Journal want = {0};
	Journal got = {0};
	FlowManifestPos pos, seen;
	bool rewrite = true;

	CHECK_OK(replay(&want, &pos));
	for (int op = 0; op < FLOW_POSIX_NOPS; op++)
	{
		FlowStatus st;
		uint64_t nth = 0;

		if (op == FLOW_POSIX_READ || op == FLOW_POSIX_TRUNCATE)
			continue; /* not used by writers */
		do
		{
			FlowManifestPos before = pos;
			uint64_t calls = flow_env_posix_calls(env, op);

			flow_env_posix_fail(env, op, ++nth, 1, 28 /* ENOSPC */);
			st = write_some(r, &want, &pos, &rewrite);
			flow_env_posix_fail(env, op, 1, 0, 0);
			if (st == FLOW_OK)
				break;
			CHECK(st == FLOW_FULL || st == FLOW_NOMEM);
			CHECK(pos.number >= before.number);
			CHECK(flow_env_posix_calls(env, op) - calls >= nth);
			CHECK_OK(replay(&got, &seen));
			if (seen.edit_number == pos.edit_number)
				CHECK(same(&got, &want));
			else
				CHECK(seen.edit_number == pos.edit_number + 1);
		} while (nth < 1000);
		CHECK(op == FLOW_POSIX_UNLINK || nth > 1);
		CHECK_OK(write_edit(r, true, &want, &pos));
		rewrite = false;
		CHECK_OK(replay(&got, &seen));
		CHECK(same(&got, &want));
		check_tidy();
	}
	check_passed("each operation of writers failing once");

	for (int op = 0; op < FLOW_POSIX_NOPS; op++)
		for (uint64_t nth = 1; nth < 20; nth++)
		{
			FlowStatus st;

			flow_env_posix_fail(env, op, nth, 1, 5 /* EIO */);
			st = replay(&got, &seen);
			flow_env_posix_fail(env, op, 1, 0, 0);
			CHECK(st == FLOW_OK || st == FLOW_IOERR || st == FLOW_NOMEM);
			if (st == FLOW_OK)
				CHECK(same(&got, &want));
		}
	check_passed("each operation of replay failing once");
	free(want.text);
	free(got.text);
}

static FlowStatus
stop_at(void *arg, const char *name)
{
	return strcmp(name, arg) == 0 ? FLOW_INTERRUPTED : FLOW_OK;
}

/* Stopped at each point: the old state, or for the last one, after the
 * write, the new one. */
static void
test_points(CheckRandom *r)
{
	static const char *const points[] = {"manifest-before-append",
										 "manifest-before-sync",
										 "manifest-before-current"};
	Journal want = {0};
	Journal got = {0};
	FlowManifestPos pos, seen;

	for (int i = 0; i < 3; i++)
	{
		CHECK_OK(replay(&want, &pos));
		flow_env_posix_set_point(env, stop_at, (void *) points[i]);
		seen = pos;
		CHECK_STATUS(write_edit(r, i == 2, &want, &pos), FLOW_INTERRUPTED);
		CHECK(memcmp(&seen, &pos, sizeof(pos)) == 0);
		flow_env_posix_set_point(env, NULL, NULL);
		CHECK_OK(replay(&got, &seen));
		CHECK(seen.edit_number == pos.edit_number + (i == 1));
		CHECK(seen.number == pos.number);
		if (i != 1)
			CHECK(same(&got, &want));
		check_tidy();
	}
	free(want.text);
	free(got.text);
	check_passed("stopped at each point");
}

static void
test_misuse(void)
{
	FlowTxnInfo txns[2] = {{.seq_first = 5, .seq_last = 9},
						   {.seq_first = 9, .seq_last = 10}};
	FlowEdit *edit;

	CHECK_OK(flowi_edit_create(env, &edit));
	CHECK_STATUS(flowi_edit_txns(edit, 1, txns, 2), FLOW_INVALID);
	txns[0].seq_last = 4;
	CHECK_STATUS(flowi_edit_txns(edit, 1, txns, 1), FLOW_INVALID);
	txns[0].seq_last = UINT64_MAX;
	CHECK_STATUS(flowi_edit_txns(edit, 1, txns, 2), FLOW_INVALID);
	CHECK_OK(flowi_edit_txns(edit, 1, txns, 1));
	flowi_edit_free(edit);
	flowi_edit_free(NULL);
	check_passed("misuse is refused");
}

/* An entry that breaks one rule; the rest of it is right. */
typedef void (*BreakFn)(FlowSstInfo *s);

static void
break_store(FlowSstInfo *s)
{
	s->store_id = 0;
}
static void
break_origin(FlowSstInfo *s)
{
	s->origin = 2;
}
static void
break_content(FlowSstInfo *s)
{
	s->records = 0;
}
static void
break_tombstones(FlowSstInfo *s)
{
	s->tombstones = 11;
}
static void
break_keys(FlowSstInfo *s)
{
	s->keys = 11;
}
static void
break_seq(FlowSstInfo *s)
{
	s->seq_min = 101;
}
static void
break_ts(FlowSstInfo *s)
{
	s->ts_min = 8;
}
static void
break_expiry(FlowSstInfo *s)
{
	s->expire_min = FLOW_NEVER;
}
static void
break_key_order(FlowSstInfo *s)
{
	s->key_min = (uint8_t *) "c";
}
static void
break_no_records(FlowSstInfo *s)
{
	s->records = s->tombstones = s->keys = 0;
	s->ntombs = 1;
}

/* Where the entry stands in the frame. */
#define ENTRY (EDIT_BYTES + 5)

static void
test_rules(void)
{
	static const BreakFn breaks[] = {
		break_store,	 break_origin,	  break_content, break_tombstones,
		break_keys,		 break_seq,		  break_ts,		 break_expiry,
		break_key_order, break_no_records};
	const FlowSstInfo good = {.id = 1,
							  .store_id = 1,
							  .records = 10,
							  .tombstones = 10,
							  .keys = 10,
							  .ts_min = 7,
							  .ts_max = 7,
							  .expire_min = 5,
							  .expire_max = 5,
							  .seq_min = 100,
							  .seq_max = 100,
							  .key_min = (const uint8_t *) "b",
							  .key_max = (const uint8_t *) "b",
							  .key_min_bytes = 1,
							  .key_max_bytes = 1};
	FlowManifestPos start, pos;
	Journal got = {0};
	FlowEdit *edit;

	for (size_t i = 0; i < sizeof(breaks) / sizeof(*breaks); i++)
	{
		FlowSstInfo s = good;

		CHECK_OK(flowi_edit_create(env, &edit));
		CHECK_OK(flowi_edit_add_sst(edit, &s));
		breaks[i](&s);
		CHECK_STATUS(flowi_edit_add_sst(edit, &s), FLOW_INVALID);
		flowi_edit_free(edit);
	}
	check_passed("impossible SSTables are not written");

	/* nor read: bytes of the entry at which one value breaks a rule */
	static const struct
	{
		size_t at;
		uint8_t value;
	} bytes[] = {{1, 0}, {3, 2}, {5, 0}, {6, 11}, {7, 11}, {10, 8}};

	CHECK_OK(replay(&got, &start));
	for (size_t i = 0; i < sizeof(bytes) / sizeof(*bytes); i++)
	{
		pos = start;
		CHECK_OK(flowi_edit_create(env, &edit));
		CHECK_OK(flowi_edit_add_sst(edit, &good));
		edit->buf.data[ENTRY + bytes[i].at] = bytes[i].value;
		CHECK_OK(flowi_manifest_append(env, dir, edit, &pos));
		CHECK_STATUS(replay(&got, &pos), FLOW_CORRUPT);
		CHECK(strstr(flow_last_error()->message, "SSTable") != NULL);
		flowi_edit_free(edit);
		cut_to(start.number, start.offset);
	}
	free(got.text);
	check_passed("impossible SSTables are not read");
}

static bool
keep_all(FlowEnv *e, int64_t since)
{
	(void) e;
	(void) since;
	return true;
}

/* While a backup runs no manifest is removed, be there many new ones. */
static void
test_kept(CheckRandom *r)
{
	FlowManifestPos pos;
	Journal want = {0};
	char path[256], name[64];
	uint64_t first;

	CHECK_OK(replay(&want, &pos));
	first = pos.number;
	env->keep_files = keep_all;
	for (int i = 0; i < 3; i++)
		CHECK_OK(write_edit(r, true, &want, &pos));
	snprintf(name, sizeof(name), "MANIFEST-%08" PRIu64, first);
	index_path(path, sizeof(path), name);
	CHECK(access(path, F_OK) == 0);
	env->keep_files = NULL;
	CHECK_OK(replay(&want, &pos));
	check_tidy();
	free(want.text);
	check_passed("manifests that a backup may copy");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);
	char path[256];
	Journal got = {0};
	FlowManifestPos pos;

	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/INDEX", dir);
	CHECK(mkdir(path, 0700) == 0);
	CHECK_OK(flow_env_posix_create(1 << 20, &env));
	test_random(&r);
	test_damage(&r);
	test_current();
	test_hostile(&r);
	test_faults(&r);
	test_points(&r);
	test_misuse();
	test_rules();
	test_kept(&r);

	CHECK_OK(replay(&got, &pos));
	free(got.text);
	index_path(path, sizeof(path), "CURRENT");
	CHECK(unlink(path) == 0);
	snprintf(path, sizeof(path), "%s/INDEX/MANIFEST-%08" PRIu64, dir,
			 pos.number);
	CHECK(unlink(path) == 0);
	snprintf(path, sizeof(path), "%s/INDEX", dir);
	CHECK(rmdir(path) == 0 && rmdir(dir) == 0);
	flow_env_posix_free(env);
	return 0;
}
