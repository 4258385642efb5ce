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
#include "keytype.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"

typedef struct FlowdbTable FlowdbTable;

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
	bool has_ttl;	  /* one of ttl and default_ttl_secs was given */
	int64 ttl_us;	  /* -1: never, whatever the server says */
	int on_duplicate; /* a FlowdbOnDuplicate */
	int merge_policy; /* a FlowPolicyKind, -1: not given */
} FlowdbTableOptions;

/*
 * Options (List of DefElem) that passed the validator, taken apart.
 * flowdb_option_server gives to settings what a server's say to the engine.
 */
extern void flowdb_option_table(List *options, FlowdbTableOptions *opts);
extern FlowdbRole flowdb_option_role(List *options);
extern const char *flowdb_option_role_name(FlowdbRole role);
extern void flowdb_option_server(List *options, FlowSettings *settings);

/* ---------------------------------------------------------- in optvalue.c */

/* An option that is a number: its rule. */
typedef struct FlowdbNumber
{
	const char *name;
	FlowSetting setting;
	int unit; /* GUC_UNIT_*, of what is written without one; 0: none */
	int64 min;
	int64 max;
	int64 scale;	  /* of the setting, in units of the option */
	const char *rule; /* for the hint */
} FlowdbNumber;

/*
 * Values of options; each throws 22023-like FDW errors that name option,
 * value and rule.
 * flowdb_value_ttl
 *		An interval in microseconds, months of 30 days; -1: 'never'.
 * flowdb_value_names
 *		Column names as SQL writes them; NIL: no such list.
 */
extern const FlowdbNumber *flowdb_value_number_rule(const char *name);
extern int64 flowdb_value_number(const FlowdbNumber *rule, const char *value);
extern bool flowdb_value_bool(const char *name, const char *value);
extern int64 flowdb_value_ttl(const char *name, const char *value);
extern int flowdb_value_policy(const char *name, const char *value);
extern int flowdb_value_compression(const char *name, const char *value);
extern int flowdb_value_duplicate(const char *name, const char *value);
extern List *flowdb_value_names(const char *value);

/* ------------------------------------------------------ in options_apply.c */

/*
 * The engine keeps what a server's options say, so that workers, standbys
 * and restarts know it without catalogs (S11).  It is told at the commit of
 * CREATE and ALTER SERVER.  A crash in between, or an abort, leaves it behind
 * or ahead: whoever writes looks whether both agree, and tells it again.
 *
 * flowdb_options_note_server, _table
 *		A statement changed the server's options, or the table's policy.
 * flowdb_options_heal
 *		Before a layout is made for writing; cheap when nothing has changed.
 * flowdb_options_store
 *		Give the store the merge policy of the table's option.
 */
extern void flowdb_options_init(void);
extern void flowdb_options_note_server(Oid serverid);
extern void flowdb_options_note_table(Oid relid);
extern void flowdb_options_heal(Oid serverid, FlowDb *db);
extern void flowdb_options_store(const FlowdbTable *table, FlowDb *db,
								 uint32 store_id);

/* ------------------------------------------------------------ in schema.c */

/* What INSERT and COPY do when there is a row with that key and time. */
typedef enum FlowdbOnDuplicate
{
	FLOWDB_DUPLICATE_REPLACE,
	FLOWDB_DUPLICATE_IGNORE,
	FLOWDB_DUPLICATE_ERROR
} FlowdbOnDuplicate;

typedef struct FlowdbKeyColumn
{
	AttrNumber attnum;
	FlowdbKeyType type;
} FlowdbKeyColumn;

/* The roles of a relation's columns; one chunk of memory, can be copied. */
struct FlowdbTable
{
	Oid relid;
	Oid serverid;
	char store[FLOW_MAX_STORE_NAME + 1];
	AttrNumber time_attnum; /* 0: none, ts is 0 */
	FlowdbTimeType time_type;
	AttrNumber expire_attnum; /* 0: none, rows live for ever */
	FlowdbTimeType expire_type;
	bool owned; /* the store is named after the table's oid */
	FlowdbOnDuplicate on_duplicate;
	bool has_ttl;	  /* of the table, or else of its server */
	int64 ttl_us;	  /* from the row's time on; > 0 */
	int merge_policy; /* of its store, a FlowPolicyKind; -1: none given */
	int nkeys;
	FlowdbKeyColumn keys[FLEXIBLE_ARRAY_MEMBER];
};

