/*-------------------------------------------------------------------------
 * history.h
 *	  What each prefix of a manifest's edits lists, and which one to load.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_HISTORY_H
#define FLOW_HISTORY_H

#include "db.h"

#define FLOW_NO_EDIT UINT32_MAX

/* A file that the manifest speaks of.  Edits are counted from 0. */
typedef struct FlowKnownSst
{
	uint64_t id;
	uint32_t added;	  /* the edit that lists it; FLOW_NO_EDIT: only as trash */
	uint32_t removed; /* the one that removes it, or FLOW_NO_EDIT */
	uint32_t origin;  /* FlowSstOrigin */
	bool found;		  /* the file exists, with the right size */
	uint64_t found_bytes; /* its size, when that is wrong; 0: absent */
	uint64_t file_bytes;
	uint64_t seq_min;
	FlowSst *sst; /* the load's */
} FlowKnownSst;

/* Private; zero it but for env and dir. */
typedef struct FlowHistory
{
	FlowEnv *env;
	const char *dir;
	FlowKnownSst *known;
	uint32_t nknown, known_cap;
	uint32_t *slot; /* hash table of ids: index in known + 1, 0: none */
	uint32_t nslots;
	uint64_t *flushed; /* the flushed position after each edit */
	uint32_t nedits, edits_cap;
	uint64_t flushed_now; /* in the edit at hand */
	uint64_t next_id;	  /* above every id there is */
	FlowManifestPos pos;

	/* set by flowi_history_choose */
	uint32_t keep;		  /* so many edits count */
	bool without_missing; /* files that they list but are missing do not */
	uint64_t flushed_pos;
} FlowHistory;

/*
 * flowi_history_read
 *		Replay the manifest; nothing is found yet.  CORRUPT: it contradicts
 *		itself.
 * flowi_history_find
 *		NULL: it does not speak of that id.
 * flowi_history_choose
 *		Decide what to load, all files being looked for; see history.c.
 *		CORRUPT: a listed file is missing, and redo would not bring all.
 * flowi_history_lists
 *		Does the state that was chosen list the file?  NULL: no.
 * flowi_history_is_whole
 *		It is the manifest's last one, so that edits may be appended.
 */
extern FlowStatus flowi_history_read(FlowHistory *h) FLOW_MUST_CHECK;
extern FlowKnownSst *flowi_history_find(const FlowHistory *h, uint64_t id);
extern FlowStatus flowi_history_choose(FlowHistory *h,
									   const FlowOptions *opts) FLOW_MUST_CHECK;
extern bool flowi_history_lists(const FlowHistory *h, const FlowKnownSst *k);
extern bool flowi_history_is_whole(const FlowHistory *h);
extern void flowi_history_free(FlowHistory *h);

#endif /* FLOW_HISTORY_H */
