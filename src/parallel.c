/*-------------------------------------------------------------------------
 * parallel.c
 *	  Running a scan that several processes share.
 *
 * The leader divides the work into units, each a range of the scan or a part
 * of one, and every participant takes the next unit when it is done with its
 * last.  It evaluates the ranges for itself, with the values that the leader
 * had, and walks through them to the unit's.
 *
 * Units are in the scan's order.  A participant takes them in that order, so
 * its own rows are sorted, which is what Gather Merge needs.
 *
 * When there are many ranges they are not divided any further: then a unit is
 * so many of them in a row.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/spin.h"

#include "parallel.h"

#define UNITS_EACH 16	/* a participant, so that all end at about one time */
#define MOST_RANGES 64	/* with more, none is divided */
#define MOST_CHUNK 4096 /* ranges of a unit */

/* A bound of a part; a part's key that is not the range's is short. */
typedef struct UnitKey
{
	bool own; /* the range's bound */
	uint8 kind;
	uint8 key_bytes;
	uint8 key[FLOW_SPLIT_KEY];
} UnitKey;

typedef struct Unit
{
	uint64 range; /* its number */
	UnitKey lo;
	UnitKey hi;
	FlowTimeBound ts_lo;
	FlowTimeBound ts_hi;
} Unit;

StaticAssertDecl(FLOW_SPLIT_KEY <= UINT8_MAX, "key_bytes is 8 bits wide");

struct FlowdbShare
{
	pg_atomic_uint64 next; /* number of the unit to be taken next */

	/* constant while workers are at work */
	int64 now;	  /* expiry is judged then, or later (S13) */
	uint64 chunk; /* ranges of a unit; 0: it is in units */
	uint32 nunits;
	uint32 capacity;

	/* protected by mutex: of workers that are done */
	slock_t mutex;
	FlowScanStats stats;
	uint64 nranges;

	Unit units[FLEXIBLE_ARRAY_MEMBER];
};

/* A participant's; in the query's memory. */
struct FlowdbSharer
{
	FlowdbShare *share;
	uint64 taken;		/* ranges of the scan that were walked through */
	uint64 until;		/* with chunk: those before it are of our unit */
	FlowScanSpec range; /* bounds of the last one */
	bool point;
};

/* ----------------------------------------------------------------- divide */

static uint32
wanted_units(int nworkers)
{
	return (uint32) Min(UNITS_EACH * (nworkers + 1), (int) FLOW_MOST_PARTS);
}

static uint32
most_units(int nworkers)
{
	return FLOW_SPLIT_PARTS(wanted_units(nworkers)) + MOST_RANGES;
}

Size
flowdb_share_size(int nworkers)
{
	return offsetof(FlowdbShare, units) + most_units(nworkers) * sizeof(Unit);
}

static void
set_unit_key(UnitKey *to, const FlowKeyBound *part, const FlowKeyBound *range)
{
	to->own = part->kind == FLOW_OPEN || part->key == range->key;
	if (to->own)
		return;
	to->kind = (uint8) part->kind;
	to->key_bytes = (uint8) part->key_bytes;
	memcpy(to->key, part->key, part->key_bytes);
}

static void
add_unit(FlowdbShare *share, uint64 range, const FlowScanSpec *spec,
		 const FlowPart *part)
{
	Unit *unit;

	if (share->nunits == share->capacity)
		elog(ERROR, "a FlowDB scan has more parts than it was to have");
	unit = &share->units[share->nunits++];
	unit->range = range;
	set_unit_key(&unit->lo, &part->key_lo, &spec->key_lo);
	set_unit_key(&unit->hi, &part->key_hi, &spec->key_hi);
	unit->ts_lo = part->ts_lo;
	unit->ts_hi = part->ts_hi;
}

