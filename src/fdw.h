/*-------------------------------------------------------------------------
 * fdw.h
 *	  What the files of the SQL surface share: options, a relation's schema,
 *	  conversion, planning, scans and writes.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_FDW_H
#define FLOWDB_FDW_H

#include "flowdb.h"

#include "commands/explain.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"

/* ------------------------------------------------------------ in option.c */

typedef enum FlowdbRole
{
	FLOWDB_ROLE_VALUE, /* a value column; also "no role given" */
	FLOWDB_ROLE_KEY,
	FLOWDB_ROLE_TIME,
	FLOWDB_ROLE_EXPIRE
} FlowdbRole;

/* Table options; what is not given is NULL or NIL. */
typedef struct FlowdbTableOptions
{
	char *store;
	List *key_columns; /* of char * */
	char *time_column;
	char *expire_column;
} FlowdbTableOptions;

extern void flowdb_option_table(List *options, FlowdbTableOptions *opts);
extern FlowdbRole flowdb_option_role(List *options);
extern const char *flowdb_option_role_name(FlowdbRole role);

/* ------------------------------------------------------------ in schema.c */

typedef enum FlowdbKeyType
{
	FLOWDB_KEY_TEXT,
	FLOWDB_KEY_BYTEA
} FlowdbKeyType;

typedef enum FlowdbTimeType
{
	FLOWDB_TIME_BIGINT,
	FLOWDB_TIME_TIMESTAMPTZ
} FlowdbTimeType;

typedef struct FlowdbKeyColumn
{
	AttrNumber attnum;
	FlowdbKeyType type;
} FlowdbKeyColumn;

/* The roles of a relation's columns; one chunk of memory, can be copied. */
typedef struct FlowdbTable
{
	Oid relid;
	Oid serverid;
	char store[FLOW_MAX_STORE_NAME + 1];
	AttrNumber time_attnum; /* 0: none, ts is 0 */
	FlowdbTimeType time_type;
	AttrNumber expire_attnum; /* 0: none, rows live for ever */
	FlowdbTimeType expire_type;
	int nkeys;
	FlowdbKeyColumn keys[FLEXIBLE_ARRAY_MEMBER];
} FlowdbTable;

/*
 * flowdb_schema_init
 *		Installs the hook that looks at foreign tables after CREATE and ALTER.
 * flowdb_table_get
 *		The roles of rel's columns, palloc'd; throws when they make no sense.
 * flowdb_check_table
 *		The same for what a new table may still lack: throws for what is
 *		wrong, a NOTICE for what is missing (roles may come by ALTER, and in
 *		pg_dump's output they do).
 * flowdb_owns_relation, flowdb_is_ours
 *		Is it a foreign table of ours; is the server one of ours?
 * flowdb_refuse_serializable
 *		ERROR under SERIALIZABLE, which needs predicate locks.
 */
extern void flowdb_schema_init(void);
extern FlowdbTable *flowdb_table_get(Relation rel);
extern void flowdb_check_table(Oid relid);
extern bool flowdb_is_ours(Oid serverid);
extern bool flowdb_owns_relation(Oid relid);
extern bool flowdb_is_role_column(const FlowdbTable *table, AttrNumber attnum);
extern void flowdb_refuse_serializable(void);

/* ------------------------------------------------------------ in layout.c */

/* A column of the store; its number is its place in the array. */
typedef struct FlowdbValueColumn
{
	AttrNumber attnum; /* in the relation; 0: only the store has it */
	int16 len;		   /* as in pg_type */
	bool byval;
	bool packed;  /* varlena may keep a one-byte header */
	bool copy;	  /* by reference and aligned: not usable in place */
	int32 offset; /* from the first value, in rows without NULLs; -1: varies */
} FlowdbValueColumn;

/* How the values of a store's rows are laid out; can be copied. */
typedef struct FlowdbLayout
{
	bool exists; /* false: the store has not begun, store_id is not set */
	uint32 store_id;
	int ncolumns;
	FlowdbValueColumn columns[FLEXIBLE_ARRAY_MEMBER];
} FlowdbLayout;

/*
 * flowdb_layout_read
 *		The store's layout as seen by rel, palloc'd.  Throws when a column of
 *		the same name has another type in the store.
 * flowdb_layout_write
 *		The same with every value column of rel in it: begins the store, or
 *		adds what it lacks, when needed.
 */
extern FlowdbLayout *flowdb_layout_read(Relation rel, const FlowdbTable *table,
										FlowDb *db);
extern FlowdbLayout *flowdb_layout_write(Relation rel, const FlowdbTable *table,
										 FlowDb *db);

/* ----------------------------------------------------------- in convert.c */

/*
 * Turns rows of a relation into records.  The buffers are reused; what
 * detoasting allocates goes to the current memory context.
 */
typedef struct FlowdbEncoder
{
	Relation rel;
	const FlowdbTable *table;
	const FlowdbLayout *layout;
	StringInfoData key;
	StringInfoData value;
	int64 ts;
	int64 expire_at;
} FlowdbEncoder;

