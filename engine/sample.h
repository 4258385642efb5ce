/*-------------------------------------------------------------------------
 * sample.h
 *	  Where the rows of a scan's bounds lie, roughly.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_SAMPLE_H
#define FLOW_SAMPLE_H

#include "coding.h"
#include "memtable.h"
#include "readers.h"

/* What is kept of a key. */
#define FLOW_SAMPLE_KEY 128u

/* About so many rows follow this identity, before the next sample. */
typedef struct FlowSample
{
	const uint8_t *key;
	uint32_t key_bytes;
	bool whole; /* that is all of the key, and ts is of a row of it; else a
				 * beginning, and ts means nothing */
	int64_t ts;
	double rows;
} FlowSample;

/* Private to who splits; zeroed but for what init sets. */
typedef struct FlowSamples
{
	FlowDb *db;
	const FlowScanSpec *spec;
	int64_t ts_lo; /* the spec's, both included */
	int64_t ts_hi;
	bool one_key;  /* the bounds name one key: samples have no key */
	uint32_t want; /* so many at least would be good */

	uint32_t n;
	FlowSample *sample;
	double rows; /* of all */

	FlowBuf keys; /* while they are collected, key is an offset into it */
	FlowBuf list; /* memory of sample */
} FlowSamples;

/*
 * flowi_samples_take
 *		Collect samples of spec's store within its bounds, which are borrowed,
 *		from the indexes of SSTables and from memtables, in the order of keys
 *		and times.  Blocks on I/O.  INTERRUPTED: call again.
 * flowi_samples_free: NULL members are fine.
 */
extern FlowStatus flowi_samples_take(FlowSamples *s, FlowDb *db,
									 const FlowScanSpec *spec,
									 uint32_t want) FLOW_MUST_CHECK;
extern void flowi_samples_free(FlowSamples *s);

/*
 * sample.c and sample_memtable.c, of each other:
 *
 * flowi_samples_add
 *		A sample at an identity within the bounds; key NULL: at their beginning.
 * flowi_samples_memtable
 *		Collect samples of one memtable.
 */
extern FlowStatus flowi_samples_add(FlowSamples *s, const uint8_t *key,
									uint32_t key_bytes, int64_t ts,
									double rows) FLOW_MUST_CHECK;
extern FlowStatus flowi_samples_memtable(FlowSamples *s,
										 FlowMemtable *mt) FLOW_MUST_CHECK;

static inline bool
flowi_samples_times_meet(const FlowSamples *s, int64_t ts_min, int64_t ts_max)
{
	return ts_min <= s->ts_hi && ts_max >= s->ts_lo;
}

/* Is a key before (behind) all that the spec's bounds allow? */
static inline bool
flowi_spec_before(const FlowScanSpec *spec, const uint8_t *key,
				  uint32_t key_bytes)
{
	const FlowKeyBound *lo = &spec->key_lo;
	int c;

	if (lo->kind == FLOW_OPEN)
		return false;
	c = flowi_key_cmp(key, key_bytes, lo->key, (uint32_t) lo->key_bytes);
	return c < 0 || (c == 0 && lo->kind == FLOW_EXCLUSIVE);
}

static inline bool
flowi_spec_behind(const FlowScanSpec *spec, const uint8_t *key,
				  uint32_t key_bytes)
{
	const FlowKeyBound *hi = &spec->key_hi;
	int c;

	if (hi->kind == FLOW_OPEN)
		return false;
	c = flowi_key_cmp(key, key_bytes, hi->key, (uint32_t) hi->key_bytes);
	return c > 0 || (c == 0 && hi->kind == FLOW_EXCLUSIVE);
}

#endif /* FLOW_SAMPLE_H */