/*
 * flowdb_table_get
 *		The roles of rel's columns, palloc'd; throws when they make no sense.
 * flowdb_table_try
 *		The same, NULL where flowdb_check_table would give a NOTICE; silent.
 * flowdb_check_table
 *		The same for what a new table may still lack: throws for what is
 *		wrong, a NOTICE for what is missing (roles may come by ALTER, and in
 *		pg_dump's output they do).
 * flowdb_owns_relation, flowdb_is_ours
 *		Is it a foreign table of ours; is the server one of ours?
 * flowdb_refuse_serializable
 *		ERROR under SERIALIZABLE, which needs predicate locks.
 */
extern FlowdbTable *flowdb_table_get(Relation rel);
extern FlowdbTable *flowdb_table_try(Relation rel);
extern void flowdb_check_table(Oid relid);
extern bool flowdb_is_ours(Oid serverid);
extern bool flowdb_owns_relation(Oid relid);
extern void flowdb_refuse_serializable(void);

/* ------------------------------------------------------------- in roles.c */

extern bool flowdb_is_role_column(const FlowdbTable *table, AttrNumber attnum);
/* When a row of that time expires that has no expiry of its own: the rule of
 * the table's TTL, saturating; FLOW_NEVER without one. */
extern int64 flowdb_row_expiry(const FlowdbTable *table, int64 ts);

/* ------------------------------------------------------------- in alter.c */

/* Installs the hook that looks at what CREATE and ALTER have done. */
extern void flowdb_alter_init(void);

/* ------------------------------------------------------------ in import.c */

extern List *flowdbImportForeignSchema(ImportForeignSchemaStmt *stmt,
									   Oid serverid);

/* ------------------------------------------------------------ in layout.c */

/* A column of the store; its number is its place in the array. */
typedef struct FlowdbValueColumn
{
	AttrNumber attnum; /* in the relation; 0: only the store has it */
	int16 len;		   /* as in pg_type */
	bool byval;
	bool packed;	/* varlena may keep a one-byte header */
	bool copy;		/* by reference and aligned: not usable in place */
	bool real;		/* float4, float8, or a domain over one of them */
	uint32 missing; /* rows without the column: from the layout's first byte on,
					 * its value as in a row; 0: NULL */
	uint32 missing_len;
} FlowdbValueColumn;

/* How the values of a store's rows are laid out; can be copied, of bytes. */
typedef struct FlowdbLayout
{
	Size bytes;	 /* of all of it, missing values behind the columns too */
	bool exists; /* false: the store has not begun, store_id is not set */
	uint32 store_id;
	int ncolumns;
	FlowdbValueColumn columns[FLEXIBLE_ARRAY_MEMBER];
} FlowdbLayout;

/*
 * flowdb_store_id
 *		A store's id, or 0 when it has not begun.
 * flowdb_layout_read
 *		The store's layout as seen by rel, palloc'd.  Throws when a column of
 *		the same name has another type in the store.
 * flowdb_layout_write
 *		The same with every value column of rel in it: begins the store, or
 *		adds what it lacks, when needed.
 */
extern uint32 flowdb_store_id(FlowDb *db, const char *store);
extern FlowdbLayout *flowdb_layout_read(Relation rel, const FlowdbTable *table,
										FlowDb *db);
extern FlowdbLayout *flowdb_layout_write(Relation rel, const FlowdbTable *table,
										 FlowDb *db);

/* ------------------------------------------------------------- in shape.c */

/*
 * flowdb_layout_shape
 *		The layout's columns as the engine reads them, palloc'd; borrows the
 *		layout.
 */
extern void flowdb_layout_shape(const FlowdbLayout *layout, FlowShape *shape);

/* --------------------------------------------------------- in dropstore.c */

