/*-------------------------------------------------------------------------
 * agg.h
 *	  Aggregates that run over the engine's vectors.
 *
 * aggmatch.c says what of a query can, aggplan.c makes path and plan,
 * aggbucket.c cuts time into buckets, agggroup.c keeps groups, aggfinal.c
 * makes PostgreSQL's values of results, aggslice.c adds rows to groups,
 * aggexec.c runs it all, aggorder.c window of time by window, aggrights.c guards
 * functions, aggexplain.c tells.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_AGG_H
#define FLOWDB_AGG_H

#include "fdw.h"

#include "../engine/aggregate.h"

/* ---------------------------------------------------------------- planning */

/* What a member of fdw_scan_tlist is. */
typedef enum FlowdbAggItemKind
{
	FLOWDB_AGG_KEY = 1,	   /* number: of the key column */
	FLOWDB_AGG_BUCKET = 2, /* the one bucket of time, or the time itself */
	FLOWDB_AGG_CALL = 3	   /* number: of the function; attnum: its column */
} FlowdbAggItemKind;

typedef struct FlowdbAggItem
{
	FlowdbAggItemKind kind;
	int number;
	AttrNumber attnum; /* 0: of count(*) */
} FlowdbAggItem;

/* The functions that make buckets. */
typedef enum FlowdbBucketKind
{
	FLOWDB_BUCKET_NONE = 0,
	FLOWDB_BUCKET_RAW = 1,	  /* each time is a group */
	FLOWDB_BUCKET_TRUNC = 2,  /* date_trunc(unit, time) */
	FLOWDB_BUCKET_BIN = 3,	  /* date_bin(stride, time, origin) */
	FLOWDB_BUCKET_STRIDE = 4, /* flowdb_time_bucket(stride, time) */
} FlowdbBucketKind;

/* A grouping that the engine can do; in the upper relation's fdw_private. */
typedef struct FlowdbAggPlan
{
	RelOptInfo *input;
	List *tlist;		 /* fdw_scan_tlist: groups, then calls */
	List *items;		 /* of FlowdbAggItem *, one a member of tlist */
	List *having;		 /* bare clauses */
	List *groups;		 /* all that is grouped by */
	List *keys;			 /* of these, the key columns */
	int prefix;			 /* leading key columns that are grouped by or fixed */
	bool by_prefix_only; /* no column behind them is grouped by */
	bool partial;		 /* calls return states, for PostgreSQL to combine */
	FlowdbBucketKind bucket;
	Oid bucket_function;
	List *bucket_args; /* without the time */
} FlowdbAggPlan;

/* Members of the list that is FLOWDB_SCAN_MORE of fdw_private. */
typedef enum FlowdbAggPrivate
{
	FLOWDB_AGG_ITEMS, /* int list, three an item */
	FLOWDB_AGG_HOW,	  /* int list: bucket kind, prefix, by_prefix_only,
						 * number of the relation in the planner's range table,
						 * partial */
	FLOWDB_AGG_BUCKET_FUNCTION, /* oid list of one */
	FLOWDB_AGG_CLAUSES,			/* pushed clauses, for EXPLAIN */
	FLOWDB_AGG_ORDER			/* int list: a FlowdbAggDirection, buckets of
								 * the first window */
} FlowdbAggPrivate;

/* The order of groups, by their bucket. */
typedef enum FlowdbAggDirection
{
	FLOWDB_AGG_ANYHOW = 0,
	FLOWDB_AGG_RISING = 1,
	FLOWDB_AGG_FALLING = 2
} FlowdbAggDirection;

/* ----------------------------------------------------------- in aggmatch.c */

/*
 * flowdb_agg_match
 *		Can all that output_rel wants be worked out in the engine?  NULL: no.
 *		partial: it wants transition states of the calls.
 */
extern FlowdbAggPlan *flowdb_agg_match(PlannerInfo *root, RelOptInfo *input_rel,
									   RelOptInfo *output_rel,
									   const GroupPathExtraData *extra,
									   bool partial);

/* ------------------------------------------------------------ in aggplan.c */

/* order: the path's fdw_private, which is FLOWDB_AGG_ORDER. */
extern ForeignScan *flowdb_agg_plan(PlannerInfo *root, RelOptInfo *rel,
									List *order, List *tlist, Plan *outer_plan);

/* ---------------------------------------------------------- in aggbucket.c */

/* How the edges of buckets are found, once the arguments are known. */
typedef enum FlowdbBucketRule
{
	FLOWDB_RULE_RAW,   /* a time is its own bucket */
	FLOWDB_RULE_NULL,  /* the one bucket is NULL */
	FLOWDB_RULE_FIXED, /* whole strides from the origin */
	FLOWDB_RULE_LOCAL, /* the same by the clock of the session's time zone */
	FLOWDB_RULE_CALL   /* by the function itself */
} FlowdbBucketRule;

/*
 * The bucket of time that a scan stands in.  Times are the engine's, values
 * the column's own: microseconds since 2000 of timestamps and dates, of a
 * bigint the number.
 */