/* Divide the range into about so many units. */
static void
divide_range(FlowdbScanState *state, FlowdbShare *share, uint64 range,
			 uint32 want)
{
	FlowParts *parts;

	flowdb_try(flow_split(state->db, &state->spec, want, &parts));
	PG_TRY();
	{
		for (uint32 i = 0; i < parts->n; i++)
			add_unit(share, range, &state->spec,
					 &parts->part[state->reverse ? parts->n - 1 - i : i]);
	}
	PG_FINALLY();
	{
		flow_parts_free(state->db, parts);
	}
	PG_END_TRY();
}

/* How many ranges there are; MOST_RANGES + 1: more than that. */
static int
count_ranges(FlowdbScanState *state)
{
	bool point;
	int n = 0;

	while (n <= MOST_RANGES &&
		   flowdb_ranges_next(state->ranges, &state->spec, &point))
		n++;
	flowdb_ranges_rewind(state->ranges);
	return n;
}

static void
divide(FlowdbScanState *state, FlowdbShare *share, int nworkers)
{
	uint32 want = wanted_units(nworkers);
	int nranges = count_ranges(state);
	bool point;

	if (nranges > MOST_RANGES)
	{
		double chunk = flowdb_ranges_most(state->ranges) / want;

		share->chunk = (uint64) Max(1.0, Min(chunk, (double) MOST_CHUNK));
		return;
	}
	for (int i = 0; i < nranges; i++)
	{
		if (!flowdb_ranges_next(state->ranges, &state->spec, &point))
			elog(ERROR, "a FlowDB range is missing");
		divide_range(state, share, (uint64) i,
					 point ? 1 : Max(want / (uint32) nranges, 1));
	}
	flowdb_ranges_rewind(state->ranges);
}

void
flowdb_share_begin(FlowdbScanState *state, ForeignScanState *node,
				   FlowdbShare *share, int nworkers, bool again)
{
	/* the node may hear after us of new values, and that it begins anew */
	flowdb_scan_close(state);
	if (node->ss.ps.chgParam != NULL)
		state->ranges = NULL;
	if (!again)
	{
		memset(share, 0, offsetof(FlowdbShare, units));
		SpinLockInit(&share->mutex);
		share->capacity = most_units(nworkers);
		pg_atomic_init_u64(&share->next, 0);
	}
	pg_atomic_write_u64(&share->next, 0);
	share->chunk = 0;
	share->nunits = 0;
	if (flowdb_scan_prepare(state, node))
	{
		share->now = state->spec.now;
		divide(state, share, nworkers);
	}
	flowdb_share_join(state, share);
}

/* ----------------------------------------------------------- participants */

void
flowdb_share_join(FlowdbScanState *state, FlowdbShare *share)
{
	if (!state->sharer)
		state->sharer = MemoryContextAllocZero(GetMemoryChunkContext(state),
											   sizeof(struct FlowdbSharer));
	state->sharer->share = share;
}

void
flowdb_share_start(FlowdbScanState *state)
{
	FlowdbSharer *p = state->sharer;

	p->taken = 0;
	p->until = 0;
	state->spec.now = Max(state->spec.now, p->share->now);
}

static bool
walk(FlowdbScanState *state)
{
	FlowdbSharer *p = state->sharer;

	if (!flowdb_ranges_next(state->ranges, &p->range, &p->point))
		return false;
	p->taken++;
	return true;
}

static void
set_key(FlowKeyBound *to, const UnitKey *key, const FlowKeyBound *range)
{
	if (key->own)
		*to = *range;
	else
		*to =
			(FlowKeyBound){(FlowBoundKind) key->kind, key->key, key->key_bytes};
}

/* The range's bounds, or those of the part of it. */
static void
set_spec(FlowdbScanState *state, const Unit *unit)
{
	const FlowScanSpec *range = &state->sharer->range;
	FlowScanSpec *spec = &state->spec;

	spec->key_lo = range->key_lo;
	spec->key_hi = range->key_hi;
	spec->ts_lo = range->ts_lo;
	spec->ts_hi = range->ts_hi;
	if (!unit)
		return;
	set_key(&spec->key_lo, &unit->lo, &range->key_lo);
	set_key(&spec->key_hi, &unit->hi, &range->key_hi);
	spec->ts_lo = unit->ts_lo;
	spec->ts_hi = unit->ts_hi;
}

