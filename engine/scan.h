/*-------------------------------------------------------------------------
 * scan.h
 *	  A scan's inside: what scan.c, source.c and get.c share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_SCAN_H
#define FLOW_SCAN_H

#include "coding.h"
#include "filter.h"
#include "merge.h"
#include "pins.h"
#include "readers.h"
#include "row.h"
#include "sst.h"

#define FLOW_SCAN_POLL_VERSIONS 256		   /* between two interrupt polls */
#define FLOW_FILL_BYTES ((size_t) 2 << 20) /* of rows that end a fill */

typedef enum FlowSourceKind
{
	FLOW_SOURCE_OWN,
	FLOW_SOURCE_MEMTABLE,
	FLOW_SOURCE_SST
} FlowSourceKind;

typedef struct FlowSource
{
	FlowMergeSource base;
	FlowScan *scan;
	FlowSourceKind kind;
	bool ended;
	FlowSst *sst;		/* SST: pinned by the version */
	FlowReader *reader; /* SST: pinned while open */
	FlowRec floor;		/* SST: see merge.h */
} FlowSource;

/* Memory of a fill's rows: blocks, the newest and largest first. */
typedef struct FlowRowBlock
{
	struct FlowRowBlock *next;
	size_t cap;
	uint8_t data[];
} FlowRowBlock;

/* The columns of a scan (scan_columns.c). */
typedef struct FlowScanColumns
{
	FlowRowPicker picker; /* of the spec's columns */
	FlowRowPick *picks;	  /* the picker's */
	uint32_t picks_cap;
	FlowColumnVector *vectors; /* one a column, in mem; vec.columns */
	uint32_t cap;			   /* rows that they have room for */
	size_t row_bytes;		   /* a row takes of mem */
	void *mem;
	size_t mem_bytes;
} FlowScanColumns;

struct FlowScan
{
	FlowEnv *env;
	FlowDb *db;		/* NULL: was detached */
	FlowScan *next; /* in db->scans */
	FlowScan *prev;

	/* constant after open */
	FlowScanSpec spec; /* key bounds point into bounds */
	FlowBuf bounds;
	int64_t ts_lo; /* inclusive */
	int64_t ts_hi;
	bool one_key;  /* the bounds name one key */
	bool spans;	   /* and the rest of the spec allows it */
	int32_t judge; /* its place; see judge.h */

	/* progress.  pos: the last identity looked at; resolved: nothing more is
	 * wanted of it, so going on means behind it */
	bool ended;
	FlowStatus failed;
	bool has_pos;
	bool resolved;
	int64_t pos_ts;
	FlowBuf pos_key;
	uint32_t unpolled; /* versions since the last interrupt poll */
	uint32_t patience; /* and how many there may be until the next */
	uint32_t steps;	   /* identities out of the time range in a row */

	/* where a source that is opened now goes; and where floors begin, in
	 * memory that does not change before the sources are built again */
	FlowSeek target;
	FlowBuf target_key;
	FlowBuf origin_key;

	/* sources.  SSTables stay from call to call, the others do not */
	FlowPins pins;
	FlowMerge merge;
	FlowSource *ssts;
	uint32_t nssts;
	uint32_t ssts_cap;
	bool ssts_built; /* for pins.version */
	FlowSource *mems;
	uint32_t nmems;
	uint32_t mems_cap;

	/* range tombstones that the reader sees and that meet the bounds: copies,
	 * so they may stay from call to call (hide.c) */
	FlowTombSet tombs;
	bool tombs_known; /* they are right as long as this is what there is: */
	FlowVersion *tombs_version; /* the pinned version */
	uint64_t tombs_linked;		/* tombstones in all memtables */
	uint64_t tombs_own;			/* generation of the private buffer's */
	uint32_t hidden_run;		/* rows in a row that one of them hid */