typedef struct FlowdbBucket
{
	/* constant after init */
	FlowdbBucketKind kind;
	FlowdbTimeType type;
	int nargs;
	ExprState *args[2];
	FmgrInfo function;
	MemoryContext args_cxt;
	MemoryContext call_cxt; /* for what calls leave behind */

	/* once a scan, at its first row */
	bool resolved;
	Datum values[2];
	FlowdbBucketRule rule;
	int64 stride;
	int64 origin;
	const int64 *lengths; /* CALL: that a bucket may have, falling */
	bool zoned;			  /* what it is depends on the time zone */

	/* LOCAL and zoned: times, since 2000, of the zone's offset */
	int64 span_first;
	int64 span_last;
	int64 offset_us;
	int64 limit; /* up to which bucket follows bucket by whole strides */

	/* of the present bucket; first > last: there is none */
	int64 first; /* its rows have times from first to last */
	int64 last;
	int64 value;
	bool null;	/* value is NULL, as an argument is */
	bool whole; /* the next one begins right behind it, if within limit */
} FlowdbBucket;

/*
 * flowdb_bucket_init
 *		args: expressions, nothing is evaluated yet.
 * flowdb_bucket_restart
 *		Evaluate the arguments anew at the next row.
 * flowdb_bucket_find
 *		Go to the bucket of a time; memory of nothing is left.  Throws what the
 *		function would.
 * flowdb_bucket_datum
 *		A bucket's value as the column's type.
 * flowdb_bucket_rises
 *		Do later times never have an earlier bucket?
 * flowdb_bucket_width
 *		For the planner: microseconds, or 0 when not known.
 */
extern void flowdb_bucket_init(FlowdbBucket *b, FlowdbBucketKind kind,
							   FlowdbTimeType type, Oid function, List *args,
							   PlanState *parent);
extern void flowdb_bucket_restart(FlowdbBucket *b);
extern void flowdb_bucket_find(FlowdbBucket *b, ExprContext *econtext,
							   int64 ts);
extern Datum flowdb_bucket_datum(const FlowdbBucket *b, int64 value);
extern bool flowdb_bucket_rises(FlowdbBucketKind kind, FlowdbTimeType type);
extern double flowdb_bucket_width(FlowdbBucketKind kind, List *args);

/* ----------------------------------------------------------- in agggroup.c */

/* One group; its FlowAgg stand in it. */
typedef struct FlowdbAggGroup
{
	struct FlowdbAggGroup *next;   /* in the order in which they came */
	struct FlowdbAggGroup *follow; /* whose rows came next, the last time */
	const uint8 *key;			   /* of its first row, whole */
	const uint8 *part;			   /* the columns of it that are grouped by */
	uint32 key_len;
	uint32 part_len;
	uint32 part_hash;
	uint32 hash; /* of part and bucket */
	bool bucket_null;
	int64 bucket;
	FlowAgg aggs[FLEXIBLE_ARRAY_MEMBER];
} FlowdbAggGroup;

/* The groups that are under way. */
typedef struct FlowdbAggGroups
{
	int naggs;
	const FlowAggOp *ops;
	uint32 n;
	FlowdbAggGroup *first;
	FlowdbAggGroup *last;	 /* that was added */
	FlowdbAggGroup *current; /* that was found last */
	struct groups_hash *table;
	MemoryContext cxt; /* groups and table */
	double bytes;	   /* of them, as flowdb_groups_bytes has it */
	double most_bytes; /* that a hash table may have */

	/* of this pass: from pass_first on, so many hashes */
	uint64 pass_first;
	uint64 pass_hashes;
} FlowdbAggGroups;

/*
 * flowdb_groups_init
 *		ops: one an aggregate, borrowed.
 * flowdb_groups_find
 *		The group with the part, its hash and the bucket of probe, made with
 *		its key when there is none; it is the current one then.
 * flowdb_groups_same
 *		Is that the current one already?
 * flowdb_groups_sort
 *		Bring them in the order of their buckets.
 * flowdb_groups_forget
 *		All of them.
 *
 * When all groups do not fit into memory the rows are read in several passes,
 * each for some of the groups, by their hash.
 * flowdb_groups_all
 *		One pass for all of them, the next one is the first.
 * flowdb_groups_split
 *		Forget all, and begin the pass anew with less of them.  False: it has
 *		one hash only.
 * flowdb_groups_in_pass
 *		Is probe's group of this pass?
 * flowdb_groups_next_pass
 *		False: this one was the last.
 */
extern void flowdb_groups_init(FlowdbAggGroups *g, int naggs,
							   const FlowAggOp *ops);
extern FlowdbAggGroup *flowdb_groups_find(FlowdbAggGroups *g,
										  FlowdbAggGroup *probe);
extern bool flowdb_groups_same(const FlowdbAggGroups *g,
							   const FlowdbAggGroup *probe);
extern void flowdb_groups_sort(FlowdbAggGroups *g,
							   FlowdbAggDirection direction);
extern void flowdb_groups_forget(FlowdbAggGroups *g);
extern void flowdb_groups_all(FlowdbAggGroups *g);
extern bool flowdb_groups_split(FlowdbAggGroups *g);
extern bool flowdb_groups_in_pass(const FlowdbAggGroups *g,
								  FlowdbAggGroup *probe);
