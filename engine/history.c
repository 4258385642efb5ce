/*-------------------------------------------------------------------------
 * history.c
 *	  What each prefix of a manifest's edits lists, and which one to load.
 *
 * Normally the state that all edits make is the one to load, and every file
 * that it lists is there.  A base backup copies files in any order while
 * flushes and merges go on, so its manifest may list files that came into
 * the directory after that was copied.  What was listed when the backup began
 * is there: such files stay as long as it runs, once listed or not, and so
 * does the manifest's history (S12).  So some prefix of the edits lists only
 * files that are there.  The newest such prefix is loaded; what the edits
 * behind it have done is undone:
 *	 - A merge: its inputs are listed again; no row is lost by that.
 *	 - A flush: redo brings its records, as the prefix has the flushed
 *	   position from before it.  They must not stand before log_start, where
 *	   redo begins.  That is so when that position is at or behind log_start,
 *	   or when no file that was flushed since has a record from before it: a
 *	   checkpoint has asked that all before log_start was flushed, and the
 *	   database may have logged nothing between its last flush and log_start.
 *	 - Fates of transactions, definitions of stores: these stay true, so they
 *	   are not undone (load.c); redo brings definitions again, to the same
 *	   effect.
 * A snapshot that was made while the backup ran lists the new files in the
 * first edit, and there is no prefix.  Then the state is loaded without the
 * files that are missing, provided that redo brings all their records.
 *
 * What redo brings a second time has the sequences it had, and readers and
 * merges take equal versions for one.  What hides a record stands behind it
 * in the log, so it comes again whenever the record does.
 *
 * Nothing is allowed unless redo is to come: else a missing file is damage.
 *
 * Only numbers of edits are kept for each file, never a copy of a state.
 *
 * Keeps: S7, S12.
 *-------------------------------------------------------------------------
 */
#include "history.h"

#include <inttypes.h>

#include "version.h"

/* ------------------------------------------------------------------ files */

