/*-------------------------------------------------------------------------
 * stress_model.h
 *	  What flowdb_stress knows must be in the database.
 *
 * Each writer owns a part of the keys, so it alone changes their slots; a
 * slot is one (key, ts).  Every write gives a slot its next version, and its
 * value tells slot and version, so whatever is read proves itself.  A slot
 * remembers which version was *issued* (its write call was made), which was
 * *acknowledged* (the call returned), and which of the last versions were
 * deletions.  A reader that looks at a slot before and after a read may find
 * any version from the one acknowledged before to the one issued after.
 *
 * The slots lie in memory that survives the process that writes, so that
 * after kill -9 the next one can tell what must be there.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_STRESS_MODEL_H
#define FLOW_STRESS_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STRESS_MAX_WRITERS 64
#define STRESS_MAX_BATCH 64
#define STRESS_KEY_BYTES 24
#define STRESS_MAX_VALUE 4096

/* Low 24 bits: version; high 40: bit i is set when version - i deletes. */
typedef struct StressSlot
{
	_Atomic uint64_t issued;
	_Atomic uint64_t acked;
} StressSlot;

#define STRESS_HISTORY 40

/* The write call that a writer is in. */
typedef struct StressFlight
{
	_Atomic uint32_t nslots; /* 0: none */
	uint32_t slot[STRESS_MAX_BATCH];
} StressFlight;

typedef struct StressModel
{
	uint32_t nwriters;
	uint32_t nkeys;	 /* of a writer */
	uint32_t ntimes; /* of a key */
	uint64_t seed;
	StressFlight flight[STRESS_MAX_WRITERS];
	_Atomic uint64_t batches; /* acknowledged */
	_Atomic uint64_t checked; /* rows */
	StressSlot slot[];
} StressModel;

extern StressModel *stress_model_create(uint32_t nwriters, uint32_t nkeys,
										uint32_t ntimes, uint64_t seed);

static inline uint32_t
stress_slots_of_writer(const StressModel *m)
{
	return m->nkeys * m->ntimes;
}

static inline uint32_t
stress_slots(const StressModel *m)
{
	return m->nwriters * stress_slots_of_writer(m);
}

/* Key and time of a slot, in the order of the slots; the writer is the
 * first part of the key. */
extern size_t stress_key(const StressModel *m, uint32_t slot,
						 char key[STRESS_KEY_BYTES]);
extern int64_t stress_ts(const StressModel *m, uint32_t slot);
/* The slot of a row that was read; false: none of ours. */
extern bool stress_slot_of(const StressModel *m, const void *key,
						   size_t key_bytes, int64_t ts, uint32_t *slotp);

/* The value of a version. */
extern size_t stress_value(const StressModel *m, uint32_t slot,
						   uint32_t version, uint8_t value[STRESS_MAX_VALUE]);
/* The version that a value proves to be of slot; 0: it proves nothing. */
extern uint32_t stress_version_of(const StressModel *m, uint32_t slot,
								  const void *value, size_t value_bytes);

/* The next version of a slot is on its way; and has arrived. */
extern uint32_t stress_issue(StressModel *m, uint32_t slot, bool deletes);
extern void stress_ack(StressModel *m, uint32_t slot);

/*
 * stress_allows
 *		May a reader that saw acked before its read and issued after it find
 *		version (0: no row)?
 */
extern bool stress_allows(uint64_t acked, uint64_t issued, uint32_t version);

static inline uint32_t
stress_version(uint64_t state)
{
	return (uint32_t) (state & 0xffffff);
}

/* After a crash: what was found is what is. */
extern void stress_settle(StressModel *m, uint32_t slot, uint32_t version);

#endif /* FLOW_STRESS_MODEL_H */
