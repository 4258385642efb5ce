/*-------------------------------------------------------------------------
 * fuzz_manifest.c
 *	  The manifest and CURRENT.
 *
 * The first byte of the input says what the rest is: bit 0, CURRENT instead
 * of a manifest; bit 1, checksums stay as they are.  What replays is encoded
 * again as the visitor sees it, and must replay to the same calls.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <xxhash.h>

#include "../edit.h"

#define DIR "db"
#define MANIFEST DIR "/INDEX/MANIFEST-00000001"
#define CURRENT DIR "/INDEX/CURRENT"
#define AGAIN "again"

#define MODE_CURRENT 1u
#define MODE_RAW 2u

/* head of both files: doc/FORMAT.md "Manifest" */
#define HEAD_CHECKSUM 24
#define HEAD_BYTES 32

static uint8_t good_current[HEAD_BYTES];

/* What a replay has called, as a hash and encoded again. */
typedef struct Calls
{
	uint64_t hash;
	uint64_t n;
	FlowEdit *edit; /* NULL: not wanted */
} Calls;

static void
note(Calls *c, uint64_t v)
{
	c->hash = fuzz_sum(c->hash, &v, sizeof(v));
}

static void
note_bytes(Calls *c, const void *p, size_t n)
{
	note(c, n);
	c->hash = fuzz_sum(c->hash, p, n);
}

static void
note_txns(Calls *c, const FlowTxnInfo *txns, uint32_t n)
{
	note(c, n);
	for (uint32_t i = 0; i < n; i++)
	{
		FUZZ_CHECK(txns[i].seq_first <= txns[i].seq_last);
		FUZZ_CHECK(i == 0 || txns[i - 1].seq_last < txns[i].seq_first);
		FUZZ_CHECK(txns[i].state <= FLOW_TXN_SETTLED);
		note(c, txns[i].seq_first);
		note(c, txns[i].seq_last);
		note(c, txns[i].xid);
		note(c, txns[i].cid);
		note(c, txns[i].state);
	}
}

/* ---------------------------------------------------------------- visitor */

static FlowStatus
see_add(void *arg, const FlowSstInfo *info)
{
	Calls *c = arg;

	c->n++;
	FUZZ_CHECK(info->key_min_bytes <= FLOW_MAX_KEY &&
			   info->key_max_bytes <= FLOW_MAX_KEY);
	note(c, info->id);
	note(c, info->store_id);
	note(c, info->level);
	note(c, info->origin);
	note(c, info->file_bytes);
	note(c, info->records);
	note(c, info->tombstones);
	note(c, info->keys);
	note(c, info->ntombs);
	note(c, info->raw_bytes);
	note(c, (uint64_t) info->ts_min);
	note(c, (uint64_t) info->ts_max);
	note(c, (uint64_t) info->expire_min);
	note(c, (uint64_t) info->expire_max);
	note(c, info->seq_min);
	note(c, info->seq_max);
	note_bytes(c, info->key_min, info->key_min_bytes);
	note_bytes(c, info->key_max, info->key_max_bytes);
	if (info->ntombs > 0)
	{
		note_bytes(c, info->cover.key_lo, info->cover.key_lo_bytes);
		if (info->cover.key_hi)
			note_bytes(c, info->cover.key_hi, info->cover.key_hi_bytes);
		note(c, (uint64_t) info->cover.ts_lo);
		note(c, (uint64_t) info->cover.ts_hi);
	}
	note_txns(c, info->txns, info->ntxns);
	return c->edit ? flowi_edit_add_sst(c->edit, info) : FLOW_OK;
}

static FlowStatus
see_remove(void *arg, uint64_t id)
{
	Calls *c = arg;

	c->n++;
	note(c, id);
	return c->edit ? flowi_edit_remove_sst(c->edit, id) : FLOW_OK;
}

static FlowStatus
see_trash(void *arg, uint64_t id)
{
	Calls *c = arg;

	c->n++;
	note(c, id + 1);
	return c->edit ? flowi_edit_trash(c->edit, id) : FLOW_OK;
}

static FlowStatus
see_gone(void *arg, uint64_t id)
{
	Calls *c = arg;

	c->n++;
	note(c, id + 2);
	return c->edit ? flowi_edit_gone(c->edit, id) : FLOW_OK;
}

