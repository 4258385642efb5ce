/*-------------------------------------------------------------------------
 * keep.h
 *	  What a flush or a merge has to write, and what nobody can ever see.
 *
 * One rule for both, fed with versions in order (key, ts, newest first):
 *	 K1	an aborted version goes;
 *	 K2	a version goes when a newer one of its identity, or a range tombstone
 *		over it, is settled;
 *	 K3	a settled tombstone, and a settled row that expired at or before the
 *		horizon, goes when nothing older that it hides can lie below, of the
 *		row nothing that lives at the horizon; else it stays as a tombstone;
 *	 K4	of two equal versions (same identity and sequence, possible after a
 *		restored backup) one goes;
 *	 K5	a settled range tombstone goes when no SSTable below meets it.
 * "Settled" is committed before every snapshot there is or will be.  "Below"
 * are the SSTables that are not part of the merge and were there when it
 * began: what comes later is newer.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_KEEP_H
#define FLOW_KEEP_H

#include "tomb.h"
#include "version.h"

typedef enum FlowFate
{
	FLOW_FATE_OPEN, /* not settled */
	FLOW_FATE_SETTLED,
	FLOW_FATE_ABORTED
} FlowFate;

typedef enum FlowKeepVerdict
{
	FLOW_KEEP_WRITE,	 /* as it is */
	FLOW_KEEP_TOMBSTONE, /* as a point tombstone */
	FLOW_KEEP_DROP
} FlowKeepVerdict;

/* Embed it; private. */
typedef struct FlowKeeper
{
	FlowEnv *env;
	FlowTombSet tombs;	   /* settled ones */
	FlowSst *const *below; /* borrowed */
	uint32_t nbelow;
	int64_t horizon;
	/* the identity looked at last */
	uint8_t *key;
	uint32_t key_bytes, key_cap;
	int64_t ts;
	uint64_t seq; /* of its last version */
	bool has_last;
	bool hidden;	  /* older versions of it are */
	uint32_t hint;	  /* of below, the one that had something last */
	uint64_t dropped; /* versions left out */
	uint64_t expired; /* rows left out, or made tombstones, by K3 */
	FlowDbShared *sh; /* is told what goes by K3 and K5; NULL: nobody is */
} FlowKeeper;

/* A tombstone or an expired row is about to go with all that it hides. */
static inline void
flowi_keep_gone(FlowDbShared *sh, uint64_t seq)
{
	uint64_t known = atomic_load(&sh->gone_seq);

	while (known < seq &&
		   !atomic_compare_exchange_weak(&sh->gone_seq, &known, seq))
		;
}

/* below: the SSTables that may hold older versions; horizon: see
 * flowi_keep_horizon. */
extern void flowi_keep_init(FlowKeeper *k, FlowEnv *env, FlowSst *const *below,
							uint32_t nbelow, int64_t horizon);
extern void flowi_keep_free(FlowKeeper *k);

/* A range tombstone of the input, before any version; *keepp: it must be
 * written.  An aborted one is not. */
extern FlowStatus flowi_keep_tomb(FlowKeeper *k, const FlowTomb *tomb,
								  FlowFate fate, bool *keepp) FLOW_MUST_CHECK;
/* The next version. */
extern FlowStatus flowi_keep_rec(FlowKeeper *k, const FlowRec *rec,
								 FlowFate fate,
								 FlowKeepVerdict *verdictp) FLOW_MUST_CHECK;

/* What is written for a version of verdict FLOW_KEEP_TOMBSTONE. */
static inline FlowRec
flowi_keep_tombstone(const FlowRec *rec)
{
	FlowRec tombstone = *rec;

	tombstone.op = FLOW_DELETE;
	tombstone.value = NULL;
	tombstone.value_bytes = 0;
	tombstone.expire_at = FLOW_NEVER;
	return tombstone;
}

/* Is rec of the identity that was looked at last? */
extern bool flowi_keep_same(const FlowKeeper *k, const FlowRec *rec);

/*
 * flowi_keep_horizon
 *		The time up to which expired records may go: env's expire_horizon,
 *		published in sh->purge_horizon, which goes back only when the clock was
 *		set back (judge.h), and then asked for once more: the lesser answer
 *		counts.
 *		A reader judges expiry at no earlier time than sh->purge_horizon, read
 *		after it has told its host its own time.
 */
extern int64_t flowi_keep_horizon(FlowEnv *env, FlowDbShared *sh);

#endif /* FLOW_KEEP_H */
