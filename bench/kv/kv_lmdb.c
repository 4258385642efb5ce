/*-------------------------------------------------------------------------
 * kv_lmdb.c
 *	  LMDB behind kv.h: writes that are not synced, cursors kept by session.
 *-------------------------------------------------------------------------
 */
#include <lmdb.h>
#include <string.h>

#include "kv.h"

#define MAP_BYTES ((size_t) 64 << 30)

typedef struct Db
{
	MDB_env *env;
	MDB_dbi dbi;
} Db;

typedef struct Session
{
	Db *db;
	MDB_txn *txn; /* for reading; renewed for each call */
	MDB_cursor *cursor;
} Session;

static void
must(int rc)
{
	if (rc != 0)
		kv_die("lmdb", mdb_strerror(rc));
}

static void *
open_db(const char *dir)
{
	Db *d = calloc(1, sizeof(*d));
	MDB_txn *txn;

	must(mdb_env_create(&d->env));
	must(mdb_env_set_mapsize(d->env, MAP_BYTES));
	must(mdb_env_open(d->env, dir, MDB_NOSYNC, 0600));
	must(mdb_txn_begin(d->env, NULL, 0, &txn));
	must(mdb_dbi_open(txn, NULL, 0, &d->dbi));
	must(mdb_txn_commit(txn));
	return d;
}

static void
settle(void *db)
{
	Db *d = db;

	must(mdb_env_sync(d->env, 1));
}

static void
close_db(void *db)
{
	Db *d = db;

	mdb_env_close(d->env);
	free(d);
}

static void *
session(void *db)
{
	Session *s = calloc(1, sizeof(*s));

	s->db = db;
	return s;
}

static void
end_session(void *session)
{
	Session *s = session;

	if (s->cursor)
		mdb_cursor_close(s->cursor);
	if (s->txn)
		mdb_txn_abort(s->txn);
	free(s);
}

static void
begin_read(Session *s)
{
	if (s->txn == NULL)
	{
		must(mdb_txn_begin(s->db->env, NULL, MDB_RDONLY, &s->txn));
		must(mdb_cursor_open(s->txn, s->db->dbi, &s->cursor));
		return;
	}
	must(mdb_txn_renew(s->txn));
	must(mdb_cursor_renew(s->txn, s->cursor));
}

static void
end_read(Session *s)
{
	mdb_txn_reset(s->txn);
}

static void
write_batch(void *session, const KvRecord *records, size_t n)
{
	Session *s = session;
	char key[KV_KEY_BYTES + 9];
	MDB_txn *txn;

	must(mdb_txn_begin(s->db->env, NULL, 0, &txn));
	for (size_t i = 0; i < n; i++)
	{
		MDB_val k = {
			kv_encode(key, records[i].key, records[i].key_bytes, records[i].ts),
			key};
		MDB_val v = {records[i].value_bytes, (void *) records[i].value};

		must(mdb_put(txn, s->db->dbi, &k, &v, 0));
	}
	must(mdb_txn_commit(txn));
}

static void
add(const MDB_val *v, uint64_t *sum)
{
	*sum += v->mv_size + *(const uint8_t *) v->mv_data;
}

static uint64_t
get(void *session, const char *name, size_t name_bytes, int64_t ts,
	uint64_t *sum)
{
	Session *s = session;
	char key[KV_KEY_BYTES + 9];
	MDB_val k = {kv_encode(key, name, name_bytes, ts), key};
	MDB_val v;
	int rc;

	begin_read(s);
	rc = mdb_get(s->txn, s->db->dbi, &k, &v);
	if (rc == 0)
		add(&v, sum);
	else if (rc != MDB_NOTFOUND)
		must(rc);
	end_read(s);
	return rc == 0;
}

static bool
is_series(const MDB_val *k, const char *name, size_t name_bytes)
{
	return k->mv_size == name_bytes + 9 &&
		   memcmp(k->mv_data, name, name_bytes) == 0;
}

static uint64_t
latest(void *session, const char *name, size_t name_bytes, uint64_t *sum)
{
	Session *s = session;
	char key[KV_KEY_BYTES + 9];
	MDB_val k = {kv_encode(key, name, name_bytes, INT64_MAX), key};
	MDB_val v;
	bool found;
	int rc;

	begin_read(s);
	rc = mdb_cursor_get(s->cursor, &k, &v, MDB_SET_RANGE);
	rc = mdb_cursor_get(s->cursor, &k, &v, rc == 0 ? MDB_PREV : MDB_LAST);
	found = rc == 0 && is_series(&k, name, name_bytes);
	if (found)
		add(&v, sum);
	end_read(s);
	return found;
}

static uint64_t
range(void *session, const char *name, size_t name_bytes, int64_t lo,
	  int64_t hi, uint64_t *sum)
{
	Session *s = session;
	char key[KV_KEY_BYTES + 9];
	MDB_val k = {0, key};
	MDB_val v;
	uint64_t n = 0;
	int rc;

	begin_read(s);
	if (name)
		k.mv_size = kv_encode(key, name, name_bytes, lo);
	rc = mdb_cursor_get(s->cursor, &k, &v, name ? MDB_SET_RANGE : MDB_FIRST);
	for (; rc == 0; rc = mdb_cursor_get(s->cursor, &k, &v, MDB_NEXT))
	{
		int64_t ts = kv_decode_ts(k.mv_data, k.mv_size);

		if (name && (!is_series(&k, name, name_bytes) || ts > hi))
			break;
		if (ts < lo || ts > hi)
			continue;
		add(&v, sum);
		n++;
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		must(rc);
	end_read(s);
	return n;
}

static uint64_t
all(void *session, uint64_t *sum)
{
	return range(session, NULL, 0, INT64_MIN, INT64_MAX, sum);
}

const KvEngine kv_lmdb = {.name = "LMDB",
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