static FlowStatus
see_txns(void *arg, uint64_t id, const FlowTxnInfo *txns, uint32_t n)
{
	Calls *c = arg;

	c->n++;
	note(c, id);
	note_txns(c, txns, n);
	return c->edit ? flowi_edit_txns(c->edit, id, txns, n) : FLOW_OK;
}

static FlowStatus
see_store(void *arg, const FlowStoreInfo *s)
{
	Calls *c = arg;

	c->n++;
	FUZZ_CHECK(s->name_bytes <= FLOW_MAX_STORE_NAME &&
			   s->blob_bytes <= FLOW_MAX_BLOB);
	FUZZ_CHECK(strlen(s->name) == s->name_bytes);
	note(c, s->id);
	note_bytes(c, s->name, s->name_bytes);
	note_bytes(c, s->blob, s->blob_bytes);
	return c->edit ? flowi_edit_store(c->edit, s) : FLOW_OK;
}

static FlowStatus
see_drop(void *arg, const FlowDropInfo *d)
{
	Calls *c = arg;

	c->n++;
	note(c, d->store_id);
	note(c, d->xid + d->unless);
	return c->edit ? flowi_edit_drop(c->edit, d) : FLOW_OK;
}

static FlowStatus
see_kept(void *arg, const FlowDropInfo *d)
{
	Calls *c = arg;

	c->n++;
	note(c, d->store_id + UINT64_C(1));
	note(c, d->xid + d->unless);
	return c->edit ? flowi_edit_kept(c->edit, d) : FLOW_OK;
}

static FlowStatus
see_store_gone(void *arg, uint64_t id)
{
	Calls *c = arg;

	c->n++;
	FUZZ_CHECK(id > 0 && id <= UINT32_MAX);
	note(c, id + 5);
	return c->edit ? flowi_edit_store_gone(c->edit, (uint32_t) id) : FLOW_OK;
}

static FlowStatus
see_next_store(void *arg, uint64_t id)
{
	Calls *c = arg;

	c->n++;
	FUZZ_CHECK(id > 0 && id <= UINT32_MAX);
	note(c, id + 6);
	return c->edit ? flowi_edit_next_store(c->edit, (uint32_t) id) : FLOW_OK;
}

static FlowStatus
see_flushed(void *arg, uint64_t pos)
{
	Calls *c = arg;

	c->n++;
	note(c, pos + 3);
	return c->edit ? flowi_edit_flushed(c->edit, pos) : FLOW_OK;
}

static FlowStatus
see_next_id(void *arg, uint64_t id)
{
	Calls *c = arg;

	c->n++;
	note(c, id + 4);
	return c->edit ? flowi_edit_next_id(c->edit, id) : FLOW_OK;
}

static FlowStatus
replay(FlowEnv *env, const char *dir, Calls *c, FlowManifestPos *pos)
{
	const FlowManifestVisitor visitor = {
		.arg = c,
		.add_sst = see_add,
		.remove_sst = see_remove,
		.trash = see_trash,
		.gone = see_gone,
		.txns = see_txns,
		.store = see_store,
		.drop = see_drop,
		.kept = see_kept,
		.store_gone = see_store_gone,
		.next_store = see_next_store,
		.flushed = see_flushed,
		.next_id = see_next_id,
	};

	return flowi_manifest_replay(env, dir, &visitor, pos);
}

/* ----------------------------------------------------------------- target */

static void
fix_checksums(uint8_t *p, size_t bytes)
{
	size_t off = HEAD_BYTES;

	if (bytes < HEAD_BYTES)
		return;
	flowi_put64(p + HEAD_CHECKSUM, XXH3_64bits(p, HEAD_CHECKSUM));
	while (bytes - off >= EDIT_BYTES)
	{
		uint32_t length = flowi_get32(p + off + EDIT_LENGTH);

		if (length > bytes - off - EDIT_BYTES)
			break;
		flowi_put64(p + off + EDIT_CHECKSUM,
					XXH3_64bits_withSeed(
						p + off + EDIT_NUMBER,
						EDIT_BYTES - EDIT_NUMBER + (size_t) length, 1));
		off += EDIT_BYTES + (size_t) length;
	}
}

