/*-------------------------------------------------------------------------
 * source.c
 *	  What a scan reads from: private buffer, memtables, SSTables.
 *
 * Between two calls a scan keeps its version and the iterators on its
 * SSTables, which stand where the merge left them, paused.  Memtables and the
 * private buffer are taken up anew in each call, at the scan's position.
 * When a newer version is there, the SSTables are too: the position alone
 * says how to go on, and the rows of a memtable that was flushed meanwhile
 * are now in one of the new SSTables.
 *
 * An SSTable is opened when the merge comes to its floor: for the newest row
 * of a key, files of older times are never touched.
 *
 * Keeps: S8.
 *-------------------------------------------------------------------------
 */
#include "scan.h"

#include "txbuf.h"

/* ------------------------------------------------------------- position */

FlowStatus
flowi_source_aim(FlowScan *s, const FlowSeek *to)
{
	s->target_key.len = 0;
	if (!to->unbounded)
		FLOW_TRY(flowi_buf_append(&s->target_key, to->key, to->key_bytes));
	s->target = *to;
	s->target.key = s->target_key.data;
	return FLOW_OK;
}

/* Where the scan has to go on, or to begin. */
static FlowSeek
position(const FlowScan *s)
{
	const FlowKeyBound *from =
		s->spec.reverse ? &s->spec.key_hi : &s->spec.key_lo;
	FlowSeek to = {0};

	if (s->has_pos)
	{
		to.key = s->pos_key.data;
		to.key_bytes = (uint32_t) s->pos_key.len;
		to.ts = s->pos_ts;
		to.after = s->resolved;
		return to;
	}
	if (from->kind == FLOW_OPEN)
	{
		to.unbounded = true;
		return to;
	}
	to.key = from->key;
	to.key_bytes = (uint32_t) from->key_bytes;
	if (from->kind == FLOW_EXCLUSIVE)
	{
		/* past all of that key */
		to.ts = s->spec.reverse ? INT64_MIN : INT64_MAX;
		to.after = true;
	}
	else
		to.ts = s->spec.reverse ? s->ts_hi : s->ts_lo;
	return to;
}

/* ------------------------------------------------------------- SSTables */

static void
close_sst(FlowMergeSource *base)
{
	FlowSource *src = (FlowSource *) base;

	if (base->it)
		base->it->free(base->it);
	base->it = NULL;
	if (src->reader)
		flowi_readers_release(src->scan->db->readers, src->reader);
	src->reader = NULL;
	src->ended = true;
}

static FlowStatus
open_sst(FlowMergeSource *base)
{
	FlowSource *src = (FlowSource *) base;
	FlowScan *s = src->scan;
	bool check = atomic_load(&src->sst->unsettled) > 0;

	FlowSstIterOptions o = {.reverse = s->spec.reverse,
							.no_fill_cache = s->spec.no_fill_cache,
							.no_verify = s->spec.no_verify,
							.marks = s->spans && !check,
							.ts_lo = s->ts_lo,
							.ts_hi = s->ts_hi,
							.find_txn = check ? flowi_version_find_txn : NULL,
							.find_arg = src->sst,
							.stats = &s->sst_stats};

	FLOW_TRY(flowi_readers_acquire(s->db->readers, src->sst, &src->reader));
	if (s->one_key)
	{
		const FlowKeyBound *key = &s->spec.key_lo;
		bool may;

		FLOW_TRY(flowi_sst_may_contain(src->reader->sst, key->key,
									   (uint32_t) key->key_bytes, &o, &may));
		s->stats.ssts_bloom += !may;
		if (!may)
			return FLOW_END;
	}
	FLOW_TRY(flowi_sst_iter(src->reader->sst, &o, &base->it));
	s->stats.ssts_read++;
	return base->it->seek(base->it, &s->target);
}

static bool
pruned_by_time(const FlowScan *s, const FlowSstInfo *info)
{
	return info->ts_max < s->ts_lo || info->ts_min > s->ts_hi;
}

