/*-------------------------------------------------------------------------
 * db.h
 *	  A database's shared state and a process's handle on it.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_DB_H
#define FLOW_DB_H

#include "latency.h"
#include "manifest.h"
#include "memtable.h"

/* Longest path of a database's directory; file names come behind it. */
#define FLOW_MAX_DIR 900u
#define FLOW_PATH_BYTES 1024u

#define FLOW_JUDGES 128 /* open scans whose times are told apart */

/*
 * An SSTable that some version lists; in the region.  refs: one for each
 * version that lists it, and one of the SSTable it succeeds.  At 0 it is
 * freed; when it is obsolete, nobody uses its file any more (FlowTrash).
 */
typedef struct FlowSst
{
	/* constant */
	FlowSstInfo info; /* all keys point behind the struct; txns is NULL */
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
	_Atomic bool obsolete;		/* its file is in the trash of owner */
	struct FlowDbShared *owner; /* set before obsolete */
} FlowSst;

/*
 * The file of an SSTable that is removed from the list, though some may read
 * it yet; in the region, until the manifest says that the file is gone.  The
 * manifest has it too, so that a load does not take the file for a lost one.
 * Protected by state_lock.
 */
typedef struct FlowTrash
{
	struct FlowTrash *next;
	uint64_t id;
	int64_t since; /* when it became obsolete, by ticks_us */
	bool unused;   /* nobody reads the file any more */
	bool claimed;  /* a sweep is at work on it */
	bool gone;	   /* durably unlinked, which the manifest does not say yet */
	bool told;	   /* the edit being written says it */
} FlowTrash;

/* A set of live SSTables; immutable but for refs.  The database holds one
 * reference on the current one, every scan one on the one it reads. */
typedef struct FlowVersion
{
	_Atomic uint32_t refs;
	uint32_t nssts;
	uint32_t ntombs; /* range tombstones in them; 0: nobody need look */
	uint64_t number; /* rises with each installed version */
	FlowSst *sst[];	 /* by store id, then id */
} FlowVersion;

/* The directory entry that flow_resolve_step asks for next; all 0: the first
 * one there is. */
typedef struct FlowResolveAt
{
	uint32_t store_id;
	uint64_t sst_id;
	uint64_t seq;
} FlowResolveAt;

/*
 * A drop of a store that was logged, until its edit is in the manifest; in the
 * region, protected by state_lock.
 */
typedef struct FlowDrop
{
	struct FlowDrop *next;
	FlowDropInfo info;
	uint64_t end;		/* of its log record; 0: loaded */
	FlowTxnState state; /* of info.xid; UNKNOWN: not decided */
} FlowDrop;

/* A store's definition; in the region, until the store is gone. */
typedef struct FlowStore
{
	struct FlowStore *next;
	uint32_t id;
	uint32_t name_bytes;
	size_t blob_bytes;
	void *blob;		  /* region memory of its own */
	uint64_t def_end; /* log end of its newest definition; 0: loaded */
	/* protected by state_lock */
	uint64_t claim;	  /* of the merge or the GC that is under way; 0: none */
	int64_t retry_at; /* no merge before that tick: the last one failed */
	bool dropped;	  /* known, not in the manifest yet: nobody finds it */
	bool has_policy;  /* policy is its own */
	bool configured;  /* and comes from flow_configure_store */
	FlowMergePolicy policy;
	char name[]; /* NUL-terminated */
} FlowStore;

struct FlowDbShared
{
	_Atomic uint32_t refs; /* each handle's, and the host's until it abandons */
	FlowLock write_lock;   /* L1 */
	FlowLock state_lock;   /* L2 */
	FlowOptions options;   /* as loaded; constant.  See live */
	uint64_t memtable_txns; /* freeze the memtable at so many; constant */

	/* by FlowSetting, what counts now; atomic: writers hold state_lock
	 * exclusive; read with flowi_live */
	_Atomic int64_t live[FLOW_SETTING_END];

	/* changed under both locks, read under either */
	FlowMemtable *active; /* NULL until the first write after a freeze */

	/* protected by state_lock */
	FlowMemtable *frozen; /* newest first */
	FlowVersion *version; /* changed by whoever set busy only */
	FlowStore *stores;
	uint32_t next_store_id; /* lower ones are in stores, or gone (I25) */
	uint32_t nstores;		/* in stores */
	uint32_t nmarked;		/* of these, dropped */
	FlowDrop *drops;		/* newest first */
	bool busy;				/* somebody flushes or writes the manifest */
	bool retired;			/* the directory is not ours any more */
	uint32_t merging;		/* handles at work on files of a merge */
	FlowTrash *trash;		/* newest first */
	FlowMergePolicy policy; /* of stores without one of their own */
	FlowSettings settings;	/* of flow_configure */
	uint64_t last_claim;	/* claims are numbers; see choose.h */

