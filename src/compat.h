/*-------------------------------------------------------------------------
 * compat.h
 *	  Every difference between PostgreSQL 15 and 18, in one place.
 *-------------------------------------------------------------------------
 */
#ifndef FLOWDB_COMPAT_H
#define FLOWDB_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error \
	"flowdb_fdw needs PostgreSQL 15 or later: it is built on custom WAL resource managers"
#endif

#include "common/int.h"
#if PG_VERSION_NUM >= 160000
#include "common/file_utils.h" /* PG_TEMP_FILE_PREFIX came here from fd.h */
#endif
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#include "optimizer/paths.h"
#endif

/* The variables of varsup.c and a startup function have other names. */
#if PG_VERSION_NUM >= 170000
#define ShmemVariableCache TransamVariables
#endif
#if PG_VERSION_NUM >= 180000
#define HandleStartupProcInterrupts ProcessStartupProcInterrupts
#endif

/* Stands in front of the declaration of what does not return. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* How a pathkey tells its direction. */
#if PG_VERSION_NUM >= 180000
#define FLOWDB_PATHKEY_DESCENDS(pk) ((pk)->pk_cmptype == COMPARE_GT)
#define FLOWDB_SORT_ASCENDING COMPARE_LT
#else
#define FLOWDB_SORT_ASCENDING BTLessStrategyNumber
#define FLOWDB_PATHKEY_DESCENDS(pk) \
	((pk)->pk_strategy == BTGreaterStrategyNumber)
#endif

/* Children's members of an equivalence class stand apart from it in 18. */
#if PG_VERSION_NUM >= 180000
static inline EquivalenceMemberIterator
flowdb_begin_members(EquivalenceClass *ec, Relids relids)
{
	EquivalenceMemberIterator it;

	setup_eclass_member_iterator(&it, ec, relids);
	return it;
}
#define flowdb_foreach_member(em, ec, relids)                                  \
	for (EquivalenceMemberIterator it_ = flowdb_begin_members((ec), (relids)); \
		 ((em) = eclass_member_iterator_next(&it_)) != NULL;)
#else
#define flowdb_foreach_member(em, ec, relids)                           \
	for (int at_ = 0; at_ < list_length((ec)->ec_members) &&            \
					  ((em) = list_nth((ec)->ec_members, at_)) != NULL; \
		 at_++)
#endif

/* The launcher's transaction lasts as long as the server does. */
#if PG_VERSION_NUM >= 170000
#define FLOWDB_NO_TRANSACTION_TIMEOUT() \
	SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE)
#else
#define FLOWDB_NO_TRANSACTION_TIMEOUT() ((void) 0)
#endif

/* The local transaction id of a PGPROC moved into a struct in 17. */
#if PG_VERSION_NUM >= 170000
#define FLOWDB_PROC_LXID(proc) ((proc)->vxid.lxid)
#else
#define FLOWDB_PROC_LXID(proc) ((proc)->lxid)
#endif

/* Is the user the owner of the relation? */
#if PG_VERSION_NUM >= 160000
#define FLOWDB_OWNS_RELATION(relid, user) \
	object_ownercheck(RelationRelationId, relid, user)
#else
#define FLOWDB_OWNS_RELATION(relid, user) pg_class_ownercheck(relid, user)
#endif

/* A process's number, from 0. */
#if PG_VERSION_NUM >= 170000
#define FLOWDB_MY_PROC_NUMBER MyProcNumber
#else
#define FLOWDB_MY_PROC_NUMBER (MyProc->pgprocno)
#endif

/* create_foreignscan_path got fdw_restrictinfo in 17, disabled_nodes in 18. */
#if PG_VERSION_NUM >= 180000
#define flowdb_create_foreignscan_path(                                        \
	root, rel, target, rows, startup, total, pathkeys, outer, outerpath, priv) \
	create_foreignscan_path(root, rel, target, rows, 0, startup, total,        \
							pathkeys, outer, outerpath, NIL, priv)
#elif PG_VERSION_NUM >= 170000
#define flowdb_create_foreignscan_path(                                        \
	root, rel, target, rows, startup, total, pathkeys, outer, outerpath, priv) \
	create_foreignscan_path(root, rel, target, rows, startup, total, pathkeys, \
							outer, outerpath, NIL, priv)
#else
#define flowdb_create_foreignscan_path(                                        \
	root, rel, target, rows, startup, total, pathkeys, outer, outerpath, priv) \
	create_foreignscan_path(root, rel, target, rows, startup, total, pathkeys, \
							outer, outerpath, priv)
#endif