	/* of one fill */
	FlowTxn *asked; /* what visible was asked last, and its answer */
	bool answer;
	const uint8_t *row_key; /* copy of pos_key, NULL: not yet made */
	FlowRowBlock *rows;
	size_t rows_used;  /* of rows->data */
	size_t fill_bytes; /* keys and values copied, and columns */
	uint32_t nulls;	   /* of the vector's values, so many are NULL for sure */
	uint32_t row_at;   /* of vec, what flow_scan_row gives next */
	FlowScanColumns columns;
	FlowFilters filters; /* the spec's, which speak of columns */
	FlowVector vec;

	FlowScanStats stats;
	FlowSstIterStats sst_stats;
};

/* A scan without sources, entered in db->scans; spec is checked and copied. */
extern FlowStatus flowi_scan_create(FlowDb *db, const FlowScanSpec *spec,
									FlowScan **scanp) FLOW_MUST_CHECK;
extern void flowi_scan_free_spare(FlowDb *db);
/* Unpin all scans that are open on db, and leave them to their owners. */
extern void flowi_scan_orphan_all(FlowDb *db);

/* May the reader see rec, a record of a source of that kind? */
extern bool flowi_scan_visible(FlowScan *s, FlowSourceKind kind,
							   const FlowRec *rec);
/* Tombstone, or expired at spec.now? */
extern bool flowi_scan_dead(const FlowScan *s, const FlowRec *rec);
/* Around a call: counts the rows it returned, and its time now and then. */
extern int64_t flowi_scan_begin_call(FlowDb *db);
extern void flowi_scan_end_call(FlowDb *db, int64_t began, uint64_t rows);
/* flow_scan_next for a call that has begun: what comes behind the checks, of a
 * scan that has not ended and has no rows yet.  *vecp is NULL. */
extern FlowStatus
flowi_scan_next_begun(FlowScan *s, uint32_t want, int64_t began,
					  const FlowVector **vecp) FLOW_MUST_CHECK;
/* Is the key behind the bound that the scan runs towards? */
extern bool flowi_scan_behind(const FlowScan *s, const uint8_t *key,
							  uint32_t key_bytes);
/* Copy a row of the current fill into the vector.  it: of an SSTable, its
 * iterator, whose current row it is; else NULL. */
extern FlowStatus flowi_scan_emit(FlowScan *s, FlowSourceKind kind,
								  const FlowRec *rec,
								  FlowIter *it) FLOW_MUST_CHECK;

/* Room for n bytes of the current fill's rows. */
extern FlowStatus flowi_scan_room(FlowScan *s, size_t n,
								  uint8_t **pp) FLOW_MUST_CHECK;

/*
 * scan_columns.c; without columns in the spec the first three do nothing.
 *		set: the spec is another one; INVALID: its columns break a rule.
 *		room: a call begins that wants so many rows; *wantp: that get room.
 *		trim: the scan is closed; give back much memory.
 *		pick: the columns of rec, the row that emit puts into the vector next.
 *		pick_run: of the first *np rows of run, behind those in the vector;
 *		*np: how many of them the call may take.
 *		All that puts columns into vectors sets null of each row, adds row_bytes
 *		to fill_bytes for each, and leaves no pointer into a source.
 */
extern FlowStatus flowi_scan_columns_set(FlowScan *s) FLOW_MUST_CHECK;
extern FlowStatus flowi_scan_columns_room(FlowScan *s,
										  uint32_t *wantp) FLOW_MUST_CHECK;
extern void flowi_scan_columns_trim(FlowScan *s);
extern void flowi_scan_columns_free(FlowScan *s);
extern FlowStatus flowi_scan_pick(FlowScan *s, const FlowRec *rec,
								  FlowIter *it) FLOW_MUST_CHECK;
extern FlowStatus flowi_scan_pick_run(FlowScan *s, const FlowSstRun *run,
									  uint32_t *np) FLOW_MUST_CHECK;

/*
 *		fit: how many of the rows sel of the vectors the call may take.
 *		own: n rows from number first on stay in the vectors: copy what they
 *		point to, and count their bytes.
 */