/* Turns records into rows.  Lives in the memory context it was made in. */
typedef struct FlowdbDecoder
{
	const char *relname;
	const FlowdbTable *table;
	const FlowdbLayout *layout;
	bool want_key; /* any key column */
	bool want_time;
	bool want_expire;
	bool *want_keys; /* by key column */
	int nwanted;	 /* value columns */
	int *wanted;	 /* their numbers, rising */

	Datum *key_datums; /* of the last key, by key column */
	uint8 *key_bytes;  /* the last key as stored */
	Size key_len;
	Size key_cap;
	bool key_valid;

	MemoryContext row_cxt; /* copies of the current row's values */
	bool row_dirty;		   /* row_cxt holds something */
} FlowdbDecoder;

extern void flowdb_encoder_init(FlowdbEncoder *enc, Relation rel,
								const FlowdbTable *table);
extern void flowdb_encode(FlowdbEncoder *enc, TupleTableSlot *slot);
extern void flowdb_encode_key_part(const FlowdbTable *table, StringInfo buf,
								   const void *data, Size len, bool end);

/* wanted: attnums offset by FirstLowInvalidHeapAttributeNumber */
extern FlowdbDecoder *flowdb_decoder_create(Relation rel,
											const FlowdbTable *table,
											const FlowdbLayout *layout,
											Bitmapset *wanted);
extern void flowdb_decode(FlowdbDecoder *dec, const FlowVector *vec, uint32 row,
						  Datum *values, bool *isnull);

/* timestamptz <-> microseconds since 1970; false: not representable */
extern bool flowdb_time_encode(TimestampTz t, int64 *usp);
/* A value of a time column; throws when it is out of range. */
extern int64 flowdb_encode_time(Datum value, FlowdbTimeType type);
extern bool flowdb_time_decode(int64 us, TimestampTz *tp);
extern int64 flowdb_statement_now(void);

/* LEB128, as in doc/FORMAT.md */
static inline uint8 *
flowdb_put_varint(uint8 *p, uint32 v)
{
	while (v >= 0x80)
	{
		*p++ = (uint8) (v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8) v;
	return p;
}

static inline bool
flowdb_get_varint(const uint8 **pp, const uint8 *end, uint32 *vp)
{
	const uint8 *p = *pp;
	uint32 v = 0;

	for (int shift = 0; shift < 35 && p < end; shift += 7)
	{
		uint8 b = *p++;

		if (shift == 28 && b > 0x0f)
			return false;
		v |= (uint32) (b & 0x7f) << shift;
		if (b < 0x80)
		{
			*pp = p;
			*vp = v;
			return true;
		}
	}
	return false;
}

#define FLOWDB_VARINT_MAX 5

/* --------------------------------------------------------- in collation.c */

/* Does the collation compare texts as bytes? */
extern bool flowdb_collation_is_c(Oid collation);

/* ---------------------------------------------------------- in pushdown.c */

/* btree operators on date, timestamp and timestamptz: no name of its own */
#define FLOWDB_DATETIME_FAM_OID 434

/* Numbers are part of plans, which do not outlive a server. */
typedef enum FlowdbQualOp
{
	FLOWDB_OP_LT = 1, /* btree strategy numbers */
	FLOWDB_OP_LE = 2,
	FLOWDB_OP_EQ = 3,
	FLOWDB_OP_GE = 4,
	FLOWDB_OP_GT = 5,
	FLOWDB_OP_PREFIX = 6,
	FLOWDB_OP_TRUE = 7 /* holds for every row: IS NOT NULL */
} FlowdbQualOp;

#define FLOWDB_TARGET_TIME (-1)

/* A clause that bounds what the engine reads. */
typedef struct FlowdbQual
{
	RestrictInfo *rinfo;
	int target; /* number of a key column, or FLOWDB_TARGET_TIME */
	FlowdbQualOp op;
	Expr *value;	/* free of the relation's Vars */
	Oid value_type; /* for time */
	bool exact;		/* need not be rechecked */
} FlowdbQual;

/* Clauses sorted out; every clause is in pushed (exact), local or both. */
typedef struct FlowdbQuals
{
	List *pushed;			/* FlowdbQual *, OP_TRUE left out */
	List *local;			/* RestrictInfo * */
	int nfixed;				/* leading key columns fixed by equality */
	bool time_fixed;		/* time column fixed by equality */
	bool collation_blocked; /* a range was not pushed for its collation */
} FlowdbQuals;

extern bool flowdb_qual_match(PlannerInfo *root, RelOptInfo *rel,
							  const FlowdbTable *table, RestrictInfo *rinfo,
							  FlowdbQual *qual, bool *collationp);
extern void flowdb_quals_split(PlannerInfo *root, RelOptInfo *rel,
							   const FlowdbTable *table, List *rinfos,
							   FlowdbQuals *quals);
extern Node *flowdb_strip_relabel(Node *node);

/* -------------------------------------------------------------- in plan.c */

/* Planner's view of one relation; in baserel->fdw_private. */
typedef struct FlowdbRel
{
	FlowdbTable *table;
	FlowdbQuals quals; /* of baserestrictinfo */
	double records;	   /* in the store */
	double bytes;
	uint32 sstables;
	bool has_ts;
	int64 ts_min;
	int64 ts_max;
} FlowdbRel;

/* Members of ForeignScan.fdw_private, in this order. */
typedef enum FlowdbScanPrivate
{
	FLOWDB_SCAN_WANTED,	 /* int list: attnums the query needs */
	FLOWDB_SCAN_TARGETS, /* int list, a member an expression of fdw_exprs */
	FLOWDB_SCAN_OPS,	 /* int list, likewise */
	FLOWDB_SCAN_TYPES,	 /* oid list, likewise */
	FLOWDB_SCAN_FLAGS	 /* int list of one: bits below */
} FlowdbScanPrivate;

#define FLOWDB_SCAN_REVERSE 1
#define FLOWDB_SCAN_COLLATION 2 /* EXPLAIN: "not pushed: collation" */
#define FLOWDB_SCAN_ALL_COLUMNS 4

extern void flowdbGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel,
									Oid foreigntableid);