/* Is there no key of sst between the target and the end of the bounds? */
static bool
pruned_by_key(const FlowScan *s, const FlowSstInfo *info)
{
	const FlowKeyBound *lo = &s->spec.key_lo;
	const FlowKeyBound *hi = &s->spec.key_hi;
	const FlowSeek *to = &s->target;
	int c;

	if (lo->kind != FLOW_OPEN)
	{
		c = flowi_key_cmp(info->key_max, info->key_max_bytes, lo->key,
						  (uint32_t) lo->key_bytes);
		if (c < 0 || (c == 0 && lo->kind == FLOW_EXCLUSIVE))
			return true;
	}
	if (hi->kind != FLOW_OPEN)
	{
		c = flowi_key_cmp(info->key_min, info->key_min_bytes, hi->key,
						  (uint32_t) hi->key_bytes);
		if (c > 0 || (c == 0 && hi->kind == FLOW_EXCLUSIVE))
			return true;
	}
	if (to->unbounded)
		return false;
	if (s->spec.reverse)
		return flowi_key_cmp(info->key_min, info->key_min_bytes, to->key,
							 to->key_bytes) > 0;
	return flowi_key_cmp(info->key_max, info->key_max_bytes, to->key,
						 to->key_bytes) < 0;
}

/*
 * An identity that no row of sst from the target on comes before: within the
 * target's key the file's time bounds tell, else its key bounds.
 */
static FlowRec
floor_of(const FlowScan *s, const FlowSstInfo *info)
{
	const FlowSeek *to = &s->target;
	bool reverse = s->spec.reverse;
	FlowRec floor = {.seq = UINT64_MAX};
	int c = 1;

	floor.key = reverse ? info->key_max : info->key_min;
	floor.key_bytes = reverse ? info->key_max_bytes : info->key_min_bytes;
	floor.ts = reverse ? info->ts_max : info->ts_min;
	if (to->unbounded)
		return floor;
	c = flowi_key_cmp(to->key, to->key_bytes, floor.key, floor.key_bytes);
	if (reverse ? c <= 0 : c >= 0)
	{
		floor.key = s->origin_key.data;
		floor.key_bytes = (uint32_t) s->origin_key.len;
		floor.ts =
			reverse ? FLOW_MIN(floor.ts, to->ts) : FLOW_MAX(floor.ts, to->ts);
	}
	return floor;
}

static FlowStatus
reserve_sources(FlowEnv *env, FlowSource **list, uint32_t *cap, uint32_t n)
{
	FlowSource *bigger;

	if (n <= *cap)
		return FLOW_OK;
	bigger = env->realloc(env, *list, n * sizeof(*bigger));
	if (bigger == NULL)
		return flowi_fail(FLOW_NOMEM, "out of memory");
	*list = bigger;
	*cap = n;
	return FLOW_OK;
}

static void
drop_ssts(FlowScan *s)
{
	for (uint32_t i = 0; i < s->nssts; i++)
		close_sst(&s->ssts[i].base);
	s->nssts = 0;
	s->ssts_built = false;
}

/* Let go of cached blocks, and take them up again. */
static void
pause_ssts(FlowScan *s)
{
	for (uint32_t i = 0; i < s->nssts; i++)
		if (s->ssts[i].base.it)
			flowi_sst_iter_pause(s->ssts[i].base.it);
}

static FlowStatus
resume_ssts(FlowScan *s)
{
	for (uint32_t i = 0; i < s->nssts; i++)
		if (s->ssts[i].base.it)
			FLOW_TRY(flowi_sst_iter_resume(s->ssts[i].base.it));
	return FLOW_OK;
}

/* Sources for the version's SSTables that have something for the scan. */
static FlowStatus
build_ssts(FlowScan *s)
{
	const FlowVersion *v = s->pins.version;
	bool first_time = !s->has_pos;
	uint32_t first;
	uint32_t n = flowi_version_store(v, s->spec.store_id, &first);

	FLOW_TRY(reserve_sources(s->db->env, &s->ssts, &s->ssts_cap, n));
	s->origin_key.len = 0;
	FLOW_TRY(flowi_buf_append(&s->origin_key, s->target_key.data,
							  s->target_key.len));
	for (uint32_t i = first; i < first + n; i++)
	{
		FlowSst *sst = v->sst[i];
		FlowSource *src = &s->ssts[s->nssts];

		bool by_time = pruned_by_time(s, &sst->info);

		if (by_time || pruned_by_key(s, &sst->info))
		{
			s->stats.ssts_skipped += first_time;
			s->stats.ssts_skipped_time += first_time && by_time;
			continue;
		}
		*src = (FlowSource){.scan = s,
							.kind = FLOW_SOURCE_SST,
							.sst = sst,
							.floor = floor_of(s, &sst->info)};
		src->base.rank = 1;
		src->base.open = open_sst;
		src->base.ended = close_sst;
		s->nssts++;
	}
	s->ssts_built = true;
	return FLOW_OK;
}

/* ------------------------------------------- memtables and private buffer */

