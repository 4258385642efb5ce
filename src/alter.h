/*-------------------------------------------------------------------------
 * alter.h
 *	  What alter.c, altercolumns.c and alterroles.c share.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_ALTER_H
#define FLOWDB_ALTER_H

#include "fdw.h"

#include "nodes/parsenodes.h"

/* A table of ours before a statement. */
typedef struct FlowdbAltered FlowdbAltered;

/*
 * flowdb_alter_begin
 *		Note what relid is like; the statement's lock is held.  alter: NULL, it
 *		is a RENAME.
 * flowdb_alter_end
 *		Refuse what cannot be done, and tell the store what has changed.
 */
extern FlowdbAltered *flowdb_alter_begin(Oid relid,
										 const AlterTableStmt *alter);
extern void flowdb_alter_end(const FlowdbAltered *before);

/*
 * flowdb_alter_keep_roles
 *		After a RENAME of columns: give the roles back to the columns that had
 *		them before, by options of the table, if they were given by name.
 * flowdb_alter_check_composite
 *		Before a column of relid changes its type: 0A000 when a foreign table
 *		of ours has a column of its row type.
 */
extern void flowdb_alter_keep_roles(Oid relid, const FlowdbTable *before);
extern void flowdb_alter_check_composite(Oid relid);

#endif /* FLOWDB_ALTER_H */
