/*-------------------------------------------------------------------------
 * kv_leveldb.c
 *	  LevelDB behind kv.h: bloom filter, a cache and write buffer as large as
 *	  FlowDB's, writes that are not synced.
 *-------------------------------------------------------------------------
 */
#include <leveldb/c.h>
#include <string.h>

#include "kv.h"

typedef struct Db
{
	leveldb_t *db;
	leveldb_options_t *options;
	leveldb_cache_t *cache;
	leveldb_filterpolicy_t *bloom;
	leveldb_readoptions_t *read;
	leveldb_writeoptions_t *write;
} Db;

static void
check(char *error)
{
	if (error)
		kv_die("leveldb", error);
}

static void *
open_db(const char *dir)
{
	Db *d = calloc(1, sizeof(*d));
	char *error = NULL;

	d->options = leveldb_options_create();
	d->cache = leveldb_cache_create_lru((size_t) 224 << 20);
	d->bloom = leveldb_filterpolicy_create_bloom(10);
	leveldb_options_set_create_if_missing(d->options, 1);
	leveldb_options_set_cache(d->options, d->cache);
	leveldb_options_set_filter_policy(d->options, d->bloom);
	leveldb_options_set_write_buffer_size(d->options, (size_t) 64 << 20);
	leveldb_options_set_compression(d->options, leveldb_snappy_compression);
	d->read = leveldb_readoptions_create();
	d->write = leveldb_writeoptions_create();
	d->db = leveldb_open(d->options, dir, &error);
	check(error);
	return d;
}

static void
settle(void *db)
{
	Db *d = db;

	leveldb_compact_range(d->db, NULL, 0, NULL, 0);
}

static void
close_db(void *db)
{
	Db *d = db;

	leveldb_close(d->db);
	leveldb_readoptions_destroy(d->read);
	leveldb_writeoptions_destroy(d->write);
	leveldb_options_destroy(d->options);
	leveldb_cache_destroy(d->cache);
	leveldb_filterpolicy_destroy(d->bloom);
	free(d);
}

static void *
session(void *db)
{
	return db;
}

static void
end_session(void *session)
{
	(void) session;
}

static void
write_batch(void *session, const KvRecord *records, size_t n)
{
	Db *d = session;
	leveldb_writebatch_t *batch = leveldb_writebatch_create();
	char key[KV_KEY_BYTES + 9];
	char *error = NULL;

	for (size_t i = 0; i < n; i++)
	{
		size_t bytes =
			kv_encode(key, records[i].key, records[i].key_bytes, records[i].ts);

		leveldb_writebatch_put(batch, key, bytes,
							   (const char *) records[i].value,
							   records[i].value_bytes);
	}
	leveldb_write(d->db, d->write, batch, &error);
	check(error);
	leveldb_writebatch_destroy(batch);
}

static uint64_t
get(void *session, const char *name, size_t name_bytes, int64_t ts,
	uint64_t *sum)
{
	Db *d = session;
	char key[KV_KEY_BYTES + 9];
	size_t bytes;
	char *error = NULL;
	char *value =
		leveldb_get(d->db, d->read, key, kv_encode(key, name, name_bytes, ts),
					&bytes, &error);

	check(error);
	if (value == NULL)
		return 0;
	*sum += bytes + (uint8_t) value[0];
	leveldb_free(value);
	return 1;
}

/* Add the record an iterator stands at. */
static void
add(leveldb_iterator_t *it, uint64_t *sum)
{
	size_t bytes;
	const char *value = leveldb_iter_value(it, &bytes);

	*sum += bytes + (uint8_t) value[0];
}

static bool
is_series(leveldb_iterator_t *it, const char *name, size_t name_bytes)
{
	size_t bytes;
	const char *key = leveldb_iter_key(it, &bytes);

	return bytes == name_bytes + 9 && memcmp(key, name, name_bytes) == 0;
}

static int64_t
ts_of(leveldb_iterator_t *it)
{
	size_t bytes;
	const char *key = leveldb_iter_key(it, &bytes);

	return kv_decode_ts(key, bytes);
}

static uint64_t
latest(void *session, const char *name, size_t name_bytes, uint64_t *sum)
{
	Db *d = session;
	leveldb_iterator_t *it = leveldb_create_iterator(d->db, d->read);
	char key[KV_KEY_BYTES + 9];
	uint64_t n = 0;

	leveldb_iter_seek(it, key, kv_encode(key, name, name_bytes, INT64_MAX));
	if (leveldb_iter_valid(it))
		leveldb_iter_prev(it);
	else
		leveldb_iter_seek_to_last(it);
	if (leveldb_iter_valid(it) && is_series(it, name, name_bytes))
	{
		add(it, sum);
		n = 1;
	}
	leveldb_iter_destroy(it);
	return n;
}

static uint64_t
range(void *session, const char *name, size_t name_bytes, int64_t lo,
	  int64_t hi, uint64_t *sum)
{
	Db *d = session;
	leveldb_iterator_t *it = leveldb_create_iterator(d->db, d->read);
	char key[KV_KEY_BYTES + 9];
	uint64_t n = 0;

	if (name)
		leveldb_iter_seek(it, key, kv_encode(key, name, name_bytes, lo));
	else
		leveldb_iter_seek_to_first(it);
	for (; leveldb_iter_valid(it); leveldb_iter_next(it))
	{
		int64_t ts = ts_of(it);

		if (name && (!is_series(it, name, name_bytes) || ts > hi))
			break;
		if (ts < lo || ts > hi)
			continue;
		add(it, sum);
		n++;
	}
	leveldb_iter_destroy(it);
	return n;
}

static uint64_t
all(void *session, uint64_t *sum)
{
	return range(session, NULL, 0, INT64_MIN, INT64_MAX, sum);
}

const KvEngine kv_leveldb = {.name = "LevelDB",
							 .open = open_db,
							 .settle = settle,
							 .close = close_db,
							 .session = session,
							 .end_session = end_session,
							 .write = write_batch,
							 .get = get,
							 .latest = latest,
							 .range = range,
							 .all = all};