/*
 * flowdb_refuse_shown
 *		ERROR when a foreign table shows the store.
 * flowdb_store_ends
 *		The store is to be dropped at the commit of the transaction, unless
 *		a table shows it then; the caller holds its lock.
 * flowdb_store_begun
 *		The store has just begun; when the table owns it and was made by this
 *		transaction, it goes with the table if that is rolled back.
 */
extern void flowdb_refuse_shown(Oid serverid, const char *store);
extern void flowdb_store_ends(Oid serverid, const char *store);
extern void flowdb_store_begun(Relation rel, const FlowdbTable *table,
							   FlowDb *db, uint32 store_id);

/* ------------------------------------------- in encode.c and in decode.c */

#define FLOWDB_ROW_VERSION 1

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

typedef struct FlowdbDecodeColumn FlowdbDecodeColumn;
typedef struct FlowdbRawRow FlowdbRawRow;

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
	FlowShape shape;
	int nwanted;				 /* value columns */
	uint32 *wanted;				 /* their numbers in the shape, rising */
	FlowdbDecodeColumn *columns; /* the same, for decode.c */
	FlowdbRawRow *raw;			 /* NULL: was not needed yet */

	Datum *key_datums; /* of the last key, by key column */
	char **key_rooms;  /* where those by reference stand; else NULL */
	uint32 *key_ends;  /* where each ends in the key */
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
/* A value column's value as it stands in a row, appended to buf. */
extern void flowdb_encode_missing(Relation rel, const FlowdbValueColumn *col,
								  Datum value, StringInfo buf);

/* wanted: attnums offset by FirstLowInvalidHeapAttributeNumber */
extern FlowdbDecoder *flowdb_decoder_create(Relation rel,
											const FlowdbTable *table,
											const FlowdbLayout *layout,
											Bitmapset *wanted);
extern void flowdb_decoder_want(const FlowdbDecoder *dec, FlowScanSpec *spec);
extern void flowdb_decoder_report(const FlowdbDecoder *dec, FlowStatus st);
/*
 * flowdb_decode_key
 *		All columns of a key, by their number, until the next key; *endsp: where
 *		each ends in the key's bytes.  Throws when it is no key of the table.
 */
extern const Datum *flowdb_decode_key(FlowdbDecoder *dec, const uint8 *key,
									  Size len, const uint32 **endsp);
extern void flowdb_decode(FlowdbDecoder *dec, const FlowVector *vec, uint32 row,
						  Datum *values, bool *isnull);

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
	FLOWDB_OP_PREFIX = 6, /* begins with the value */
	FLOWDB_OP_LIKE = 7,	  /* begins as the pattern does */
	FLOWDB_OP_ANY = 8,	  /* equals one of the values */
	FLOWDB_OP_TRUE = 9,	  /* holds for every row: IS NOT NULL */
	FLOWDB_OP_FALSE = 10, /* holds for none: IS NULL */
	FLOWDB_OP_NE = 11,	  /* of value columns only, as the next two */
	FLOWDB_OP_NULL = 12,
	FLOWDB_OP_NOT_NULL = 13,
	FLOWDB_OP_ROW_LT = 21, /* 20 + strategy: of the columns from target on, */
	FLOWDB_OP_ROW_LE = 22, /* as a row */
	FLOWDB_OP_ROW_GE = 24,
	FLOWDB_OP_ROW_GT = 25
} FlowdbQualOp;

#define FLOWDB_OP_ROW 20

#define FLOWDB_TARGET_TIME (-1)

/*
 * A clause that bounds what the engine reads, or that filters it by a value
 * column.  It has one value; TRUE, FALSE, NULL and NOT_NULL have none, ANY has
 * any number, ROW has one a column.
 */
typedef struct FlowdbQual
{
	RestrictInfo *rinfo;
	int target; /* number of a key column, or FLOWDB_TARGET_TIME; of a filter
				 * the attnum of its column */
	FlowdbQualOp op;
	List *values; /* of Expr *, free of the relation's Vars */
	List *types;  /* of Oid: the value's type, or an array's elements' */
	List *arrays; /* of int: 1, an array whose elements are the values */
	bool exact;	  /* need not be rechecked */
} FlowdbQual;

