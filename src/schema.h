/*-------------------------------------------------------------------------
 * schema.h
 *	  The cache of roles and layouts by relation, shared by schema.c, which
 *	  owns it, and layout.c.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_SCHEMA_H
#define FLOWDB_SCHEMA_H

#include "describe.h"

/* One relation; lives in CacheMemoryContext until it is invalidated, which
 * may happen at any catalog access: keep no pointer across one. */
typedef struct FlowdbCached
{
	Oid relid; /* hash key */
	FlowdbTable *table;
	FlowdbLayout *layout;  /* NULL: not known */
	uint64 layout_version; /* flow_store_version it was made at */
	bool layout_complete;  /* has all value columns of the relation */
} FlowdbCached;

/* The entry that flowdb_table_get left, or NULL. */
extern FlowdbCached *flowdb_cache_find(Oid relid);
/* Changes whenever an entry may have been invalidated. */
extern uint64 flowdb_cache_moment(void);

/* ------------------------------------------------------------- in roles.c */

/*
 * flowdb_roles_resolve
 *		The roles of rel's columns, palloc'd.  What is wrong is an ERROR, what
 *		may still come by ALTER is reported at elevel.  Below NOTICE nothing is
 *		thrown; NULL when something was reported.
 */
extern FlowdbTable *flowdb_roles_resolve(Relation rel, int elevel);

/* ------------------------------------------------------------- in match.c */

/* A column that ALTER has added to rel. */
typedef struct FlowdbAdded
{
	AttrNumber attnum;
	bool has_missing; /* rows there are read missing, not NULL */
	Datum missing;
} FlowdbAdded;

/*
 * flowdb_match
 *		The layout that rel sees in a resolved description.  Throws when their
 *		keys or types differ.  add: what is missing is added.  *changedp:
 *		desc should be written back; *completep: it needed no change.
 * flowdb_match_added
 *		Enter one added column.
 * flowdb_match_name
 *		Number of the live column of that name, or -1.
 */
extern FlowdbLayout *flowdb_match(Relation rel, const FlowdbTable *table,
								  FlowdbDescription *desc, bool add,
								  bool *changedp, bool *completep);
extern void flowdb_match_added(Relation rel, const FlowdbTable *table,
							   FlowdbDescription *desc,
							   const FlowdbAdded *added);
extern int flowdb_match_name(const FlowdbDescription *desc, const char *name);

/* ---------------------------------------------------------- in matchadd.c */

/*
 * flowdb_match_begin
 *		The description of a store that rel begins, without value columns.
 * flowdb_match_add
 *		Append the relation's column; its number.  fresh: not one that was used
 *		before.
 * flowdb_match_update
 *		The columns of a table that owns the store, by their names and types as
 *		they are now; true: a change.
 */
extern void flowdb_match_begin(Relation rel, const FlowdbTable *table,
							   FlowdbDescription *desc);
extern int flowdb_match_add(Relation rel, const FlowdbTable *table,
							FlowdbDescription *desc, Form_pg_attribute att,
							bool fresh);
extern bool flowdb_match_update(Relation rel, const FlowdbTable *table,
								FlowdbDescription *desc);

/* ------------------------------------------------------------ in layout.c */

/*
 * flowdb_layout_describe
 *		The resolved description of a store; false: it has not begun, for all
 *		that this transaction can see.
 * flowdb_layout_alter
 *		After ALTER of rel: columns were added (of FlowdbAdded *), and in a
 *		store that rel does not own, renamed (of FlowdbRenamed *).  Nothing
 *		happens when the store has not begun.
 */
typedef struct FlowdbRenamed
{
	const char *from;
	const char *to;
} FlowdbRenamed;

extern bool flowdb_layout_describe(FlowDb *db, const char *store,
								   uint32 *store_idp, FlowdbDescription *desc);
extern void flowdb_layout_alter(Relation rel, const FlowdbTable *table,
								FlowDb *db, List *added, List *renamed);

#endif /* FLOWDB_SCHEMA_H */