/* Enter it, at the target; a source with no row left goes at once. */
static FlowStatus
add_mem(FlowScan *s, FlowSourceKind kind, FlowIter *it)
{
	FlowSource *src = &s->mems[s->nmems];
	FlowStatus st = it->seek(it, &s->target);

	if (st != FLOW_OK)
	{
		it->free(it);
		return st == FLOW_END ? FLOW_OK : st;
	}
	*src = (FlowSource){.scan = s, .kind = kind};
	src->base.it = it;
	src->base.cur = &it->cur;
	src->base.rank = kind == FLOW_SOURCE_OWN ? 0 : 1;
	s->nmems++;
	return FLOW_OK;
}

/* The private buffer; when one record is wanted, no order of it is needed. */
static FlowStatus
add_own(FlowScan *s)
{
	const FlowScanSpec *spec = &s->spec;
	FlowSeek at = {.key = spec->key_lo.key,
				   .key_bytes = (uint32_t) spec->key_lo.key_bytes,
				   .ts = s->ts_lo};
	FlowIter *it;
	FlowStatus st;

	if (s->one_key && s->ts_lo == s->ts_hi)
		st = flowi_txbuf_point_iter(spec->own, spec->store_id, spec->own_cid,
									spec->reverse, &at, &it);
	else
		st = flowi_txbuf_iter(spec->own, spec->store_id, spec->own_cid,
							  spec->reverse, &it);
	if (st == FLOW_NOTFOUND)
		return FLOW_OK;
	FLOW_TRY(st);
	return add_mem(s, FLOW_SOURCE_OWN, it);
}

static FlowStatus
build_mems(FlowScan *s)
{
	FlowEnv *env = s->db->env;
	const FlowScanSpec *spec = &s->spec;
	FlowIter *it;

	FLOW_TRY(
		reserve_sources(env, &s->mems, &s->mems_cap, s->pins.nmemtables + 1));
	if (spec->own)
		FLOW_TRY(add_own(s));
	for (uint32_t i = 0; i < s->pins.nmemtables; i++)
	{
		FLOW_TRY(flowi_memtable_iter(env, s->pins.memtables[i], spec->store_id,
									 spec->reverse, &it));
		FLOW_TRY(add_mem(s, FLOW_SOURCE_MEMTABLE, it));
	}
	return FLOW_OK;
}

static void
drop_mems(FlowScan *s)
{
	while (s->nmems > 0)
	{
		FlowIter *it = s->mems[--s->nmems].base.it;

		it->free(it);
	}
}

/* ------------------------------------------------------------------ all */

/* Were range tombstones of the private buffer taken back, or added?  An
 * SSTable may stand behind rows that only they hid (flowi_hide_skip). */
static bool
own_tombs_changed(const FlowScan *s)
{
	return s->spec.own != NULL &&
		   flowi_txbuf_tombs_generation(s->spec.own) != s->tombs_own;
}

FlowStatus
flowi_source_begin(FlowScan *s)
{
	const FlowVersion *before = s->pins.version;
	FlowSeek to = position(s);

	FLOW_TRY(flowi_pins_take(s->db, &s->pins));
	if (s->pins.version != before)
	{
		drop_ssts(s); /* does not look at the old version any more */
		if (before)
			flowi_readers_retain(s->db->readers, s->pins.version);
	}
	else if (s->ssts_built && own_tombs_changed(s))
		drop_ssts(s);
	FLOW_TRY(flowi_source_aim(s, &to));
	FLOW_TRY(build_mems(s));
	if (s->ssts_built)
		FLOW_TRY(resume_ssts(s));
	else
		FLOW_TRY(build_ssts(s));
	FLOW_TRY(flowi_hide_collect(s));

	flowi_merge_reset(&s->merge, s->spec.reverse);
	FLOW_TRY(flowi_merge_reserve(&s->merge, s->nmems + s->nssts));
	for (uint32_t i = 0; i < s->nmems; i++)
		flowi_merge_add(&s->merge, &s->mems[i].base);
	for (uint32_t i = 0; i < s->nssts; i++)
	{
		FlowSource *src = &s->ssts[i];

		if (src->ended)
			continue;
		src->base.cur = src->base.it ? &src->base.it->cur : &src->floor;
		flowi_merge_add(&s->merge, &src->base);
	}
	return FLOW_OK;
}

void
flowi_source_end(FlowScan *s)
{
	drop_mems(s);
	pause_ssts(s);
	flowi_pins_drop_memtables(s->db, &s->pins);
}

void
flowi_source_drop(FlowScan *s)
{
	drop_mems(s);
	drop_ssts(s);
	s->tombs_known = false; /* it names the version */
	flowi_pins_drop(s->db, &s->pins);
}
