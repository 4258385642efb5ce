/*-------------------------------------------------------------------------
 * schema.h
 *	  The cache of roles and layouts by relation, shared by schema.c, which
 *	  owns it, and layout.c.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_SCHEMA_H
#define FLOWDB_SCHEMA_H

#include "fdw.h"

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

#endif /* FLOWDB_SCHEMA_H */
