/*-------------------------------------------------------------------------
 * version.h
 *	  SSTables and sets of them in the shared region; manifest edits.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_VERSION_H
#define FLOW_VERSION_H

#include "db.h"
#include "region.h"

/* Paths of an SSTable, under its temporary and under its final name. */
extern void flowi_version_path(const char *dir, uint64_t id,
							   char path[FLOW_PATH_BYTES]);
extern void flowi_version_tmp_path(const char *dir, uint64_t id,
								   char path[FLOW_PATH_BYTES]);
extern void flowi_version_sst_dir(const char *dir, char path[FLOW_PATH_BYTES]);

/* Which metadata may be taken: all but the reserve, or the reserve too. */
typedef enum FlowRoom
{
	FLOW_ROOM_USUAL,
	FLOW_ROOM_ALL
} FlowRoom;

static inline void *
flowi_version_alloc(FlowEnv *env, FlowRoom room, size_t size)
{
	return room == FLOW_ROOM_ALL ? flowi_region_alloc_reserve(env, size)
								 : flowi_region_alloc(env, size);
}

/*
 * flowi_version_sst_create
 *		Copy info, its directory included, into the region.  refs is 0: the
 *		SSTable belongs to the caller until a version lists it.
 *		flowi_version_sst_free: give up one that never was listed.
 */
extern FlowStatus flowi_version_sst_create(FlowEnv *env,
										   const FlowSstInfo *info,
										   FlowRoom room,
										   FlowSst **sstp) FLOW_MUST_CHECK;
extern void flowi_version_sst_free(FlowEnv *env, FlowSst *sst);

/* Replace the directory of an SSTable that nobody reads yet. */
extern FlowStatus flowi_version_reload(FlowEnv *env, FlowSst *sst,
									   const FlowTxnInfo *txns,
									   uint32_t ntxns) FLOW_MUST_CHECK;

/* How many entries of its directory are in that state now. */
extern uint32_t flowi_version_count_txns(const FlowSst *sst,
										 FlowTxnState state);

/* How many directory entries a memtable may have: a part of the metadata
 * that a flush finds room for as long as there is some. */
extern uint64_t flowi_version_memtable_txns(const FlowEnv *env);

/* Directory of sst as info wants it: entries not SETTLED by state[]. */
extern FlowStatus flowi_version_directory(FlowEnv *env, const FlowSst *sst,
										  const uint8_t *state,
										  FlowTxnInfo **txnsp,
										  uint32_t *ntxnsp) FLOW_MUST_CHECK;

/*
 * flowi_version_derive
 *		A version with base's SSTables (base may be NULL) but those in drop,
 *		and those in add, in any order; one reference, numbered base + 1.  What
 *		is in drop goes by store and id: it may be an older entry of the file
 *		than the one that base lists.  INVALID: base does not list it.
 * flowi_version_exchange
 *		The same for what gives memory back: it may take the reserve.
 */
extern FlowStatus flowi_version_derive(FlowEnv *env, const FlowVersion *base,
									   FlowSst *const *add, uint32_t nadd,
									   FlowSst *const *drop, uint32_t ndrop,
									   FlowVersion **vp) FLOW_MUST_CHECK;
extern FlowStatus flowi_version_exchange(FlowEnv *env, const FlowVersion *base,
										 FlowSst *const *add, uint32_t nadd,
										 FlowSst *const *drop, uint32_t ndrop,
										 FlowVersion **vp) FLOW_MUST_CHECK;

/* Where v lists the file of sst, or v->nssts. */
extern uint32_t flowi_version_index(const FlowVersion *v, const FlowSst *sst);

/* The first version of a database; may take the reserve. */
extern FlowStatus flowi_version_create(FlowEnv *env, FlowSst *const *ssts,
									   uint32_t n,
									   FlowVersion **vp) FLOW_MUST_CHECK;

/*
 * flowi_version_shrink
 *		Give back the directory entries of the current version that are
 *		settled, where they are the half of a directory or more: such
 *		SSTables are exchanged for copies with smaller directories.  What
 *		there is no memory for waits for the next call.  The caller set busy.
 */