/* The file after a replay that went well: nothing behind its end, and it
 * replays to the same again, by itself and encoded anew. */
static void
check_again(FlowEnv *env, const Calls *first, const FlowManifestPos *pos)
{
	FlowManifestPos again_pos = {0, 0, 0};
	FlowManifestPos to = {0, 0, 0};
	Calls again = {0, 0, NULL};
	Calls anew = {0, 0, NULL};
	size_t bytes;
	FlowStatus st;

	(void) fuzz_get_file(MANIFEST, &bytes);
	FUZZ_CHECK(bytes == pos->offset);
	st = replay(env, DIR, &again, &again_pos);
	FUZZ_CHECK(st == FLOW_OK || fuzz_no_memory());
	if (st == FLOW_OK)
		FUZZ_CHECK(again.hash == first->hash && again.n == first->n &&
				   memcmp(&again_pos, pos, sizeof(*pos)) == 0);
	if (flowi_manifest_rewrite(env, AGAIN, first->edit, &to) != FLOW_OK)
		FUZZ_CHECK(fuzz_no_memory());
	else if (replay(env, AGAIN, &anew, &again_pos) != FLOW_OK)
		FUZZ_CHECK(fuzz_no_memory());
	else
		FUZZ_CHECK(anew.hash == first->hash && anew.n == first->n);
}

static void
check_manifest(FlowEnv *env)
{
	FlowManifestPos pos = {0, 0, 0};
	Calls c = {0, 0, NULL};
	FlowStatus st = flowi_edit_create(env, &c.edit);

	if (st != FLOW_OK)
	{
		FUZZ_CHECK(fuzz_no_memory());
		return;
	}
	st = replay(env, DIR, &c, &pos);
	fuzz_check_status(st);
	fuzz_decoded += st == FLOW_OK;
	if (st == FLOW_OK)
		check_again(env, &c, &pos);
	flowi_edit_free(c.edit);
}

static void seed_manifest(CheckRandom *r, FuzzBytes *out);

/* A manifest to stand beside a CURRENT that is the input; and a CURRENT. */
static const FuzzBytes *
good_manifest(void)
{
	static FuzzBytes manifest;

	if (manifest.bytes == 0)
		seed_manifest(&(CheckRandom){1}, &manifest);
	return &manifest;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FuzzBytes file;
	const FuzzBytes *good = good_manifest();
	uint8_t mode = size > 0 ? data[0] : 0;
	FlowEnv *env = fuzz_begin(data, size);

	fuzz_bytes_set(&file, data + (size > 0), size - (size > 0));
	if ((mode & MODE_RAW) == 0)
		fix_checksums(file.data, file.bytes);
	if (mode & MODE_CURRENT)
	{
		fuzz_put_file(MANIFEST, good->data, good->bytes);
		fuzz_put_file(CURRENT, file.data, file.bytes);
	}
	else
	{
		fuzz_put_file(MANIFEST, file.data, file.bytes);
		fuzz_put_file(CURRENT, good_current, sizeof(good_current));
	}
	check_manifest(env);
	fuzz_end();
	return 0;
}

/* ----------------------------------------------------------------- seeds */

static FlowStatus
add_sst(CheckRandom *r, FlowEdit *edit, uint64_t id)
{
	FlowTxnInfo txns[5];
	uint64_t seq = 1 + check_below(r, 1000);
	FlowSstInfo info = {.id = id,
						.store_id = 1 + (uint32_t) check_below(r, 3),
						.level = (uint32_t) check_below(r, 4),
						.file_bytes = 5000 + check_below(r, 100000),
						.records = 1 + check_below(r, 5000),
						.keys = 1,
						.raw_bytes = check_below(r, 1u << 20),
						.ts_min = -5,
						.ts_max = (int64_t) check_below(r, 1u << 30),
						.expire_min = 7,
						.expire_max = FLOW_NEVER,
						.seq_min = 1,
						.seq_max = 100000,
						.key_min = (const uint8_t *) "abc",
						.key_max = (const uint8_t *) "xyz",
						.key_min_bytes = (uint32_t) check_below(r, 4),
						.key_max_bytes = 3,
						.ntxns = (uint32_t) check_below(r, 6),
						.txns = txns};

	for (uint32_t i = 0; i < info.ntxns; i++)
	{
		txns[i] = (FlowTxnInfo){seq, seq + check_below(r, 50), 100 + i, i,
								(uint32_t) check_below(r, 4)};
		seq = txns[i].seq_last + 1 + check_below(r, 3);
	}
	return flowi_edit_add_sst(edit, &info);
}

