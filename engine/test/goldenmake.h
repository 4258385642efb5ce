/*-------------------------------------------------------------------------
 * goldenmake.h
 *	  The golden databases, step by step; see golden.h.
 *-------------------------------------------------------------------------
 */
#ifndef FLOW_TEST_GOLDENMAKE_H
#define FLOW_TEST_GOLDENMAKE_H

#include "../configure.h"
#include "golden.h"

/* Stores of "host", by id. */
enum
{
	HOST_SETTINGS = 1,
	HOST_PLAIN,
	HOST_PACKED,
	HOST_SQUEEZED,
	HOST_MERGED,
	HOST_GONE,
	HOST_AGAIN,
	HOST_DOOMED,
	HOST_NEWBORN,
	HOST_LATE,
	HOST_LATER,
	HOST_END
};

static inline void
golden_configure(Golden *g, FlowCompression flush, FlowCompression merge)
{
	FlowSettings s = {0};

	s.given = 1u << FLOW_SETTING_BLOCK_BYTES |
			  1u << FLOW_SETTING_FLUSH_COMPRESSION |
			  1u << FLOW_SETTING_MERGE_COMPRESSION |
			  1u << FLOW_SETTING_DEFAULT_TTL_SECS;
	s.value[FLOW_SETTING_BLOCK_BYTES] = 1024;
	s.value[FLOW_SETTING_FLUSH_COMPRESSION] = flush;
	s.value[FLOW_SETTING_MERGE_COMPRESSION] = merge;
	s.value[FLOW_SETTING_DEFAULT_TTL_SECS] = 0;
	if (g->t)
		CHECK_OK(flow_configure(g->t->db, &s));
	if (g->next_store == HOST_SETTINGS)
		g->next_store++;
}

/* Everything that a version, a tombstone and a directory can be, uncompressed. */
static inline void
golden_plain(Golden *g)
{
	golden_puts(g, HOST_PLAIN, XID_NONE, 100, 120, 12, VALUE_RANDOM, 40);
	golden_puts(g, HOST_PLAIN, XID_COMMITTED, 105, 24, 12, VALUE_RANDOM, 30);
	golden_puts(g, HOST_PLAIN, XID_ABORTED, 100, 24, 12, VALUE_RANDOM, 30);
	golden_puts(g, HOST_PLAIN, XID_UNKNOWN, 103, 24, 12, VALUE_RANDOM, 30);
	golden_puts(g, HOST_PLAIN, XID_SETTLED, 200, 36, 12, VALUE_RANDOM, 30);
	golden_puts(g, HOST_PLAIN, XID_NONE, INT64_MIN, 12, 12, VALUE_RANDOM, 3);
	golden_puts(g, HOST_PLAIN, XID_NONE, 300, 1, 1, VALUE_RANDOM, 3000);
	golden_delete(g, HOST_PLAIN, XID_NONE, 1, 101);
	golden_delete(g, HOST_PLAIN, XID_SETTLED, 2, 102);
	golden_delete(g, HOST_PLAIN, XID_ABORTED, 3, 103);
	golden_delete(g, HOST_PLAIN, XID_NONE, 9, 999);
	golden_range(g, HOST_PLAIN, XID_NONE, 4, 6, 101, 104);
	golden_range(g, HOST_PLAIN, XID_COMMITTED, 8, 0, 202, INT64_MAX);
	golden_range(g, HOST_PLAIN, XID_UNKNOWN, 0, 9, INT64_MIN, INT64_MAX);
	golden_puts(g, HOST_PLAIN, XID_NONE, 102, 12, 12, VALUE_RANDOM, 20);
	golden_flush(g);
	golden_end_transactions();
	if (g->t)
		CHECK_OK(flow_resolve_all(g->t->db));
}

/* lz4, zstd, and what a merge leaves: a file that says so, and trash. */
static inline void
golden_files(Golden *g)
{
	bool ran = true;

	golden_configure(g, FLOW_COMPRESS_LZ4, FLOW_COMPRESS_NONE);
	golden_puts(g, HOST_PACKED, XID_NONE, 100, 240, 3, VALUE_REPEATED, 50);
	golden_flush(g);
	if (g->t)
		g->t->sh->manifest_failed = true; /* the next edit is a snapshot */
	golden_configure(g, FLOW_COMPRESS_ZSTD, FLOW_COMPRESS_NONE);
	golden_puts(g, HOST_SQUEEZED, XID_NONE, 100, 240, 3, VALUE_REPEATED, 50);
	golden_flush(g);

	golden_configure(g, FLOW_COMPRESS_NONE, FLOW_COMPRESS_NONE);
	for (int64_t ts = 100; ts < 104; ts += 2)
	{
		golden_puts(g, HOST_MERGED, XID_NONE, ts, 48, 12, VALUE_RANDOM, 40);
		golden_flush(g);
	}
	if (g->t)
	{
		CHECK_OK(flow_configure_store(g->t->db, HOST_MERGED, FLOW_POLICY_LCS));
		CHECK_OK(flow_compact(g->t->db, HOST_MERGED, &ran));
	}
	CHECK(ran);
	golden_range(g, HOST_MERGED, XID_NONE, 2, 5, 101, 101);
	golden_flush(g);
}

