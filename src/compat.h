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
#endif

/* The variables of varsup.c and a startup function have other names. */
#if PG_VERSION_NUM >= 170000
#define ShmemVariableCache TransamVariables
#endif
#if PG_VERSION_NUM >= 180000
#define HandleStartupProcInterrupts ProcessStartupProcInterrupts
#endif

/* How a pathkey tells its direction. */
#if PG_VERSION_NUM >= 180000
#define FLOWDB_PATHKEY_DESCENDS(pk) ((pk)->pk_cmptype == COMPARE_GT)
#else
#define FLOWDB_PATHKEY_DESCENDS(pk) \
	((pk)->pk_strategy == BTGreaterStrategyNumber)
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

#endif /* FLOWDB_COMPAT_H */
