/*-------------------------------------------------------------------------
 * bloom.h
 *	  Bloom filters over keys: blocked ones, a cache line a key.
 *
 * After Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom
 * Filters" (2007): a key's bits all lie in one line of 64 bytes.  The bytes
 * are a format: doc/FORMAT.md "Filter".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_BLOOM_H
#define FLOW_BLOOM_H

#include "common.h"

#define FLOW_BLOOM_VERSION 1
#define FLOW_BLOOM_MAX_BITS 64

/* The hash that the filter is made of. */
extern uint64_t flowi_bloom_hash(const uint8_t *key, size_t key_bytes);

/* Bytes of a filter over n keys, header included. */
extern size_t flowi_bloom_bytes(uint64_t nkeys, uint32_t bits_per_key);

/* Build it from hashes (an equal one may come more than once) into out, which
 * has flowi_bloom_bytes(n, bits_per_key). */
extern void flowi_bloom_build(const uint64_t *hashes, uint64_t n,
							  uint32_t bits_per_key, uint8_t *out);

/* May it be one of the keys?  CORRUPT: not a filter; a newer version, or one
 * we do not know, says yes. */
extern FlowStatus flowi_bloom_check(const uint8_t *filter, size_t bytes,
									uint64_t hash, bool *mayp) FLOW_MUST_CHECK;

#endif /* FLOW_BLOOM_H */