extern bool flowdb_groups_next_pass(FlowdbAggGroups *g);
/* For the planner: bytes of so many groups. */
extern double flowdb_groups_bytes(double ngroups, int naggs, double key_bytes);

/* ----------------------------------------------------------- in aggfinal.c */

/* What of a FlowAgg the function's result is. */
typedef enum FlowdbAggResult
{
	FLOWDB_RESULT_COUNT,
	FLOWDB_RESULT_BIGINT,  /* a sum of integers */
	FLOWDB_RESULT_NUMERIC, /* the same */
	FLOWDB_RESULT_AVERAGE, /* of integers */
	FLOWDB_RESULT_VALUE,   /* a minimum or maximum, of the argument's type */
	FLOWDB_RESULT_SUM,	   /* of floats, likewise */
	FLOWDB_RESULT_MEAN	   /* of floats */
} FlowdbAggResult;

typedef struct FlowdbAggFunction
{
	Oid oid;
	Oid type; /* of its argument; 0: any, or none */
	FlowAggOp op;
	FlowdbAggResult result;
} FlowdbAggFunction;

/*
 * flowdb_agg_function
 *		Number in flowdb_agg_functions of a function; -1: not one of ours.
 * flowdb_agg_result
 *		The result in the current memory context; *nullp: there is none.
 * flowdb_agg_state
 *		Instead of it the transition state that PostgreSQL's own function would
 *		have come to, serialized if it is internal.
 * flowdb_agg_state_type
 *		Of what type that is; 0: there is none that we can make.
 */
extern const FlowdbAggFunction flowdb_agg_functions[];
extern int flowdb_agg_function(Oid oid);
extern Datum flowdb_agg_result(const FlowdbAggFunction *f, const FlowAgg *agg,
							   bool *nullp);
extern Datum flowdb_agg_state(const FlowdbAggFunction *f, const FlowAgg *agg,
							  bool *nullp);
extern Oid flowdb_agg_state_type(const FlowdbAggFunction *f);

/* ---------------------------------------------------------- in aggrights.c */

/* 42501 unless the user may call what the engine does in its place: a function,
 * all functions and operators of clauses that were pushed. */
extern void flowdb_agg_check_execute(Oid function);
extern void flowdb_agg_check_clauses(List *clauses);

/* ----------------------------------------------------------- in aggorder.c */

#define FLOWDB_WINDOW_GROWTH 4 /* a window has so many times as many buckets */

/* Times are cut into windows, taken one after the other in an order. */
typedef struct FlowdbAggOrder
{
	/* constant after init */
	FlowdbAggDirection direction;
	double width;		  /* microseconds of a bucket; 0: of times themselves */
	double first_buckets; /* of the first window */

	bool begun;
	bool done;	 /* the present window is the last */
	int64 at;	 /* falling: the last time of the next window, else the first */
	int64 near;	 /* hint: the next window's buckets are counted from here */
	int64 far;	 /* hint: behind it there is nothing */
	double step; /* microseconds */
	double buckets; /* of the next window */
	uint64 windows; /* looked into so far, all loops */
} FlowdbAggOrder;

/*
 * flowdb_order_cuts
 *		For the planner: can the times be cut between buckets, by arguments that
 *		are known and none of which is an error?
 * flowdb_order_next
 *		Go to the next window: the scan reads it then.  False: there is none.
 *		group_bytes: what the groups of the last window took.
 */
extern bool flowdb_order_cuts(FlowdbBucketKind kind, FlowdbTimeType type,
							  List *args);
extern void flowdb_order_init(FlowdbAggOrder *o, const ForeignScan *plan,
							  FlowdbBucketKind kind, List *args);
extern void flowdb_order_restart(FlowdbAggOrder *o);
extern bool flowdb_order_next(FlowdbAggOrder *o, FlowdbBucket *b,
							  FlowdbScanState *scan, ForeignScanState *node,
							  double group_bytes);

/* ------------------------------------------------------------ in aggexec.c */

extern void flowdb_agg_begin(ForeignScanState *node, int eflags);
extern TupleTableSlot *flowdb_agg_iterate(ForeignScanState *node);
extern void flowdb_agg_rescan(ForeignScanState *node);
/* Windows of time that an ordered node has looked into; passes over the rows
 * beyond the first one of each loop. */
extern uint64 flowdb_agg_windows(const ForeignScanState *node);
extern uint64 flowdb_agg_passes(const ForeignScanState *node);

/* Is it a node that returns groups?  Its state begins with that of a scan. */
static inline bool
flowdb_agg_is(const ForeignScanState *node)
{
	return ((const Scan *) node->ss.ps.plan)->scanrelid == 0;
}

/* --------------------------------------------------------- in aggexplain.c */

extern void flowdb_agg_explain(ForeignScanState *node, ExplainState *es);

/* The relation's number in the executor's range table. */
extern Index flowdb_agg_relation(const ForeignScan *plan);

#endif /* FLOWDB_AGG_H */