/* Clauses sorted out; every clause is in pushed (exact), in filters, in local,
 * or in pushed and local. */
typedef struct FlowdbQuals
{
	List *pushed;			/* bounds: FlowdbQual *, OP_TRUE left out */
	List *filters;			/* of value columns: FlowdbQual *, all exact */
	List *local;			/* RestrictInfo * */
	List *rest;				/* of filters and local, in the order given */
	int nfixed;				/* leading key columns fixed by equality */
	int npoints;			/* leading key columns fixed by EQ or ANY */
	bool time_fixed;		/* time column fixed by equality */
	bool collation_blocked; /* a range was not pushed for its collation */
} FlowdbQuals;

/*
 * flowdb_qual_match
 *		Does the clause bound a key column or the time of rel?  qual: out,
 *		filled on true.  *collationp is set (never cleared) when only its
 *		collation keeps a clause from being pushed.
 * flowdb_quals_split
 *		Sort clauses into those the engine applies and those it does not.
 */
extern bool flowdb_qual_match(PlannerInfo *root, RelOptInfo *rel,
							  const FlowdbTable *table, RestrictInfo *rinfo,
							  FlowdbQual *qual, bool *collationp);
extern void flowdb_quals_split(PlannerInfo *root, RelOptInfo *rel,
							   const FlowdbTable *table, List *rinfos,
							   FlowdbQuals *quals);
extern Node *flowdb_strip_relabel(Node *node);

/* --------------------------------------------------------- in valuequal.c */

/*
 * flowdb_value_match
 *		Does the engine apply the clause to a value column of rel, exactly?
 *		qual: out, filled on true.
 */
extern bool flowdb_value_match(PlannerInfo *root, RelOptInfo *rel,
							   const FlowdbTable *table, RestrictInfo *rinfo,
							   FlowdbQual *qual);

/* ---------------------------------------------------------- in pushlike.c */

/*
 * The fixed beginning of a LIKE pattern into prefix; false: it ends in an
 * escape character, which is LIKE's error to raise.  *wildcardp: the pattern
 * goes on with a wildcard; *restp: with more than one "%".
 */
extern bool flowdb_like_prefix(const char *pattern, Size len, StringInfo prefix,
							   bool *wildcardp, bool *restp);

/* -------------------------------------------------------------- in plan.c */

/* Planner's view of one relation; in baserel->fdw_private. */
typedef struct FlowdbRel
{
	FlowdbTable *table;
	FlowdbQuals quals; /* of baserestrictinfo */
	bool known;		   /* there are records, so that counters tell */
	bool analyzed;	   /* there are statistics on all key columns */
	double records;	   /* in the store */
	double bytes;
	double keys; /* distinct ones */
	uint32 sstables;
	bool has_ts;
	int64 ts_min;
	int64 ts_max;
} FlowdbRel;

/* Members of ForeignScan.fdw_private, in this order. */
typedef enum FlowdbScanPrivate
{
	FLOWDB_SCAN_WANTED,	 /* int list: attnums the query needs */
	FLOWDB_SCAN_QUALS,	 /* int list, three a qual: target, op, values */
	FLOWDB_SCAN_TYPES,	 /* oid list, a member an expression of fdw_exprs */
	FLOWDB_SCAN_ARRAYS,	 /* int list, likewise */
	FLOWDB_SCAN_FLAGS,	 /* int list of one: bits below */
	FLOWDB_SCAN_LOCK,	 /* how rows are locked: flowdb_plan_lock */
	FLOWDB_SCAN_FILTERS, /* int list as FLOWDB_SCAN_QUALS, of the filters, whose
						  * expressions and clauses stand behind the others */
	FLOWDB_SCAN_MORE	 /* of other nodes: agg.h */
} FlowdbScanPrivate;

