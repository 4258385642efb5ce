/*-------------------------------------------------------------------------
 * manifest.h
 *	  The durable list of what a database consists of: a snapshot followed
 *	  by edits, in INDEX/MANIFEST-<number>; INDEX/CURRENT names it.
 *
 * An edit is atomic: one frame with length, number and checksum.  Appending
 * one is write at the known end, fsync.  A torn tail is cut at open; a bad
 * frame with a good one behind it is CORRUPT.  After a failed append the
 * file is not trusted again: the caller rewrites a whole new manifest.
 * Bytes: doc/FORMAT.md "Manifest".
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_MANIFEST_H
#define FLOW_MANIFEST_H

#include "sst.h"

typedef struct FlowStoreInfo
{
	uint32_t id;
	const char *name; /* name_bytes, and a NUL behind */
	uint32_t name_bytes;
	const void *blob;
	size_t blob_bytes;
} FlowStoreInfo;

/*
 * That a store is to be dropped: once transaction xid has committed (0: at
 * once), or, with unless, once it has aborted.
 */
typedef struct FlowDropInfo
{
	uint32_t store_id;
	uint64_t xid;
	bool unless;
} FlowDropInfo;

/* --- one edit, encoded into private memory --- */
typedef struct FlowEdit FlowEdit;

extern FlowStatus flowi_edit_create(FlowEnv *env,
									FlowEdit **editp) FLOW_MUST_CHECK;
extern void flowi_edit_free(FlowEdit *edit); /* NULL is fine */
/* INVALID when info cannot be that of an SSTable */
extern FlowStatus flowi_edit_add_sst(FlowEdit *edit,
									 const FlowSstInfo *info) FLOW_MUST_CHECK;
extern FlowStatus flowi_edit_remove_sst(FlowEdit *edit,
										uint64_t id) FLOW_MUST_CHECK;
/* the file of an SSTable that was removed may still be there; and it is gone.
 * flowi_edit_remove_sst says the first too. */
extern FlowStatus flowi_edit_trash(FlowEdit *edit, uint64_t id) FLOW_MUST_CHECK;
extern FlowStatus flowi_edit_gone(FlowEdit *edit, uint64_t id) FLOW_MUST_CHECK;
/* replace the directory of an SSTable that is listed already */
extern FlowStatus flowi_edit_txns(FlowEdit *edit, uint64_t sst_id,
								  const FlowTxnInfo *txns,
								  uint32_t ntxns) FLOW_MUST_CHECK;
extern FlowStatus flowi_edit_store(FlowEdit *edit,
								   const FlowStoreInfo *store) FLOW_MUST_CHECK;
/* a store will be dropped, which is not decided; it will not; it is gone, and
 * its id never comes again; the id that the next new store gets */
extern FlowStatus flowi_edit_drop(FlowEdit *edit,
								  const FlowDropInfo *drop) FLOW_MUST_CHECK;
extern FlowStatus flowi_edit_kept(FlowEdit *edit,
								  const FlowDropInfo *drop) FLOW_MUST_CHECK;
extern FlowStatus flowi_edit_store_gone(FlowEdit *edit,
										uint32_t store_id) FLOW_MUST_CHECK;
extern FlowStatus flowi_edit_next_store(FlowEdit *edit,
										uint32_t store_id) FLOW_MUST_CHECK;
/* log position up to which everything is in SSTables; next SSTable id */
extern FlowStatus flowi_edit_flushed(FlowEdit *edit,
									 uint64_t flushed_pos) FLOW_MUST_CHECK;
extern FlowStatus flowi_edit_next_id(FlowEdit *edit,
									 uint64_t next_sst_id) FLOW_MUST_CHECK;

/* --- writing; dir is the database's directory --- */

/* Where the next edit goes; kept by the caller in the shared region. */
typedef struct FlowManifestPos
{
	uint64_t number;	  /* of the manifest file */
	uint64_t offset;	  /* its end */
	uint64_t edit_number; /* of the last edit */
} FlowManifestPos;

/* Write edit as the snapshot of a new manifest (number pos->number + 1) and
 * switch CURRENT; the file before the old one is removed after, unless a
 * backup may be copying it.  Updates *pos on FLOW_OK. */
extern FlowStatus flowi_manifest_rewrite(FlowEnv *env, const char *dir,
										 FlowEdit *snapshot,
										 FlowManifestPos *pos) FLOW_MUST_CHECK;
/* Append and fsync; *pos moves only on FLOW_OK. */
extern FlowStatus flowi_manifest_append(FlowEnv *env, const char *dir,
										FlowEdit *edit,
										FlowManifestPos *pos) FLOW_MUST_CHECK;

/* --- reading --- */

/* What replay calls, in the order of the edits; NULL members are skipped. */
typedef struct FlowManifestVisitor
{
	void *arg;
	FlowStatus (*add_sst)(void *arg, const FlowSstInfo *info);
	FlowStatus (*remove_sst)(void *arg, uint64_t id);
	FlowStatus (*trash)(void *arg, uint64_t id);
	FlowStatus (*gone)(void *arg, uint64_t id);
	/* an edit was replayed whole; after each, the first included */
	FlowStatus (*edit_done)(void *arg);
	FlowStatus (*txns)(void *arg, uint64_t sst_id, const FlowTxnInfo *txns,
					   uint32_t ntxns);
	FlowStatus (*store)(void *arg, const FlowStoreInfo *store);
	FlowStatus (*drop)(void *arg, const FlowDropInfo *drop);
	FlowStatus (*kept)(void *arg, const FlowDropInfo *drop);
	FlowStatus (*store_gone)(void *arg, uint64_t store_id);
	FlowStatus (*next_store)(void *arg, uint64_t store_id);
	FlowStatus (*flushed)(void *arg, uint64_t flushed_pos);
	FlowStatus (*next_id)(void *arg, uint64_t next_sst_id);
} FlowManifestVisitor;

/* Replay the current manifest; cuts a torn tail (truncate + fsync); removes
 * manifests that CURRENT does not name.  NOTFOUND: no CURRENT. */
extern FlowStatus flowi_manifest_replay(FlowEnv *env, const char *dir,
										const FlowManifestVisitor *visitor,
										FlowManifestPos *pos) FLOW_MUST_CHECK;

#endif /* FLOW_MANIFEST_H */