extern void flowi_version_shrink(FlowDb *db);

/* Make v current; state lock held exclusive.  Returns the one before, whose
 * reference is the caller's now. */
extern FlowVersion *flowi_version_install(FlowDbShared *sh, FlowVersion *v);

/* The current version with a reference; state lock held. */
extern FlowVersion *flowi_version_pin(FlowDbShared *sh);

/* Release; the last one frees, and when that was the last use of a file in the
 * trash, the trash is swept.  dir NULL: leave files alone.  NULL v is fine.
 * Caller holds no lock. */
extern void flowi_version_unref(FlowEnv *env, const char *dir, FlowVersion *v);

/* The SSTables of one store: v->sst[first .. first + n). */
extern uint32_t flowi_version_store(const FlowVersion *v, uint32_t store_id,
									uint32_t *firstp);

/* Note a newly learned state for readers, unless they know better. */
extern void flowi_version_learn(FlowTxn *txn, uint32_t state);

/* find_txn of flowi_sst_iter; arg is the FlowSst. */
extern FlowTxn *flowi_version_find_txn(void *arg, uint64_t seq);

/*
 * flowi_version_log_edit
 *		Make edit durable in the manifest, and with it which files are gone;
 *		the caller set busy.  See versionlog.c for what a failure leaves
 *		behind.
 * flowi_version_repair
 *		Make the manifest one that can be appended to: rewrite it from the
 *		current state when the last write to it failed, or when it has grown
 *		and no backup may be copying it.
 */
extern FlowStatus flowi_version_log_edit(FlowDb *db,
										 FlowEdit *edit) FLOW_MUST_CHECK;
extern FlowStatus flowi_version_repair(FlowDb *db) FLOW_MUST_CHECK;

/* Write the manifest of what a load has taken from an older one; nobody else
 * uses the database yet.  When it fails the next repair does it. */
extern FlowStatus flowi_version_write_loaded(FlowEnv *env, const char *dir,
											 FlowDbShared *sh) FLOW_MUST_CHECK;

/*
 * flowi_version_replace
 *		Exchange SSTables for others, of the same or no content, by one edit:
 *		repairs the manifest when need be, syncs the log (S5), logs the edit
 *		(with drop removed, add added, and the next id), installs the version,
 *		and puts the files of drop into the trash.  The caller set busy, and has
 *		synced the directory of SSTables; drop are files that the current
 *		version lists (INVALID else), add are not listed by any.
 *		On failure nothing has changed and add is still the caller's; files of
 *		add must stay while sh->manifest_failed, as after a flush.
 * flowi_version_remove
 *		The same without anything added, and with what edit, which is the
 *		caller's, already says.  The manifest needs no repair.
 * flowi_trash_sweep
 *		Unlink what nobody reads any more and no backup needs; takes the state
 *		lock for moments, never during I/O.  Any process may call it at any
 *		time, busy or not; never fails: what cannot be unlinked stays listed.
 */
extern FlowStatus flowi_version_replace(FlowDb *db, FlowSst *const *add,
										uint32_t nadd, FlowSst *const *drop,
										uint32_t ndrop) FLOW_MUST_CHECK;
extern FlowStatus flowi_version_remove(FlowDb *db, FlowSst *const *drop,
									   uint32_t ndrop,
									   FlowEdit *edit) FLOW_MUST_CHECK;
extern void flowi_trash_sweep(FlowDb *db);

/* busy: set it (BUSY when somebody has it), and give it back.  INVALID: the
 * database is retired. */
extern FlowStatus flowi_version_begin(FlowDb *db) FLOW_MUST_CHECK;
extern void flowi_version_end(FlowDb *db);

/* Around all that writes or removes files of a merge, which needs no busy.
 * INVALID: the database is retired. */
extern FlowStatus flowi_version_begin_files(FlowDb *db) FLOW_MUST_CHECK;
extern void flowi_version_end_files(FlowDb *db);

/*
 * flowi_version_retire
 *		Nobody writes or removes files of the database from now on, by whatever
 *		handle.  Waits for those who do.
 */
extern void flowi_version_retire(FlowDb *db);

#endif /* FLOW_VERSION_H */
