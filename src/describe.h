/*-------------------------------------------------------------------------
 * describe.h
 *	  The description of a store: its key, its times, its value columns.
 *
 * The engine keeps it as bytes with the store's definition.  Value columns
 * are numbered in the order in which they came and never go, so that rows of
 * any age can be read.
 *
 * Definitions are not undone when a transaction aborts.  So what stems from a
 * transaction that may still abort carries its full xid, and a reader asks
 * what became of it: flowdb_describe_resolve.  The next definition leaves
 * out the xids of those that have ended.  Bytes: doc/FORMAT.md "Description".
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_DESCRIBE_H
#define FLOWDB_DESCRIBE_H

#include "fdw.h"

/* Version 3 has flags that 2 does not know; 2 is written where they are not
 * needed. */
#define FLOWDB_DESCRIPTION_FIRST 2
#define FLOWDB_DESCRIPTION_LAST 3

/* Flags of a value column. */
#define FLOWDB_COLUMN_DROPPED 0x01
#define FLOWDB_COLUMN_DEAD 0x02
#define FLOWDB_COLUMN_MISSING 0x04
#define FLOWDB_COLUMN_PLAIN 0x08 /* from version 3 on, as the next one */
#define FLOWDB_COLUMN_REAL 0x10

/* A column's type, with what is needed to tell it apart and to show it. */
typedef struct FlowdbTypeRef
{
	Oid oid;
	int32 typmod;
	int16 len; /* as in pg_type */
	bool byval;
	char align;
	bool plain;	  /* varlena of storage "plain", but for types of the server */
	bool real;	  /* a domain over float4 or float8 */
	char *schema; /* and name, as they were when the column came */
	char *name;
	char *coll_schema; /* "": that of the type */
	char *coll_name;
} FlowdbTypeRef;

/* A key, time or expiry column. */
typedef struct FlowdbRoleColumn
{
	char *name;
	int type; /* FlowdbKeyType or FlowdbTimeType; 0: there is none */
	FlowdbTypeRef ref;
} FlowdbRoleColumn;

/* The last name but one, and who changed it. */
typedef struct FlowdbRename
{
	uint64 xid;
	char *old_name;
} FlowdbRename;

typedef struct FlowdbStoreColumn
{
	char *name;
	FlowdbTypeRef ref;
	AttrNumber attnum; /* in the table that owns the store; 0: none */
	bool dropped;	   /* its owner has dropped it, as far as is known */
	bool dead;		   /* whoever added it was rolled back: nobody's */
	uint64 add_xid;	   /* who added it, 0: somebody who has committed */
	List *renames;	   /* FlowdbRename *, newest last */
	bool has_missing;  /* rows older than the column read missing, not NULL */
	uint8 *missing;	   /* as in a row */
	uint32 missing_len;

	/* resolved */
	const char *shown; /* the name that counts, dead columns have none */
	bool pending;	   /* added by a transaction of others, under way */
	bool renaming;	   /* likewise */
} FlowdbStoreColumn;

typedef struct FlowdbDescription
{
	uint64 begin_xid; /* who began the store, 0: has committed */
	char *table;	  /* name of the table that began it */
	int nkeys;
	FlowdbRoleColumn *keys;
	FlowdbRoleColumn time;
	FlowdbRoleColumn expire;
	List *columns; /* FlowdbStoreColumn *, by number */

	bool unsettled; /* resolved: may look different in a moment */
	bool pending;	/* resolved: begun by others who are under way */
} FlowdbDescription;

/*
 * flowdb_describe_encode
 *		Append the bytes to buf.
 * flowdb_describe_decode
 *		Palloc'd, with copies of all; false: malformed, or of a version that
 *		this build does not know.  Any bytes are safe.
 * flowdb_describe_resolve
 *		Bring in what became of the transactions that it names: columns are
 *		dead or pending or have lost their xid, names are those that count
 *		here and now.  false: it was begun by a transaction that was rolled
 *		back, so nothing in it counts.
 * flowdb_describe_type
 *		Fill in ref for an attribute.
 * flowdb_is_real
 *		float4, float8, or a domain over one of them?  Asks the catalogs.
 */
extern void flowdb_describe_encode(const FlowdbDescription *desc,
								   StringInfo buf);
extern bool flowdb_describe_decode(const uint8 *bytes, Size len,
								   FlowdbDescription *desc);
/* Bytes of a newer version, which decode takes for malformed? */
extern bool flowdb_describe_is_newer(const uint8 *bytes, Size len);
extern bool flowdb_describe_resolve(FlowdbDescription *desc);
extern void flowdb_describe_type(Form_pg_attribute att, FlowdbTypeRef *ref);
extern bool flowdb_is_real(Oid type);

/* -------------------------------------------------------------- in shape.c */

/*
 * flowdb_type_kind
 *		What the engine is told of values of a type; plain and real as in
 *		FlowdbTypeRef.
 * flowdb_store_shape
 *		FlowEnv.store_shape: the columns of a description, in any process, at
 *		any moment: no catalogs, and nothing is thrown.
 */
extern FlowColumnKind flowdb_type_kind(Oid oid, int16 len, bool byval,
									   bool plain, bool real);
extern FlowStatus flowdb_store_shape(FlowEnv *env, const void *blob,
									 size_t blob_bytes, FlowShape *shape);

#endif /* FLOWDB_DESCRIBE_H */