extern void flowdbGetForeignPaths(PlannerInfo *root, RelOptInfo *baserel,
								  Oid foreigntableid);
extern ForeignScan *flowdbGetForeignPlan(PlannerInfo *root, RelOptInfo *baserel,
										 Oid foreigntableid,
										 ForeignPath *best_path, List *tlist,
										 List *scan_clauses, Plan *outer_plan);
extern bool flowdbIsForeignScanParallelSafe(PlannerInfo *root, RelOptInfo *rel,
											RangeTblEntry *rte);

/* -------------------------------------------------------------- in cost.c */

/* Estimates of one path. */
typedef struct FlowdbCost
{
	double rows;
	Cost startup;
	Cost total;
} FlowdbCost;

extern void flowdb_cost_init(FlowdbRel *fr, RelOptInfo *baserel);
extern void flowdb_cost_estimate(PlannerInfo *root, RelOptInfo *baserel,
								 const FlowdbRel *fr, const FlowdbQuals *quals,
								 FlowdbCost *cost);

/* ---------------------------------------------------------- in execscan.c */

/* State of one scan node; in ForeignScanState.fdw_state. */
typedef struct FlowdbScanState
{
	FlowdbTable *table;
	FlowDb *db;
	FlowdbDecoder *decoder; /* NULL until the store is known */
	Bitmapset *wanted;
	bool reverse;

	int nquals;
	int *targets; /* arrays by pushed qual */
	FlowdbQualOp *ops;
	Oid *types;
	List *exprs; /* ExprState * */

	FlowScan *scan;
	bool started;
	bool finished;
	uint32 want; /* rows of the next vector */
	const FlowVector *vec;
	uint32 next;		 /* row of vec to return next */
	FlowScanStats stats; /* of scans closed so far */
	MemoryContext bounds_cxt;
	MemoryContextCallback callback;
} FlowdbScanState;

extern void flowdbBeginForeignScan(ForeignScanState *node, int eflags);
extern TupleTableSlot *flowdbIterateForeignScan(ForeignScanState *node);
extern void flowdbReScanForeignScan(ForeignScanState *node);
extern void flowdbEndForeignScan(ForeignScanState *node);
extern void flowdb_scan_stats(FlowdbScanState *state, FlowScanStats *stats);

/* ------------------------------------------------------------ in bounds.c */

/* Evaluate the pushed quals into spec; false: no row can match. */
extern bool flowdb_bounds_eval(FlowdbScanState *state, ExprContext *econtext,
							   FlowScanSpec *spec);

/* -------------------------------------------------------- in execmodify.c */

extern int flowdbIsForeignRelUpdatable(Relation rel);
extern List *flowdbPlanForeignModify(PlannerInfo *root, ModifyTable *plan,
									 Index resultRelation, int subplan_index);
extern void flowdbBeginForeignModify(ModifyTableState *mtstate,
									 ResultRelInfo *rinfo, List *fdw_private,
									 int subplan_index, int eflags);
extern TupleTableSlot *flowdbExecForeignInsert(EState *estate,
											   ResultRelInfo *rinfo,
											   TupleTableSlot *slot,
											   TupleTableSlot *planSlot);
extern void flowdbEndForeignModify(EState *estate, ResultRelInfo *rinfo);
extern void flowdbBeginForeignInsert(ModifyTableState *mtstate,
									 ResultRelInfo *rinfo);
extern void flowdbEndForeignInsert(EState *estate, ResultRelInfo *rinfo);

/* ----------------------------------------------------------- in explain.c */

extern void flowdbExplainForeignScan(ForeignScanState *node, ExplainState *es);
extern void flowdbExplainForeignModify(ModifyTableState *mtstate,
									   ResultRelInfo *rinfo, List *fdw_private,
									   int subplan_index, ExplainState *es);

#endif /* FLOWDB_FDW_H */