extern uint32_t flowi_scan_fit_columns(const FlowScan *s, const uint16_t *sel,
									   uint32_t n);
extern FlowStatus flowi_scan_own_columns(FlowScan *s, uint32_t first,
										 uint32_t n) FLOW_MUST_CHECK;

/*
 * scan_filter.c; without filters the first two do nothing.
 *		filter: leave only those of the vector's rows from number first on that
 *		pass; no more than the spec's limit.
 *		ask: it is an SSTable's, its current row one that the reader sees.
 *		*nonep: no row of its block passes, by what the block says of its
 *		values; this one is counted as left out.
 *		run: *np rows of run, which is of a block of columns, those that pass
 *		into the vector, whose key is there, until it has want or more.  *np:
 *		how many were looked at.  All is counted, but for the source.
 */
extern void flowi_scan_filter(FlowScan *s, uint32_t first);
extern FlowStatus flowi_scan_ask(FlowScan *s, FlowIter *it,
								 bool *nonep) FLOW_MUST_CHECK;
extern FlowStatus flowi_scan_filter_run(FlowScan *s, const FlowRec *top,
										const FlowSstRun *run, uint32_t want,
										uint32_t *np) FLOW_MUST_CHECK;

/*
 * scan_run.c: the top, an SSTable, stands on a row, which is the position, and
 * no range tombstone matters.  Emit it and those behind it that need no merge,
 * so that the vector has at most want, and let the iterator stand on the last
 * of them; *takenp false: nothing was done, the row is to be emitted alone.
 */
extern FlowStatus flowi_scan_take_run(FlowScan *s, FlowSource *top,
									  uint32_t want,
									  bool *takenp) FLOW_MUST_CHECK;

/*
 * scan_span.c; for scans with spans.
 *		set: the spec is another one.
 *		take: the top of the merge, an SSTable, stands on mark.  *takenp: what
 *		the mark stands for is counted and the position is the last of it, and
 *		the next step goes behind it; else it must be looked into.
 */
extern void flowi_scan_span_set(FlowScan *s);
extern FlowStatus flowi_scan_span_take(FlowScan *s, FlowSource *top,
									   const FlowSstMark *mark,
									   bool *takenp) FLOW_MUST_CHECK;

/*
 * flowi_source_begin
 *		Pin, and make the merge ready at the scan's position.
 * flowi_source_end: unpin what must not stay pinned between calls.
 * flowi_source_drop: unpin everything.
 */
extern FlowStatus flowi_source_begin(FlowScan *s) FLOW_MUST_CHECK;
extern void flowi_source_end(FlowScan *s);
extern void flowi_source_drop(FlowScan *s);

/*
 * hide.c
 *		collect: make s->tombs what matters to the scan; the sources are pinned.
 *		check: is rec, a visible version, hidden by one of s->tombs?
 *		skip: rec, a row of the SSTable src, was hidden.  True: so is all that
 *		src has until *to (*endp: all it has).
 *		point: the same as check for one record of a lookup, without s->tombs;
 *		*by, when it is hidden: the tombstone's sequence and transaction.
 */
extern FlowStatus flowi_hide_collect(FlowScan *s) FLOW_MUST_CHECK;
extern FlowStatus flowi_hide_check(FlowScan *s, const FlowRec *rec,
								   bool *hiddenp) FLOW_MUST_CHECK;
extern bool flowi_hide_skip(const FlowScan *s, const FlowSource *src,
							FlowSeek *to, bool *endp);
extern FlowStatus flowi_hide_point(FlowScan *s, const FlowRec *rec,
								   bool *hiddenp, FlowRec *by) FLOW_MUST_CHECK;

/* Set s->target, copying the key. */
extern FlowStatus flowi_source_aim(FlowScan *s,
								   const FlowSeek *to) FLOW_MUST_CHECK;

#endif /* FLOW_SCAN_H */