/* Stores that are gone, that somebody may have dropped, that may not have
 * begun. */
static inline void
golden_drops(Golden *g)
{
	CHECK(golden_store(g, "gone", "") == HOST_GONE);
	golden_puts(g, HOST_GONE, XID_NONE, 100, 12, 12, VALUE_RANDOM, 10);
	golden_flush(g);
	if (g->t)
	{
		CHECK_OK(flow_store_drop(g->t->db, HOST_GONE, XID_COMMITTED));
		CHECK_OK(flow_drop_step(g->t->db));
	}
	CHECK(golden_store(g, "gone", "again") == HOST_AGAIN);
	golden_puts(g, HOST_AGAIN, XID_NONE, 100, 12, 12, VALUE_RANDOM, 10);
	CHECK(golden_store(g, "doomed", "") == HOST_DOOMED);
	golden_puts(g, HOST_DOOMED, XID_NONE, 100, 12, 12, VALUE_RANDOM, 10);
	CHECK(golden_store(g, "newborn", "") == HOST_NEWBORN);
	golden_puts(g, HOST_NEWBORN, XID_NONE, 100, 12, 12, VALUE_RANDOM, 10);
	if (g->t)
	{
		CHECK_OK(flow_store_drop(g->t->db, HOST_DOOMED, XID_UNKNOWN));
		CHECK_OK(flow_store_drop_unless(g->t->db, HOST_NEWBORN, XID_UNKNOWN));
	}
	golden_flush(g);
}

/* A record of each kind that no SSTable has yet; the last batch is the one
 * that lz4 makes smaller. */
static inline void
golden_logged(Golden *g)
{
	CHECK(golden_store(g, "late", "late description") == HOST_LATE);
	golden_configure(g, FLOW_COMPRESS_LZ4, FLOW_COMPRESS_ZSTD);
	golden_puts(g, HOST_LATE, XID_LOGGED, 100, 24, 12, VALUE_RANDOM, 10);
	golden_range(g, HOST_PLAIN, XID_LOGGED, 0, 1, 100, 101);
	golden_delete(g, HOST_PLAIN, XID_LOGGED, 6, 105);
	CHECK(golden_store(g, "later", "") == HOST_LATER);
	golden_puts(g, HOST_LATER, XID_UNKNOWN, 100, 12, 12, VALUE_RANDOM, 10);
	if (g->t)
	{
		CHECK_OK(flow_store_drop(g->t->db, HOST_LATE, XID_UNKNOWN));
		CHECK_OK(flow_store_drop_unless(g->t->db, HOST_LATER, XID_UNKNOWN));
	}
	golden_puts(g, HOST_PLAIN, XID_LOGGED, 400, 60, 60, VALUE_REPEATED, 60);
}

static inline void
golden_host(Golden *g)
{
	golden_configure(g, FLOW_COMPRESS_NONE, FLOW_COMPRESS_NONE);
	CHECK(golden_store(g, "plain", "description of plain") == HOST_PLAIN);
	CHECK(golden_store(g, "packed", "") == HOST_PACKED);
	CHECK(golden_store(g, "squeezed", "") == HOST_SQUEEZED);
	CHECK(golden_store(g, "merged", "") == HOST_MERGED);
	golden_plain(g);
	golden_files(g);
	golden_drops(g);
	golden_logged(g);
	CHECK(g->next_store == HOST_END);
}

/* With a file log of several segments, one of them for a record that is larger
 * than the others; the last batches are in no SSTable. */
static inline void
golden_embed(Golden *g)
{
	uint32_t a = golden_store(g, "a", "description of a");
	uint32_t b = golden_store(g, "b", "");

	golden_puts(g, a, XID_NONE, 100, 120, 12, VALUE_RANDOM, 40);
	golden_flush(g);
	golden_puts(g, b, XID_NONE, 100, 144, 12, VALUE_RANDOM, 40);
	golden_puts(g, a, XID_NONE, 200, 1, 1, VALUE_RANDOM, GOLDEN_SEGMENT + 1000);
	golden_range(g, a, XID_NONE, 3, 4, 100, 101);
	golden_delete(g, b, XID_NONE, 3, 100);
	golden_puts(g, b, XID_NONE, 100, 24, 12, VALUE_RANDOM, 8);
}

/* One file of packed blocks: documents, texts with nothing in common among
 * them, some that are empty, tombstones, expiry. */
static inline void
golden_documents(Golden *g)
{
	uint32_t s = golden_store(g, "documents", "");
	bool ran = true;

	golden_puts(g, s, XID_NONE, 100, 600, 2, VALUE_DOCUMENT, GOLDEN_DOCUMENT);
	golden_puts(g, s, XID_NONE, 120, 24, 12, VALUE_RANDOM, 20);
	golden_flush(g);
	golden_puts(g, s, XID_NONE, 140, 300, 2, VALUE_DOCUMENT, GOLDEN_DOCUMENT);
	golden_delete(g, s, XID_NONE, 3, 105);
	golden_flush(g);
	if (g->t)
		CHECK_OK(flow_compact(g->t->db, s, &ran));
	CHECK(ran);
}

#endif /* FLOW_TEST_GOLDENMAKE_H */