/* The next range where many of them are a unit. */
static bool
next_of_chunk(FlowdbScanState *state)
{
	FlowdbSharer *p = state->sharer;
	FlowdbShare *share = p->share;

	if (p->taken >= p->until)
	{
		uint64 first = pg_atomic_fetch_add_u64(&share->next, 1) * share->chunk;

		while (p->taken < first)
			if (!walk(state))
				return false;
		p->until = first + share->chunk;
	}
	return walk(state);
}

bool
flowdb_share_next(FlowdbScanState *state, bool *pointp)
{
	FlowdbSharer *p = state->sharer;
	FlowdbShare *share = p->share;
	const Unit *unit = NULL;

	if (share->chunk > 0)
	{
		if (!next_of_chunk(state))
			return false;
	}
	else
	{
		uint64 number = pg_atomic_fetch_add_u64(&share->next, 1);

		if (number >= share->nunits)
			return false;
		unit = &share->units[number];
		while (p->taken <= unit->range)
			if (!walk(state))
				elog(ERROR, "parallel workers disagree on the ranges of a "
							"FlowDB scan");
	}
	set_spec(state, unit);
	*pointp = p->point;
	return true;
}

void
flowdb_share_leave(FlowdbScanState *state)
{
	FlowdbShare *share;

	if (!state->sharer)
		return;
	share = state->sharer->share;
	pfree(state->sharer);
	state->sharer = NULL;
	flowdb_scan_close(state);
	state->started = true;
	state->finished = true;
	if (!IsParallelWorker())
		return;
	SpinLockAcquire(&share->mutex);
	flowdb_scan_add_stats(&share->stats, &state->stats);
	share->nranges += state->nranges;
	SpinLockRelease(&share->mutex);
}

/* ----------------------------------------------------------------- counters */

static void
take_counters(dsm_segment *segment, Datum arg)
{
	FlowdbScanState *state = (FlowdbScanState *) DatumGetPointer(arg);

	flowdb_scan_add_stats(&state->stats, &state->counted->stats);
	state->nranges += state->counted->nranges;
	state->counted = NULL;
	state->counted_in = NULL;
}

/* When the leader leaves, below a LIMIT say, workers may still be at work. */
void
flowdb_share_count(FlowdbScanState *state, FlowdbShare *share,
				   dsm_segment *segment)
{
	if (!segment)
		return;
	on_dsm_detach(segment, take_counters, PointerGetDatum(state));
	state->counted = share;
	state->counted_in = segment;
}

void
flowdb_share_forget(FlowdbScanState *state)
{
	if (state->counted_in)
		cancel_on_dsm_detach(state->counted_in, take_counters,
							 PointerGetDatum(state));
	state->counted = NULL;
	state->counted_in = NULL;
}

/* -------------------------------------------------------------- callbacks */

Size
flowdbEstimateDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt)
{
	return flowdb_share_size(pcxt->nworkers);
}

void
flowdbInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt,
							   void *coordinate)
{
	flowdb_share_begin(node->fdw_state, node, coordinate, pcxt->nworkers,
					   false);
	flowdb_share_count(node->fdw_state, coordinate, pcxt->seg);
}

void
flowdbReInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt,
								 void *coordinate)
{
	flowdb_share_begin(node->fdw_state, node, coordinate, pcxt->nworkers, true);
}

void
flowdbInitializeWorkerForeignScan(ForeignScanState *node, shm_toc *toc,
								  void *coordinate)
{
	flowdb_share_join(node->fdw_state, coordinate);
}

void
flowdbShutdownForeignScan(ForeignScanState *node)
{
	if (node->fdw_state)
		flowdb_share_leave(node->fdw_state);
}
