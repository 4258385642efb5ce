/*-------------------------------------------------------------------------
 * db.h
 *	  A database's shared state and a process's handle on it.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_DB_H
#define FLOW_DB_H

#include "manifest.h"
#include "memtable.h"

/* Longest path of a database's directory; file names come behind it. */
#define FLOW_MAX_DIR 900u
#define FLOW_PATH_BYTES 1024u

/*
 * An SSTable that some version lists; in the region.  refs: one for each
 * version that lists it, and one of the SSTable it succeeds.  At 0 it is
 * freed, and the file is unlinked when it is obsolete.
 */
typedef struct FlowSst
{
	/* constant */
	FlowSstInfo info; /* keys point behind the struct; txns is NULL */
	uint32_t ntxns;
	FlowTxn *txns; /* directory, sorted by seq_first; states are atomic */

	/* owned by whoever set busy: the state of each entry as the manifest has
	 * it.  Readers may leave newer states in txns as hints. */
	uint8_t *saved;

	/* the SSTable of the same file that newer versions list instead, with a
	 * smaller directory; this one has a reference on it, so that the file
	 * stays as long as any of them.  Set once, by whoever set busy */
	struct FlowSst *successor;

	_Atomic uint32_t unsettled; /* saved entries not SETTLED; 0: no check */
	_Atomic uint32_t refs;
	_Atomic bool obsolete;
} FlowSst;

/* A set of live SSTables; immutable but for refs.  The database holds one
 * reference on the current one, every scan one on the one it reads. */
typedef struct FlowVersion
{
	_Atomic uint32_t refs;
	uint32_t nssts;
	uint64_t number; /* rises with each installed version */
	FlowSst *sst[];	 /* by store id, then id */
} FlowVersion;

/* A store's definition; in the region, for as long as the database. */
typedef struct FlowStore
{
	struct FlowStore *next;
	uint32_t id;
	uint32_t name_bytes;
	size_t blob_bytes;
	void *blob;		  /* region memory of its own */
	uint64_t def_end; /* log end of its newest definition; 0: loaded */
	char name[];	  /* NUL-terminated */
} FlowStore;

struct FlowDbShared
{
	FlowLock write_lock;	/* L1 */
	FlowLock state_lock;	/* L2 */
	FlowOptions options;	/* constant after load */
	uint64_t memtable_txns; /* freeze the memtable at so many; constant */

	/* changed under both locks, read under either */
	FlowMemtable *active; /* NULL until the first write after a freeze */

	/* protected by state_lock */
	FlowMemtable *frozen; /* newest first */
	FlowVersion *version; /* changed by whoever set busy only */
	FlowStore *stores;
	uint32_t next_store_id;
	bool busy; /* somebody flushes or writes the manifest */

	/* owned by whoever set busy */
	FlowManifestPos manifest;
	uint64_t snapshot_bytes; /* size of the manifest's last snapshot */
	uint64_t next_sst_id;
	bool manifest_failed; /* what the file ends with is not known */

	/* atomic; writers hold state_lock exclusive */
	_Atomic uint64_t flushed_pos;
	_Atomic uint64_t store_version;
	_Atomic uint64_t version_number;
	_Atomic uint64_t oldest_unflushed; /* least first_pos of a memtable */
	_Atomic uint32_t nfrozen;

	/* atomic; writers hold write_lock */
	_Atomic uint64_t applied_end; /* all logged before it is linked */

	/* failed flush steps since the last that went well; atomic */
	_Atomic uint32_t failing;

	/* counters */
	_Atomic uint64_t records_written, bytes_written, flushes, flush_failures;
};

struct FlowDb
{
	FlowEnv *env;
	FlowDbShared *sh;
	char *dir;
	FlowScan *scans;				 /* open ones; flow_detach orphans them */
	FlowScan *spare;				 /* a closed one, for the next open */
	struct FlowReaderCache *readers; /* open SSTables of this handle */
	FlowBatchWriter *batch;			 /* of flow_write_batch; NULL at first */
	bool owns_shared;				 /* made by flow_open */
};

#endif /* FLOW_DB_H */