/* So did create_foreign_upper_path. */
#if PG_VERSION_NUM >= 180000
#define flowdb_create_foreign_upper_path(root, rel, target, rows, startup, \
										 total, pathkeys, outerpath, priv) \
	create_foreign_upper_path(root, rel, target, rows, 0, startup, total,  \
							  pathkeys, outerpath, NIL, priv)
#elif PG_VERSION_NUM >= 170000
#define flowdb_create_foreign_upper_path(root, rel, target, rows, startup, \
										 total, pathkeys, outerpath, priv) \
	create_foreign_upper_path(root, rel, target, rows, startup, total,     \
							  pathkeys, outerpath, NIL, priv)
#else
#define flowdb_create_foreign_upper_path(root, rel, target, rows, startup, \
										 total, pathkeys, outerpath, priv) \
	create_foreign_upper_path(root, rel, target, rows, startup, total,     \
							  pathkeys, outerpath, priv)
#endif

/* The base relations below a scan: apart from outer joins from 16 on. */
#if PG_VERSION_NUM >= 160000
#define FLOWDB_SCAN_RELIDS(plan) ((plan)->fs_base_relids)
#else
#define FLOWDB_SCAN_RELIDS(plan) ((plan)->fs_relids)
#endif

/* Does the plan have several tables?  Groups are one in rtable from 18 on. */
#if PG_VERSION_NUM >= 180000
#define FLOWDB_EXPLAINS_TABLES(es) ((es)->rtable_size > 1)
#else
#define FLOWDB_EXPLAINS_TABLES(es) (list_length((es)->rtable) > 1)
#endif

/* 18 asks whether the relation is one that is written to. */
#if PG_VERSION_NUM >= 180000
#define FLOWDB_RANGE_TABLE_RELATION(estate, rti) \
	ExecGetRangeTableRelation(estate, rti, false)
#else
#define FLOWDB_RANGE_TABLE_RELATION(estate, rti) \
	ExecGetRangeTableRelation(estate, rti)
#endif

/* How long an array will be: an integer without the planner's view in 15. */
#if PG_VERSION_NUM >= 170000
#define FLOWDB_ARRAY_LENGTH(root, node) estimate_array_length(root, node)
#else
#define FLOWDB_ARRAY_LENGTH(root, node) ((double) estimate_array_length(node))
#endif

/* 18 asks whether it is for an ANALYZE. */
#if PG_VERSION_NUM >= 180000
#define FLOWDB_VACUUM_DELAY() vacuum_delay_point(true)
#else
#define FLOWDB_VACUUM_DELAY() vacuum_delay_point()
#endif

/* 17 changes the expression of a generated column. */
#if PG_VERSION_NUM >= 170000
#define FLOWDB_SETS_EXPRESSION(cmd) ((cmd)->subtype == AT_SetExpression)
#else
#define FLOWDB_SETS_EXPRESSION(cmd) ((void) (cmd), false)
#endif

/* A column of pg_attribute that no row holds a value of: a dropped one, and
 * from 18 on a generated one that is worked out when it is read. */
#if PG_VERSION_NUM >= 180000
#define FLOWDB_IS_VIRTUAL(att) \
	((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define FLOWDB_IS_VIRTUAL(att) (false)
#endif
#define FLOWDB_IS_VALUELESS(att) ((att)->attisdropped || FLOWDB_IS_VIRTUAL(att))

/* Privileges of a query moved out of its range table in 16. */
#if PG_VERSION_NUM >= 160000
#define FLOWDB_CHECK_PERMISSIONS(query) \
	((void) ExecCheckPermissions((query)->rtable, (query)->rteperminfos, true))
#else
#define FLOWDB_CHECK_PERMISSIONS(query) \
	((void) ExecCheckRTPerms((query)->rtable, true))
#endif

/* What is grouped by, without what is redundant: apart from 16 on. */
#if PG_VERSION_NUM >= 160000
#define FLOWDB_GROUP_CLAUSE(root) ((root)->processed_groupClause)
#else
#define FLOWDB_GROUP_CLAUSE(root) ((root)->parse->groupClause)
#endif

/* The serialized state of sums of bigint: what it is made of is known of the
 * releases that were looked at.  Elsewhere such calls have none. */
#if PG_VERSION_NUM < 190000
#define FLOWDB_SUM_STATE_TYPE BYTEAOID
#else
#define FLOWDB_SUM_STATE_TYPE InvalidOid
#endif

/* 16 has one function for all kinds of objects */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_proc.h"
#define flowdb_may_execute(function) \
	object_aclcheck(ProcedureRelationId, (function), GetUserId(), ACL_EXECUTE)
#else
#define flowdb_may_execute(function) \
	pg_proc_aclcheck((function), GetUserId(), ACL_EXECUTE)
#endif

#endif /* FLOWDB_COMPAT_H */