	/* owned by whoever set busy */
	FlowManifestPos manifest;
	uint64_t snapshot_bytes;	  /* size of the manifest's last snapshot */
	_Atomic uint64_t next_sst_id; /* others read it for statistics */
	bool manifest_failed;		  /* what the file ends with is not known */
	uint64_t reserve_bytes;		  /* of the file in reserve; see reserve.h */
	FlowResolveAt resolve_at;

	/* atomic; writers hold state_lock exclusive */
	_Atomic uint64_t flushed_pos;
	_Atomic uint64_t store_version;
	_Atomic uint64_t version_number;
	_Atomic uint64_t policy_number;	   /* rises whenever a policy changes */
	_Atomic uint64_t oldest_unflushed; /* least first_pos of a memtable */
	_Atomic uint32_t nfrozen;
	_Atomic uint32_t ndrops;	  /* in drops */
	_Atomic uint64_t drop_number; /* rises with each store that is dropped */

	/* atomic; writers hold write_lock */
	_Atomic uint64_t applied_end; /* all logged before it is linked */

	/* atomic: raised by compare and swap, never beyond applied_end.  Readers
	 * see records of memtables whose sequence lies before it: applied_end as
	 * far as it is as durable as its writers asked (env.h, log_commit) */
	_Atomic uint64_t visible_end;

	/* atomic: readers judge expiry at this time or later (keep.h) */
	_Atomic int64_t purge_horizon;

	/* atomic: the highest sequence of a tombstone or an expired row that was
	 * left out because it hides nothing any more; raised before it is, never
	 * lowered.  What it had hidden is gone as well (since.c) */
	_Atomic uint64_t gone_seq;

	/* atomic: times of open scans, FLOW_NEVER for a free place, and how many
	 * there are beyond; see judge.h */
	_Atomic int64_t judge[FLOW_JUDGES];
	_Atomic uint32_t judges_more;

	/* atomic: flow_close was called; writes are refused */
	_Atomic bool closed;

	/* failed flush steps since the last that went well; atomic */
	_Atomic uint32_t failing;

	/* the last of them; protected by state_lock */
	FlowError flush_error;

	uint64_t cache_space; /* constant after load; see cache.h */
	int64_t loaded_at;	  /* constant after load */

	/* counters, and times of what happened last; atomic */
	_Atomic uint64_t records_written, bytes_written, flushes, flush_failures;
	_Atomic uint64_t records_read, records_expired;
	_Atomic uint64_t merges, merge_failures, gc_runs, purged;
	_Atomic uint64_t sstables_merged, sstables_made;
	_Atomic uint64_t merge_rows, merge_bytes_read, merge_bytes_written;
	_Atomic uint64_t merge_time_us;
	_Atomic int64_t last_flush_at, last_merge_at, last_gc_at;
	FlowHistogram latency[FLOW_LATENCY_KINDS];
};

typedef struct FlowOpen FlowOpen; /* open.c */

/* An answer, and for what it was given. */
typedef struct FlowWants
{
	uint64_t version_number;
	uint64_t policy_number;
	int64_t until; /* 0: there is none */
	bool answer;
} FlowWants;

struct FlowDb
{
	FlowEnv *env;
	FlowDbShared *sh;
	char *dir;
	FlowScan *scans;				 /* open ones; flow_detach orphans them */
	FlowScan *spare;				 /* a closed one, for the next open */
	struct FlowReaderCache *readers; /* open SSTables of this handle */
	uint32_t queries;				 /* calls; the time of some is taken */
	FlowBatchWriter *batch;			 /* of flow_write_batch; NULL at first */
	struct FlowMergeJob *merge;		 /* of flow_maintenance_step; or NULL */
	FlowWants wants;				 /* what flow_wants_maintenance knows */
	uint32_t there;					 /* a store that was not dropped */
	uint64_t there_number;			 /* when drop_number was this */
	void *log;		/* the environment's, log_admit to log_commit */
	void *log_room; /* the same, to log_append or log_leave */
	FlowOpen *open; /* of flow_open, else NULL: lock, thread */
};

/* A setting as it is now; no lock needed. */
static inline int64_t
flowi_live(const FlowDbShared *sh, FlowSetting which)
{
	return atomic_load_explicit(&sh->live[which], memory_order_relaxed);
}

/* INVALID: no path that a database can have. */
extern FlowStatus flowi_db_check_dir(const char *dir) FLOW_MUST_CHECK;

#endif /* FLOW_DB_H */
