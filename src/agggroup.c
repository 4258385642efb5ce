/*-------------------------------------------------------------------------
 * agggroup.c
 *	  Groups of rows under way: one, or a hash table of them.
 *
 * Groups tend to come in the same order again: each key has rows of one
 * bucket after the other.  So a group remembers which one came after it, and
 * the table is asked only when that guess is wrong.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "executor/nodeHash.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "agg.h"

#define FIRST_SIZE 64 /* of the table */
#define ALL_HASHES (UINT64CONST(1) << 32)

typedef struct GroupEntry
{
	const FlowdbAggGroup *group;
	uint32 status;
} GroupEntry;

static inline bool
same_group(const FlowdbAggGroup *a, const FlowdbAggGroup *b)
{
	return a->bucket == b->bucket && a->bucket_null == b->bucket_null &&
		   a->part_len == b->part_len &&
		   (a->part_len == 0 || memcmp(a->part, b->part, a->part_len) == 0);
}

#define SH_PREFIX groups
#define SH_ELEMENT_TYPE GroupEntry
#define SH_KEY_TYPE const FlowdbAggGroup *
#define SH_KEY group
#define SH_HASH_KEY(tb, key) ((key)->hash)
#define SH_EQUAL(tb, a, b) same_group(a, b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

void
flowdb_groups_init(FlowdbAggGroups *g, int naggs, const FlowAggOp *ops)
{
	memset(g, 0, sizeof(*g));
	g->naggs = naggs;
	g->ops = ops;
	g->most_bytes = (double) get_hash_memory_limit();
	g->cxt = AllocSetContextCreate(CurrentMemoryContext, "FlowDB groups",
								   ALLOCSET_DEFAULT_SIZES);
	flowdb_groups_all(g);
}

void
flowdb_groups_forget(FlowdbAggGroups *g)
{
	if (g->n == 0)
		return;
	MemoryContextReset(g->cxt);
	g->n = 0;
	g->bytes = 0;
	g->first = NULL;
	g->last = NULL;
	g->current = NULL;
	g->table = NULL;
}

bool
flowdb_groups_same(const FlowdbAggGroups *g, const FlowdbAggGroup *probe)
{
	return g->current && same_group(g->current, probe);
}

/* With the allocator's share, and a table that is half full. */
static double
group_bytes(int naggs, double key_and_part)
{
	return offsetof(FlowdbAggGroup, aggs) + sizeof(FlowAgg) * (double) naggs +
		   key_and_part + 24 + 2 * sizeof(GroupEntry);
}

static FlowdbAggGroup *
add_group(FlowdbAggGroups *g, const FlowdbAggGroup *probe)
{
	Size size =
		offsetof(FlowdbAggGroup, aggs) + sizeof(FlowAgg) * (Size) g->naggs;
	FlowdbAggGroup *group =
		MemoryContextAlloc(g->cxt, size + probe->key_len + probe->part_len + 1);
	uint8 *bytes = (uint8 *) group + size;

	memcpy(group, probe, offsetof(FlowdbAggGroup, aggs));
	group->next = NULL;
	group->follow = NULL;
	if (probe->key_len > 0)
		memcpy(bytes, probe->key, probe->key_len);
	group->key = bytes;
	bytes += probe->key_len;
	if (probe->part_len > 0)
		memcpy(bytes, probe->part, probe->part_len);
	group->part = bytes;
	for (int i = 0; i < g->naggs; i++)
		flow_agg_begin(g->ops[i], &group->aggs[i]);
	if (g->last)
		g->last->next = group;
	else
		g->first = group;
	g->last = group;
	g->n++;
	g->bytes += group_bytes(g->naggs, probe->key_len + probe->part_len);
	return group;
}

/* The table, with the group in it that has been alone so far. */
static void
begin_table(FlowdbAggGroups *g)
{
	GroupEntry *entry;
	bool found;

	g->table = groups_create(g->cxt, FIRST_SIZE, NULL);
	if (!g->first)
		return;
	entry = groups_insert(g->table, g->first, &found);
	entry->group = g->first;
}

static void
set_hash(FlowdbAggGroup *probe)
{
	probe->hash = hash_combine(
		probe->part_hash,
		murmurhash32((uint32) probe->bucket ^ (uint32) (probe->bucket >> 32)));
}

/* Only here, and where there are passes, hashes are needed. */
static FlowdbAggGroup *
look_up(FlowdbAggGroups *g, FlowdbAggGroup *probe)
{
	GroupEntry *entry;
	bool found;

	set_hash(probe);
	if (!g->first)
		return add_group(g, probe);
	if (!g->table)
		begin_table(g);
	entry = groups_insert(g->table, probe, &found);
	if (!found)
		entry->group = add_group(g, probe);
	return unconstify(FlowdbAggGroup *, entry->group);
}

FlowdbAggGroup *
flowdb_groups_find(FlowdbAggGroups *g, FlowdbAggGroup *probe)
{
	FlowdbAggGroup *group = g->current;

	if (group && same_group(group, probe))
		return group;
	group = group ? group->follow : NULL;
	if (!group || !same_group(group, probe))
		group = look_up(g, probe);
	if (g->current)
		g->current->follow = group;
	g->current = group;
	return group;
}

/* ------------------------------------------------------------------ passes */

void
flowdb_groups_all(FlowdbAggGroups *g)
{
	g->pass_first = 0;
	g->pass_hashes = ALL_HASHES;
}

bool
flowdb_groups_split(FlowdbAggGroups *g)
{
	if (g->pass_hashes < 2)
		return false;
	flowdb_groups_forget(g);
	g->pass_hashes /= 2;
	return true;
}

bool
flowdb_groups_in_pass(const FlowdbAggGroups *g, FlowdbAggGroup *probe)
{
	if (g->pass_hashes == ALL_HASHES)
		return true;
	set_hash(probe);
	return probe->hash - g->pass_first < g->pass_hashes;
}

bool
flowdb_groups_next_pass(FlowdbAggGroups *g)
{
	g->pass_first += g->pass_hashes;
	return g->pass_first < ALL_HASHES;
}

/* ------------------------------------------------------------------- order */

static int
compare_rising(const void *pa, const void *pb)
{
	int64 a = (*(FlowdbAggGroup *const *) pa)->bucket;
	int64 b = (*(FlowdbAggGroup *const *) pb)->bucket;

	return a < b ? -1 : a > b;
}

static int
compare_falling(const void *pa, const void *pb)
{
	return compare_rising(pb, pa);
}

void
flowdb_groups_sort(FlowdbAggGroups *g, FlowdbAggDirection direction)
{
	FlowdbAggGroup **sorted;
	uint32 n = 0;

	if (g->n < 2)
		return;
	sorted =
		MemoryContextAllocHuge(g->cxt, (Size) g->n * sizeof(FlowdbAggGroup *));
	for (FlowdbAggGroup *group = g->first; group; group = group->next)
		sorted[n++] = group;
	pg_qsort(sorted, n, sizeof(FlowdbAggGroup *),
			 direction == FLOWDB_AGG_FALLING ? compare_falling
											 : compare_rising);
	for (uint32 i = 0; i < n; i++)
		sorted[i]->next = i + 1 < n ? sorted[i + 1] : NULL;
	g->first = sorted[0];
	g->last = sorted[n - 1];
	pfree(sorted);
}

double
flowdb_groups_bytes(double ngroups, int naggs, double key_bytes)
{
	return ngroups * group_bytes(naggs, 2 * key_bytes);
}