#define FLOWDB_SCAN_REVERSE 1
#define FLOWDB_SCAN_COLLATION 2 /* EXPLAIN: "not pushed: collation" */
#define FLOWDB_SCAN_ALL_COLUMNS 4
#define FLOWDB_SCAN_ONE_ROW 8 /* the first row may be all that is asked for */

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
/*
 * flowdb_plan_scan
 *		A plan's fdw_private for a scan of the base relation: the members of
 *		FlowdbScanPrivate.  wanted: attnums, to which those of filters are
 *		added.  *exprsp: for fdw_exprs.
 */
extern List *flowdb_plan_scan(PlannerInfo *root, RelOptInfo *baserel,
							  const FlowdbQuals *quals, List *wanted, int flags,
							  List **exprsp);
/* For fdw_recheck_quals: the clauses of bounds and filters, in the order of
 * the plan's members. */
extern List *flowdb_plan_clauses(const FlowdbQuals *quals);

/* -------------------------------------------------------------- in cost.c */

/* Estimates of one path. */
typedef struct FlowdbCost
{
	double rows;
	Cost startup;
	Cost total;
	Cost disk;	  /* of total: what no worker takes off another */
	double bytes; /* that are read, of keys and values */
} FlowdbCost;

/*
 * flowdb_cost_init
 *		Counters of the table's store into fr, and the relation's size.
 * flowdb_cost_width
 *		The width of columns of varying length without statistics.
 * flowdb_cost_estimate
 *		Rows and cost of a path that applies quals.
 */
extern void flowdb_cost_init(FlowdbRel *fr, RelOptInfo *baserel);
extern void flowdb_cost_width(PlannerInfo *root, RelOptInfo *baserel,
							  const FlowdbRel *fr, TupleDesc desc);
extern void flowdb_cost_estimate(PlannerInfo *root, RelOptInfo *baserel,
								 const FlowdbRel *fr, const FlowdbQuals *quals,
								 FlowdbCost *cost);
/*
 * flowdb_cost_vectors
 *		The same for who takes vectors, not rows; without quals->local.
 * flowdb_cost_span
 *		Microseconds from the first to the last row within the bounds; 0: not
 *		known.
 */
extern void flowdb_cost_vectors(PlannerInfo *root, RelOptInfo *baserel,
								const FlowdbRel *fr, const FlowdbQuals *quals,
								FlowdbCost *cost);
extern double flowdb_cost_span(PlannerInfo *root, const FlowdbRel *fr,
							   const FlowdbQuals *quals);

/* ---------------------------------------------------------- in relstats.c */

extern void flowdb_relstats_init(void); /* a hook, from _PG_init */
/* Has ANALYZE left statistics on the column? */
extern bool flowdb_has_statistics(Oid relid, AttrNumber attnum);

/* ---------------------------------------------------------- in execscan.c */

/* A pushed qual, or a filter, ready to be evaluated. */
typedef struct FlowdbScanQual
{
	int target;
	FlowdbQualOp op;
	int nvalues;
	ExprState **values;
	Oid *types;
	bool *arrays;
} FlowdbScanQual;

typedef struct FlowdbRanges FlowdbRanges;
typedef struct FlowdbScanLock FlowdbScanLock; /* execlock.c */
typedef struct FlowdbSharer FlowdbSharer;	  /* parallel.c */
typedef struct FlowdbShare FlowdbShare;		  /* likewise */