static uint32_t
slot_of(const FlowHistory *h, uint64_t id)
{
	uint32_t mask = h->nslots - 1;
	uint32_t at = (uint32_t) ((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & mask;

	while (h->slot[at] != 0 && h->known[h->slot[at] - 1].id != id)
		at = (at + 1) & mask;
	return at;
}

FlowKnownSst *
flowi_history_find(const FlowHistory *h, uint64_t id)
{
	uint32_t n = h->nslots > 0 ? h->slot[slot_of(h, id)] : 0;

	return n > 0 ? &h->known[n - 1] : NULL;
}

/* Room for one more file; the table stays half empty. */
static FlowStatus
reserve_known(FlowHistory *h)
{
	FlowEnv *env = h->env;
	uint32_t cap = h->known_cap ? h->known_cap * 2 : 64;
	FlowKnownSst *known;

	if (h->nknown < h->known_cap)
		return FLOW_OK;
	if (cap < h->known_cap || cap > UINT32_MAX / 2)
		return flowi_fail(FLOW_NOMEM, "too many SSTables");
	known = env->realloc(env, h->known, cap * sizeof(*known));
	if (known == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	h->known = known;
	h->known_cap = cap;
	env->free(env, h->slot);
	h->nslots = 0;
	h->slot = env->alloc(env, 2 * cap * sizeof(*h->slot));
	if (h->slot == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	h->nslots = 2 * cap;
	memset(h->slot, 0, h->nslots * sizeof(*h->slot));
	for (uint32_t i = 0; i < h->nknown; i++)
		h->slot[slot_of(h, h->known[i].id)] = i + 1;
	return FLOW_OK;
}

static FlowStatus
enter(FlowHistory *h, const FlowKnownSst *k)
{
	FLOW_CHECK_DATA(flowi_history_find(h, k->id) == NULL,
					"manifest of \"%s\" lists SSTable %" PRIu64 " twice",
					h->dir, k->id);
	FLOW_TRY(reserve_known(h));
	h->slot[slot_of(h, k->id)] = h->nknown + 1;
	h->known[h->nknown++] = *k;
	h->next_id = FLOW_MAX(h->next_id, k->id + 1);
	return FLOW_OK;
}

/* The file, which the edits so far list. */
static FlowStatus
find_listed(const FlowHistory *h, uint64_t id, const char *what,
			FlowKnownSst **kp)
{
	*kp = flowi_history_find(h, id);
	FLOW_CHECK_DATA(*kp != NULL && (*kp)->removed == FLOW_NO_EDIT,
					"manifest of \"%s\" %s SSTable %" PRIu64
					", which it does not list",
					h->dir, what, id);
	return FLOW_OK;
}

/* ---------------------------------------------------------------- reading */

static FlowStatus
see_add(void *arg, const FlowSstInfo *info)
{
	FlowHistory *h = arg;

	return enter(h, &(FlowKnownSst){.id = info->id,
									.added = h->nedits,
									.removed = FLOW_NO_EDIT,
									.origin = info->origin,
									.file_bytes = info->file_bytes,
									.seq_min = info->seq_min});
}

static FlowStatus
see_remove(void *arg, uint64_t id)
{
	FlowHistory *h = arg;
	FlowKnownSst *k;

	FLOW_TRY(find_listed(h, id, "removes", &k));
	k->removed = h->nedits;
	return FLOW_OK;
}

static FlowStatus
see_trash(void *arg, uint64_t id)
{
	FlowHistory *h = arg;

	return enter(h, &(FlowKnownSst){
						.id = id, .added = FLOW_NO_EDIT, .removed = h->nedits});
}

/* A backup may have it all the same: it may have been copied before. */
static FlowStatus
see_gone(void *arg, uint64_t id)
{
	const FlowHistory *h = arg;
	const FlowKnownSst *k = flowi_history_find(h, id);

	FLOW_CHECK_DATA(k != NULL && k->removed != FLOW_NO_EDIT,
					"manifest of \"%s\" says that SSTable %" PRIu64
					" is gone, which it has not removed",
					h->dir, id);
	return FLOW_OK;
}

static FlowStatus
see_txns(void *arg, uint64_t id, const FlowTxnInfo *txns, uint32_t ntxns)
{
	FlowKnownSst *k;

	(void) txns;
	(void) ntxns;
	return find_listed(arg, id, "has a directory of", &k);
}

static FlowStatus
see_flushed(void *arg, uint64_t flushed_pos)
{
	((FlowHistory *) arg)->flushed_now = flushed_pos;
	return FLOW_OK;
}

static FlowStatus
see_next_id(void *arg, uint64_t next_sst_id)
{
	FlowHistory *h = arg;

	h->next_id = FLOW_MAX(h->next_id, next_sst_id);
	return FLOW_OK;
}

static FlowStatus
see_edit_done(void *arg)
{
	FlowHistory *h = arg;

	if (h->nedits == h->edits_cap)
	{
		uint32_t cap = h->edits_cap ? h->edits_cap * 2 : 256;
		uint64_t *flushed =
			h->env->realloc(h->env, h->flushed, cap * sizeof(*flushed));

		if (flushed == NULL)
			return flowi_fail(FLOW_NOMEM, "out of memory");
		h->flushed = flushed;
		h->edits_cap = cap;
	}
	h->flushed[h->nedits++] = h->flushed_now;
	return FLOW_OK;
}

FlowStatus
flowi_history_read(FlowHistory *h)
{
	const FlowManifestVisitor visitor = {
		.arg = h,
		.add_sst = see_add,
		.remove_sst = see_remove,
		.trash = see_trash,
		.gone = see_gone,
		.edit_done = see_edit_done,
		.txns = see_txns,
		.flushed = see_flushed,
		.next_id = see_next_id,
	};

	return flowi_manifest_replay(h->env, h->dir, &visitor, &h->pos);
}

void
flowi_history_free(FlowHistory *h)
{
	h->env->free(h->env, h->known);
	h->env->free(h->env, h->slot);
	h->env->free(h->env, h->flushed);
}

/* --------------------------------------------------------------- choosing */

/* Is it in the state that the first n edits make? */
static bool
listed_by(const FlowKnownSst *k, uint32_t n)
{
	return k->added != FLOW_NO_EDIT && k->added < n && k->removed >= n;
}

bool
flowi_history_lists(const FlowHistory *h, const FlowKnownSst *k)
{
	return k && listed_by(k, h->keep) && (k->found || !h->without_missing);
}

bool
flowi_history_is_whole(const FlowHistory *h)
{
	return h->keep == h->nedits && !h->without_missing;
}

/* The first file that the first n edits list and that is missing, or NULL. */
static const FlowKnownSst *
first_missing(const FlowHistory *h, uint32_t n)
{
	for (uint32_t i = 0; i < h->nknown; i++)
	{
		if (listed_by(&h->known[i], n) && !h->known[i].found)
			return &h->known[i];
	}
	return NULL;
}

/*
 * The longest prefix that lists no missing file; 0: none.  A missing file
 * spoils the prefixes from the edit that adds it to the one that removes it.
 */
static FlowStatus
newest_complete(const FlowHistory *h, uint32_t *np)
{
	int64_t *change = h->env->alloc(h->env, (h->nedits + 1) * sizeof(*change));
	int64_t missing = 0;

	*np = 0;
	if (change == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	memset(change, 0, (h->nedits + 1) * sizeof(*change));
	for (uint32_t i = 0; i < h->nknown; i++)
	{
		const FlowKnownSst *k = &h->known[i];

		if (k->added == FLOW_NO_EDIT || k->found)
			continue;
		change[k->added]++;
		change[FLOW_MIN(k->removed, h->nedits)]--;
	}
	for (uint32_t i = 0; i < h->nedits; i++)
	{
		missing += change[i];
		if (missing == 0)
			*np = i + 1;
	}
	h->env->free(h->env, change);
	return FLOW_OK;
}

/* Does redo bring all that the edits behind the first n have flushed? */
static bool
redo_follows(const FlowHistory *h, uint32_t n, uint64_t log_start)
{
	if (h->flushed[n - 1] >= log_start)
		return true;
	for (uint32_t i = 0; i < h->nknown; i++)
	{
		const FlowKnownSst *k = &h->known[i];

		if (k->added != FLOW_NO_EDIT && k->added >= n &&
			k->origin == FLOW_SST_FLUSHED && k->seq_min < log_start)
			return false;
	}
	return true;
}

/* Does redo bring all records of the files that are missing? */
static bool
redo_brings_missing(const FlowHistory *h, uint64_t log_start)
{
	for (uint32_t i = 0; i < h->nknown; i++)
	{
		const FlowKnownSst *k = &h->known[i];

		if (listed_by(k, h->nedits) && !k->found && k->seq_min < log_start)
			return false;
	}
	return true;
}

static FlowStatus
fail_missing(const FlowHistory *h, const FlowKnownSst *k)
{
	char path[FLOW_PATH_BYTES];

	flowi_version_path(h->dir, k->id, path);
	if (k->found_bytes > 0)
		return flowi_fail(FLOW_CORRUPT,
						  "SSTable \"%s\" has %" PRIu64
						  " bytes, but the manifest says %" PRIu64,
						  path, k->found_bytes, k->file_bytes);
	return flowi_fail(FLOW_CORRUPT,
					  "SSTable \"%s\" is missing, but the manifest lists it",
					  path);
}

FlowStatus
flowi_history_choose(FlowHistory *h, const FlowOptions *opts)
{
	const FlowKnownSst *missing = first_missing(h, h->nedits);
	uint32_t n;

	h->keep = h->nedits;
	h->flushed_pos = h->flushed[h->nedits - 1];
	if (missing == NULL)
		return FLOW_OK;
	if (!opts->will_redo)
		return fail_missing(h, missing);
	FLOW_TRY(newest_complete(h, &n));
	if (n > 0 && redo_follows(h, n, opts->log_start))
	{
		h->keep = n;
		h->flushed_pos = h->flushed[n - 1];
		return FLOW_OK;
	}
	if (!redo_brings_missing(h, opts->log_start))
		return fail_missing(h, missing);
	h->without_missing = true;
	h->flushed_pos = FLOW_MIN(h->flushed_pos, opts->log_start);
	return FLOW_OK;
}