static FlowStatus
fill_edit(CheckRandom *r, FlowEdit *edit, uint64_t *idp)
{
	FlowStoreInfo store = {1 + (uint32_t) check_below(r, 3), "store", 5,
						   "blobblob", check_below(r, 8)};
	const FlowTxnInfo txn = {5, 9, 77, 1, FLOW_TXN_COMMITTED};
	const FlowDropInfo drop = {1 + (uint32_t) check_below(r, 3),
							   check_below(r, 100), check_below(r, 2)};
	uint64_t n = 1 + check_below(r, 5);

	for (uint64_t i = 0; i < n; i++)
		switch (check_below(r, 10))
		{
			case 0:
				FLOW_TRY(flowi_edit_remove_sst(edit, check_below(r, 10)));
				break;
			case 1:
				FLOW_TRY(flowi_edit_store(edit, &store));
				break;
			case 2:
				FLOW_TRY(flowi_edit_flushed(edit, check_random(r)));
				break;
			case 3:
				FLOW_TRY(flowi_edit_next_id(edit, *idp));
				break;
			case 4:
				FLOW_TRY(flowi_edit_txns(edit, check_below(r, 10), &txn,
										 (uint32_t) check_below(r, 2)));
				break;
			case 5:
				FLOW_TRY(flowi_edit_trash(edit, check_below(r, 10)));
				FLOW_TRY(flowi_edit_gone(edit, check_below(r, 10)));
				break;
			case 6:
				FLOW_TRY(flowi_edit_drop(edit, &drop));
				FLOW_TRY(flowi_edit_next_store(edit, 9));
				break;
			case 7:
				FLOW_TRY(flowi_edit_kept(edit, &drop));
				FLOW_TRY(flowi_edit_store_gone(edit, drop.store_id));
				break;
			default:
				FLOW_TRY(add_sst(r, edit, (*idp)++));
				break;
		}
	return FLOW_OK;
}

/* A manifest of some edits; CURRENT comes out the same each time. */
static void
seed_manifest(CheckRandom *r, FuzzBytes *out)
{
	FlowEnv *env = fuzz_begin(NULL, 0);
	FlowManifestPos pos = {0, 0, check_below(r, 3)};
	uint64_t n = 1 + check_below(r, 6);
	uint64_t id = 1;
	const uint8_t *file;
	size_t bytes;

	for (uint64_t i = 0; i < n; i++)
	{
		FlowEdit *edit;

		FUZZ_CHECK(flowi_edit_create(env, &edit) == FLOW_OK);
		FUZZ_CHECK(fill_edit(r, edit, &id) == FLOW_OK);
		if (i == 0)
			FUZZ_CHECK(flowi_manifest_rewrite(env, DIR, edit, &pos) == FLOW_OK);
		else
			FUZZ_CHECK(flowi_manifest_append(env, DIR, edit, &pos) == FLOW_OK);
		flowi_edit_free(edit);
	}
	file = fuzz_get_file(CURRENT, &bytes);
	FUZZ_CHECK(bytes == sizeof(good_current));
	memcpy(good_current, file, bytes);
	file = fuzz_get_file(MANIFEST, &bytes);
	fuzz_bytes_set(out, file, bytes);
	fuzz_end();
}

void
fuzz_seed(CheckRandom *r, FuzzBytes *out)
{
	static FuzzBytes file;
	uint8_t mode = check_below(r, 4) ? 0 : MODE_RAW;

	seed_manifest(r, &file);
	if (check_below(r, 10) == 0)
	{
		mode |= MODE_CURRENT;
		fuzz_bytes_set(&file, good_current, sizeof(good_current));
	}
	fuzz_bytes_resize(out, file.bytes + 1);
	out->data[0] = mode;
	memcpy(out->data + 1, file.data, file.bytes);
}