/* State of one scan node; in ForeignScanState.fdw_state. */
typedef struct FlowdbScanState
{
	Relation rel;
	FlowdbTable *table;
	FlowDb *db;
	FlowdbDecoder *decoder; /* NULL until the store is known */
	Bitmapset *wanted;
	bool reverse;
	bool all_rows;	 /* will be asked for: no small vectors first */
	bool one_row;	 /* the first may be all that is asked for */
	bool spans;		 /* rows are only counted, and their times bounded */
	bool reads_keys; /* of vectors, though the decoder may not */
	bool reads_times;
	bool windowed;	 /* of the ranges, only times within the window are read */
	int64 window_lo; /* both inclusive */
	int64 window_hi;

	int nquals;
	FlowdbScanQual *quals;
	int nfilters; /* of value columns */
	FlowdbScanQual *filters;

	FlowdbRanges *ranges; /* in bounds_cxt; NULL: to be evaluated */
	int napplied;
	FlowFilter *applied; /* likewise: the filters with their values */
	uint64 nranges;		 /* looked into so far */
	FlowScanSpec spec;	 /* of the range that is open */
	FlowScan *scan;
	bool single; /* scan is a lookup: vec is all that it gives */
	bool started;
	bool finished;
	uint32 want; /* rows of the next vector */
	const FlowVector *vec;
	uint32 next;	  /* row of vec to return next */
	uint64 span_rows; /* with spans: rows of no vector, up to now */
	int64 span_min;	  /* and their first and last time */
	int64 span_max;
	FlowdbScanLock *lock; /* NULL: rows are not locked */
	FlowdbSharer *sharer; /* NULL: all ranges are ours to read */
	FlowdbShare *counted; /* of a leader: has what the workers have read */
	struct dsm_segment *counted_in;
	FlowScanStats stats; /* of scans closed so far */
	MemoryContext bounds_cxt;
	MemoryContextCallback callback;
} FlowdbScanState;

extern void flowdbBeginForeignScan(ForeignScanState *node, int eflags);
extern TupleTableSlot *flowdbIterateForeignScan(ForeignScanState *node);
extern void flowdbReScanForeignScan(ForeignScanState *node);
extern void flowdbEndForeignScan(ForeignScanState *node);

/*
 * The scan as a source of vectors, for nodes of other kinds too: the plan's
 * fdw_private begins with the members of FlowdbScanPrivate.
 *
 * flowdb_scan_init
 *		Fill the zeroed state, but for locking; the scan is opened at the first
 *		vector, and closed at its end or with the current memory context.
 * flowdb_scan_prepare
 *		Evaluate the ranges, from the first one on, and fill state->spec but for
 *		bounds; false: there is nothing to read.
 * flowdb_scan_vector
 *		state->vec has rows from state->next on; the caller moves next on.
 *		False: there is none left.  With spans, there are the rows of the spans
 *		besides; all of them are known at the end.
 * flowdb_scan_start
 *		Before the first window: what flowdb_scan_vector would do at its first
 *		call; false: there is nothing to read.
 * flowdb_scan_window
 *		From here on read the rows of a window of time, of all ranges, as of the
 *		same moment as those before.
 * flowdb_scan_again
 *		From here on read the same rows once more, likewise.
 * flowdb_scan_restart, flowdb_scan_close
 *		Begin anew (at a rescan); release what it holds.
 */
extern void flowdb_scan_init(FlowdbScanState *state, ForeignScanState *node,
							 Relation rel, int eflags);
extern bool flowdb_scan_prepare(FlowdbScanState *state, ForeignScanState *node);
extern bool flowdb_scan_vector(FlowdbScanState *state, ForeignScanState *node);
extern bool flowdb_scan_start(FlowdbScanState *state, ForeignScanState *node);
extern void flowdb_scan_window(FlowdbScanState *state, int64 lo, int64 hi);
extern void flowdb_scan_again(FlowdbScanState *state);
extern void flowdb_scan_restart(FlowdbScanState *state, ForeignScanState *node);
extern void flowdb_scan_close(FlowdbScanState *state);
/* What all scans of this node have read so far. */
extern void flowdb_scan_stats(FlowdbScanState *state, FlowScanStats *stats);
extern void flowdb_scan_add_stats(FlowScanStats *sum, const FlowScanStats *s);
/* The next row into the node's slot; false: there is none. */
extern bool flowdb_scan_next(ForeignScanState *node);

/* -------------------------------------------------------- in execfilter.c */

/*
 * flowdb_filters_eval
 *		Evaluate the scan's filters into state->applied, in the current memory
 *		context; false: no row can pass.
 */
extern bool flowdb_filters_eval(FlowdbScanState *state, ExprContext *econtext);

/* ---------------------------------------------------------- in execlock.c */

/*
 * flowdb_lock_begin
 *		Make the scan a locking one if its plan says so: state->lock is set.
 * flowdb_lock_next
 *		The next row that passes and could be locked; an empty slot at the end.
 * flowdb_lock_end
 *		Release what it holds; may be called again, and without a lock.
 */
