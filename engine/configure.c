/*-------------------------------------------------------------------------
 * configure.c
 *	  Settings that change while a database is open; policies of stores.
 *
 * They are kept as the description of a store of a reserved name, which holds
 * no records: so they are logged, redone, written into the manifest and
 * loaded like any definition, and a standby has them with the log.  What is
 * loaded with (FlowOptions) stays in sh->options, and what counts now, of
 * both together, is in sh->live.  Bytes: doc/FORMAT.md "Settings".
 *
 * Locks: L1 to configure, L2 for the settings.
 *-------------------------------------------------------------------------
 */
#include "configure.h"

#include <inttypes.h>

#include "active.h"
#include "coding.h"
#include "store.h"

#define SETTINGS_VERSION 1

/* A store's policy in the description. */
typedef struct StorePolicy
{
	uint32_t store_id;
	uint32_t kind;
} StorePolicy;

/* A description being read: the settings, then policies one by one. */
typedef struct Reader
{
	const uint8_t *p;
	const uint8_t *end;
	uint32_t npolicies; /* left */
} Reader;

/* ---------------------------------------------------------------- reading */

/* false: malformed. */
static bool
read_settings(Reader *r, FlowSettings *settings)
{
	uint32_t n;
	uint32_t last = 0;

	memset(settings, 0, sizeof(*settings));
	if (r->p == r->end || *r->p++ != SETTINGS_VERSION ||
		!flowi_get_varint32(&r->p, r->end, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t which;
		uint64_t value;

		if (!flowi_get_varint32(&r->p, r->end, &which) || which <= last ||
			which >= FLOW_SETTING_END ||
			!flowi_get_varint(&r->p, r->end, &value))
			return false;
		settings->given |= 1u << which;
		settings->value[which] = flowi_unzigzag(value);
		last = which;
	}
	return flowi_get_varint32(&r->p, r->end, &r->npolicies);
}

/* false: there is no more, or it is malformed, and npolicies is not 0. */
static bool
read_policy(Reader *r, StorePolicy *sp)
{
	if (r->npolicies == 0 ||
		!flowi_get_varint32(&r->p, r->end, &sp->store_id) ||
		!flowi_get_varint32(&r->p, r->end, &sp->kind) ||
		sp->kind > FLOW_POLICY_TWCS)
		return false;
	r->npolicies--;
	return true;
}

static Reader
reader(const void *blob, size_t bytes)
{
	const uint8_t *p = blob;

	return (Reader){.p = p, .end = p + bytes};
}

static FlowMergePolicy
policy_of_kind(uint32_t kind)
{
	FlowMergePolicy policy = FLOW_POLICY_DEFAULT;

	policy.kind = (FlowPolicyKind) kind;
	return policy;
}

/* Options with the settings over them. */
static FlowOptions
merged(const FlowOptions *base, const FlowSettings *s)
{
	FlowOptions o = *base;

#define TAKE(setting, type, field)               \
	if (s->given & 1u << FLOW_SETTING_##setting) \
	o.field = (type) s->value[FLOW_SETTING_##setting]

	TAKE(MEMTABLE_BYTES, uint64_t, memtable_bytes);
	TAKE(MAX_FROZEN, uint32_t, max_frozen);
	TAKE(BLOCK_BYTES, uint32_t, block_bytes);
	TAKE(BLOOM_BITS, uint32_t, bloom_bits_per_key);
	TAKE(FLUSH_COMPRESSION, FlowCompression, flush_compression);
	TAKE(MERGE_COMPRESSION, FlowCompression, merge_compression);
	TAKE(ZSTD_LEVEL, int32_t, zstd_level);
	TAKE(DEFAULT_TTL_SECS, int64_t, default_ttl_secs);
	TAKE(MERGE_THRESHOLD, uint32_t, merge_threshold);
	TAKE(AUTO_BACKGROUND, bool, auto_background);
	TAKE(FLUSH_INTERVAL_MS, uint32_t, flush_interval_ms);
	TAKE(COMPACTION_INTERVAL_MS, uint32_t, compaction_interval_ms);
	TAKE(GC_INTERVAL_SECS, uint32_t, gc_interval_secs);
#undef TAKE
	if (s->given & 1u << FLOW_SETTING_POLICY)
		o.policy = policy_of_kind((uint32_t) s->value[FLOW_SETTING_POLICY]);
	return o;
}

/* Values that the fields of FlowOptions cannot even hold, then its rules. */
static FlowStatus
check_settings(const FlowOptions *base, const FlowSettings *s)
{
	FlowOptions o;

	for (int i = 1; i < FLOW_SETTING_END; i++)
	{
		bool wide = i == FLOW_SETTING_MEMTABLE_BYTES ||
					i == FLOW_SETTING_DEFAULT_TTL_SECS;

		if (s->given >> i & 1 && !wide &&
			(s->value[i] < 0 || s->value[i] > INT32_MAX))
			return flowi_fail(FLOW_INVALID,
							  "setting %d is out of range: %" PRId64, i,
							  s->value[i]);
	}
	if (s->given & 1u << FLOW_SETTING_MEMTABLE_BYTES &&
		s->value[FLOW_SETTING_MEMTABLE_BYTES] < 0)
		return flowi_fail(FLOW_INVALID, "memtable_bytes must be at least 1 MB");
	o = merged(base, s);
	return flow_options_check(&o);
}

FlowStatus
flowi_configure_check(const FlowStoreInfo *info)
{
	Reader r = reader(info->blob, info->blob_bytes);
	const FlowOptions defaults = FLOW_OPTIONS_DEFAULT;
	FlowSettings settings;
	StorePolicy sp;

	if (info->name_bytes != sizeof(FLOW_SETTINGS_STORE) - 1 ||
		memcmp(info->name, FLOW_SETTINGS_STORE, info->name_bytes) != 0)
		return FLOW_OK;
	if (info->blob_bytes > 0 && *r.p > SETTINGS_VERSION)
		return flowi_fail(FLOW_MISMATCH,
						  "settings have version %u, this build reads "
						  "version %u",
						  *r.p, SETTINGS_VERSION);
	FLOW_CHECK_DATA(read_settings(&r, &settings) &&
						check_settings(&defaults, &settings) == FLOW_OK,
					"settings are malformed");
	while (read_policy(&r, &sp))
		;
	FLOW_CHECK_DATA(r.npolicies == 0 && r.p == r.end,
					"policies in settings are malformed");
	return FLOW_OK;
}

/* ----------------------------------------------------------- taking effect */

/* A memtable may be a quarter of the write buffers, so that one can fill
 * while others are flushed; that of the options is the host's affair. */
static uint64_t
memtable_limit(FlowEnv *env, const FlowOptions *o, const FlowSettings *s)
{
	uint64_t total;
	uint64_t unused;

	if (!(s->given & 1u << FLOW_SETTING_MEMTABLE_BYTES))
		return o->memtable_bytes;
	flow_region_usage(env, env->region, &total, &unused, &unused, &unused);
	return FLOW_MAX(FLOW_MIN(o->memtable_bytes, total / 4), UINT64_C(1) << 20);
}

static void
set_live(FlowEnv *env, FlowDbShared *sh, const FlowSettings *s)
{
	FlowOptions o = merged(&sh->options, s);
	int64_t live[FLOW_SETTING_END] = {
		[FLOW_SETTING_MEMTABLE_BYTES] = (int64_t) memtable_limit(env, &o, s),
		[FLOW_SETTING_MAX_FROZEN] = o.max_frozen,
		[FLOW_SETTING_BLOCK_BYTES] = o.block_bytes,
		[FLOW_SETTING_BLOOM_BITS] = o.bloom_bits_per_key,
		[FLOW_SETTING_FLUSH_COMPRESSION] = o.flush_compression,
		[FLOW_SETTING_MERGE_COMPRESSION] = o.merge_compression,
		[FLOW_SETTING_ZSTD_LEVEL] = o.zstd_level,
		[FLOW_SETTING_DEFAULT_TTL_SECS] = o.default_ttl_secs,
		[FLOW_SETTING_MERGE_THRESHOLD] = o.merge_threshold,
		[FLOW_SETTING_POLICY] = o.policy.kind,
		[FLOW_SETTING_AUTO_BACKGROUND] = o.auto_background,
		[FLOW_SETTING_FLUSH_INTERVAL_MS] = o.flush_interval_ms,
		[FLOW_SETTING_COMPACTION_INTERVAL_MS] = o.compaction_interval_ms,
		[FLOW_SETTING_GC_INTERVAL_SECS] = o.gc_interval_secs};

	for (int i = 1; i < FLOW_SETTING_END; i++)
		atomic_store(&sh->live[i], live[i]);
	if ((s->given | sh->settings.given) & 1u << FLOW_SETTING_POLICY)
		sh->policy = o.policy;
	sh->settings = *s;
}

void
flowi_configure_init(FlowEnv *env, FlowDbShared *sh)
{
	FlowSettings none = {0};

	sh->policy = sh->options.policy;
	set_live(env, sh, &none);
}

static FlowStore *
find_settings(const FlowDbShared *sh)
{
	FlowStore *s = sh->stores;

	while (s && strcmp(s->name, FLOW_SETTINGS_STORE) != 0)
		s = s->next;
	return s;
}

/* The policy that the description gives s, or none. */
static void
take_policy(const FlowStore *from, FlowStore *s)
{
	Reader r = reader(from->blob, from->blob_bytes);
	FlowSettings unused;
	StorePolicy sp;

	if (s->configured)
		s->configured = s->has_policy = false;
	if (!read_settings(&r, &unused))
		return;
	while (read_policy(&r, &sp))
	{
		if (sp.store_id != s->id)
			continue;
		s->policy = policy_of_kind(sp.kind);
		s->configured = s->has_policy = true;
	}
}

void
flowi_configure_entered(FlowEnv *env, FlowDbShared *sh, FlowStore *s)
{
	FlowStore *from = find_settings(sh);
	Reader r;
	FlowSettings settings;

	if (from == NULL)
		return;
	if (from != s)
		take_policy(from, s);
	else
	{
		r = reader(s->blob, s->blob_bytes);
		if (!read_settings(&r, &settings))
			return; /* checked before: cannot be */
		set_live(env, sh, &settings);
		for (FlowStore *to = sh->stores; to; to = to->next)
			take_policy(from, to);
	}
	atomic_fetch_add(&sh->policy_number, 1);
}

/* ----------------------------------------------------------------- writing */

static FlowStatus
write_settings(FlowBuf *buf, const FlowSettings *s)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < FLOW_SETTING_END; i++)
		n += s->given >> i & 1;
	FLOW_TRY(flowi_buf_varint(buf, SETTINGS_VERSION));
	FLOW_TRY(flowi_buf_varint(buf, n));
	for (uint32_t i = 1; i < FLOW_SETTING_END; i++)
	{
		if (!(s->given >> i & 1))
			continue;
		FLOW_TRY(flowi_buf_varint(buf, i));
		FLOW_TRY(flowi_buf_varint(buf, flowi_zigzag(s->value[i])));
	}
	return FLOW_OK;
}

/* The stores' policies as they are, but for that of store_id, if it is not
 * 0.  State lock held. */
static FlowStatus
write_policies(FlowBuf *buf, const FlowDbShared *sh, uint32_t store_id,
			   int policy)
{
	uint32_t n = 0;

	for (const FlowStore *s = sh->stores; s; s = s->next)
		n += s->id == store_id ? policy >= 0 : s->configured;
	FLOW_TRY(flowi_buf_varint(buf, n));
	for (const FlowStore *s = sh->stores; s; s = s->next)
	{
		bool changed = s->id == store_id;

		if (changed ? policy < 0 : !s->configured)
			continue;
		FLOW_TRY(flowi_buf_varint(buf, s->id));
		FLOW_TRY(flowi_buf_varint(buf, changed ? (uint32_t) policy
											   : s->policy.kind));
	}
	return FLOW_OK;
}

/* The new description; settings NULL: as they are. */
static FlowStatus
describe(FlowDb *db, const FlowSettings *settings, uint32_t store_id,
		 int policy, FlowBuf *buf)
{
	FlowEnv *env = db->env;
	FlowDbShared *sh = db->sh;
	FlowStatus st;

	env->lock_acquire(env, &sh->state_lock, FLOW_LOCK_SHARED);
	st = write_settings(buf, settings ? settings : &sh->settings);
	if (st == FLOW_OK)
		st = write_policies(buf, sh, store_id, policy);
	env->lock_release(env, &sh->state_lock);
	return st;
}

/* Room for any settings and so many policies. */
#define SETTINGS_MAX_BYTES(stores) (2048 + (size_t) (stores) *12)

static FlowStatus
configure(FlowDb *db, const FlowSettings *settings, uint32_t store_id,
		  int policy)
{
	FlowStoreInfo info = {.name = FLOW_SETTINGS_STORE,
						  .name_bytes = sizeof(FLOW_SETTINGS_STORE) - 1};
	FlowBuf buf = {.env = db->env};
	uint64_t end = 0;
	bool frozen = false;
	FlowStats stats;
	FlowStatus st;

	flow_stats(db, &stats);
	FLOW_TRY(flowi_active_enter(db, SETTINGS_MAX_BYTES(stats.stores + 64),
								FLOW_SYNC_DEFAULT));
	st = describe(db, settings, store_id, policy, &buf);
	if (st == FLOW_OK && buf.len > SETTINGS_MAX_BYTES(stats.stores + 64) - 64)
		st = flowi_fail(FLOW_BUSY, "stores are being made");
	if (st == FLOW_OK)
	{
		info.blob = buf.data;
		info.blob_bytes = buf.len;
		st = flowi_stores_define(db, &info, &end);
	}
	if (st == FLOW_BUSY)
		frozen = flowi_active_freeze(db);
	flowi_active_leave(db, frozen);
	flowi_buf_free(&buf);
	if (st == FLOW_OK && end != 0)
		st = flowi_active_commit(db, end);
	return st;
}

FlowStatus
flow_configure(FlowDb *db, const FlowSettings *settings)
{
	FlowSettings clean = {.given =
							  settings->given & ((1u << FLOW_SETTING_END) - 2)};
	FlowSettings now;

	for (int i = 1; i < FLOW_SETTING_END; i++)
		clean.value[i] = clean.given >> i & 1 ? settings->value[i] : 0;
	FLOW_TRY(check_settings(&db->sh->options, &clean));
	flow_settings(db, &now);
	if (memcmp(&now, &clean, sizeof(now)) == 0)
		return FLOW_OK;
	return configure(db, &clean, 0, -1);
}

FlowStatus
flow_configure_store(FlowDb *db, uint32_t store_id, int policy)
{
	int now;
	bool has;

	if (policy < -1 || policy > FLOW_POLICY_TWCS)
		return flowi_fail(FLOW_INVALID, "merge policy %d is unknown", policy);
	FLOW_TRY(flowi_stores_check(db->env, db->sh, store_id));
	has = flow_store_policy(db, store_id, &now);
	if (has ? now == policy : policy == -1)
		return FLOW_OK;
	return configure(db, NULL, store_id, policy);
}

/* --------------------------------------------------------------- questions */

void
flow_settings(FlowDb *db, FlowSettings *settings)
{
	FlowDbShared *sh = db->sh;

	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	*settings = sh->settings;
	db->env->lock_release(db->env, &sh->state_lock);
}

bool
flow_setting(FlowDb *db, FlowSetting which, int64_t *valuep)
{
	FlowSettings settings;

	flow_settings(db, &settings);
	*valuep = settings.value[which];
	return (settings.given & 1u << which) != 0;
}

bool
flow_store_policy(FlowDb *db, uint32_t store_id, int *policyp)
{
	FlowDbShared *sh = db->sh;
	bool found = false;

	*policyp = -1;
	db->env->lock_acquire(db->env, &sh->state_lock, FLOW_LOCK_SHARED);
	for (const FlowStore *s = sh->stores; s; s = s->next)
	{
		if (s->id != store_id || !s->configured)
			continue;
		*policyp = (int) s->policy.kind;
		found = true;
	}
	db->env->lock_release(db->env, &sh->state_lock);
	return found;
}
