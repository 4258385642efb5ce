/*-------------------------------------------------------------------------
 * kv.h
 *	  One interface over the engines that bench/kv compares.
 *
 * Records are (series, ts, value).  FlowDB keeps them as they are; for the
 * others the key is the series' name, a zero byte, and ts big-endian with the
 * sign bit flipped, which orders in the same way.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_BENCH_KV_H
#define FLOW_BENCH_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define KV_MAX_BATCH 1000
#define KV_KEY_BYTES 16
#define KV_MAX_VALUE 256

typedef struct KvRecord
{
	char key[KV_KEY_BYTES];
	size_t key_bytes;
	int64_t ts;
	uint8_t value[KV_MAX_VALUE];
	size_t value_bytes;
} KvRecord;

/*
 * A read answers how many records it has seen, adding up their bytes in *sum
 * so that every value is touched.  session: of one thread.
 */
typedef struct KvEngine
{
	const char *name;
	void *(*open)(const char *dir);
	void (*settle)(void *db); /* everything on disk as it will stay */
	void (*close)(void *db);
	void *(*session)(void *db);
	void (*end_session)(void *session);
	void (*write)(void *session, const KvRecord *records, size_t n);
	uint64_t (*get)(void *session, const char *key, size_t key_bytes,
					int64_t ts, uint64_t *sum);
	uint64_t (*latest)(void *session, const char *key, size_t key_bytes,
					   uint64_t *sum);
	/* records of one series (key NULL: of each) with ts in [lo, hi] */
	uint64_t (*range)(void *session, const char *key, size_t key_bytes,
					  int64_t lo, int64_t hi, uint64_t *sum);
	uint64_t (*all)(void *session, uint64_t *sum);
} KvEngine;

extern const KvEngine kv_flowdb, kv_leveldb, kv_lmdb;

/* For the others: the key with ts; room for KV_KEY_BYTES + 9. */
static inline size_t
kv_encode(char *out, const char *key, size_t key_bytes, int64_t ts)
{
	uint64_t u = (uint64_t) ts ^ (UINT64_C(1) << 63);

	for (size_t i = 0; i < key_bytes; i++)
		out[i] = key[i];
	out[key_bytes] = '\0';
	for (int i = 0; i < 8; i++)
		out[key_bytes + 1 + (size_t) i] = (char) (u >> (56 - 8 * i));
	return key_bytes + 9;
}

static inline int64_t
kv_decode_ts(const char *key, size_t bytes)
{
	uint64_t u = 0;

	for (size_t i = bytes - 8; i < bytes; i++)
		u = u << 8 | (uint8_t) key[i];
	return (int64_t) (u ^ (UINT64_C(1) << 63));
}

extern _Noreturn void kv_die(const char *what, const char *why);

#endif /* FLOW_BENCH_KV_H */