extern void flowdb_lock_begin(ForeignScanState *node, FlowdbScanState *state);
extern TupleTableSlot *flowdb_lock_next(ForeignScanState *node);
extern void flowdb_lock_end(FlowdbScanState *state);

/* ------------------------------------------------- in bounds.c, ranges.c */

/*
 * flowdb_ranges_eval
 *		Evaluate the pushed quals into the ranges that a scan has to read, in
 *		the order of its direction; NULL: no row can match.  Memory is the
 *		current context's and grows with the values, not with the ranges.
 * flowdb_ranges_rewind
 *		Begin with the first one again.
 * flowdb_ranges_next
 *		The next range's bounds into spec; false: there is none left.
 *		*pointp: it is one (key, ts).  Keys are good until the next call.
 * flowdb_ranges_most
 *		There are no more than about so many.
 * flowdb_array_elements
 *		What an array of values has, palloc'd; how many.
 */
extern FlowdbRanges *flowdb_ranges_eval(FlowdbScanState *state,
										ExprContext *econtext);
extern void flowdb_ranges_rewind(FlowdbRanges *ranges);
extern bool flowdb_ranges_next(FlowdbRanges *ranges, FlowScanSpec *spec,
							   bool *pointp);
extern double flowdb_ranges_most(const FlowdbRanges *ranges);
extern int flowdb_array_elements(Datum value, Datum **elementsp, bool **nullsp);

/* -------------------------------------------------------- in planmodify.c */

extern int flowdbIsForeignRelUpdatable(Relation rel);
extern List *flowdbPlanForeignModify(PlannerInfo *root, ModifyTable *plan,
									 Index resultRelation, int subplan_index);
extern void flowdbAddForeignUpdateTargets(PlannerInfo *root, Index rtindex,
										  RangeTblEntry *target_rte,
										  Relation target_relation);
/* How the relation's scan locks rows: NIL, or a member of fdw_private. */
extern List *flowdb_plan_lock(PlannerInfo *root, RelOptInfo *baserel);

/* -------------------------------------------------------- in execmodify.c */

/* ERROR for ON CONFLICT DO UPDATE. */
extern void flowdb_refuse_do_update(const ModifyTable *plan);
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

/* ----------------------------------------------------------- in analyze.c */

extern bool flowdbAnalyzeForeignTable(Relation rel, AcquireSampleRowsFunc *func,
									  BlockNumber *totalpages);

/* -------------------------------------------------------- in execupdate.c */

extern TupleTableSlot *flowdbExecForeignUpdate(EState *estate,
											   ResultRelInfo *rinfo,
											   TupleTableSlot *slot,
											   TupleTableSlot *planSlot);
extern TupleTableSlot *flowdbExecForeignDelete(EState *estate,
											   ResultRelInfo *rinfo,
											   TupleTableSlot *slot,
											   TupleTableSlot *planSlot);

/* ---------------------------------------------------------- in truncate.c */

extern void flowdbExecForeignTruncate(List *rels, DropBehavior behavior,
									  bool restart_seqs);

/* ----------------------------------------------------------- in aggplan.c */

extern void flowdbGetForeignUpperPaths(PlannerInfo *root,
									   UpperRelationKind stage,
									   RelOptInfo *input_rel,
									   RelOptInfo *output_rel, void *extra);

/* ----------------------------------------------------------- in explain.c */

extern void flowdb_explain_store(const FlowdbTable *table, ExplainState *es);
/* clauses: of bounds and filters, in the plan's order. */
extern void flowdb_explain_clauses(const ForeignScan *plan, List *clauses,
								   List *context, ExplainState *es);
extern void flowdb_explain_stats(ForeignScanState *node, FlowdbScanState *state,
								 ExplainState *es);

extern void flowdbExplainForeignScan(ForeignScanState *node, ExplainState *es);
extern void flowdbExplainForeignModify(ModifyTableState *mtstate,
									   ResultRelInfo *rinfo, List *fdw_private,
									   int subplan_index, ExplainState *es);

#endif /* FLOWDB_FDW_H */
