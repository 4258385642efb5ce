/*-------------------------------------------------------------------------
 * ref_record_test.c
 *	  The reference's cases of records and configuration, TR..; and a list of
 *	  those of its log, TW.., which wal_test.c runs: TW01, TW03, TW04, TW06,
 *	  TW07, TW09, TW10, TW12, TW14, TW15.  (A batch is one record here, so the
 *	  markers of TW12 to TW15 have no counterpart but its wholeness.)
 *
 * The rules of options and bounds themselves (TR03, TR04, TR06, TR09, TR10,
 * TR13, TR15, TR17, TR19) stand in config_test.c and embed_test.c; here they
 * are seen at work.
 *-------------------------------------------------------------------------
 */
#include "refcase.h"

/* What counts for a record's size: here its key and value. */
static void
tr01_size(void)
{
	RefDb r;
	FlowStats before, after;
	uint64_t first;

	ref_open(&r);
	flow_stats(r.db, &before);
	ref_put(&r, "hello", 1, "world");
	flow_stats(r.db, &after);
	first = after.bytes_written - before.bytes_written;
	CHECK(first >= 10 && first <= 41);
	CHECK(after.records_written == before.records_written + 1);
	ref_put(&r, "", 1, "");
	flow_stats(r.db, &after);
	CHECK(after.bytes_written - before.bytes_written >= first);
	CHECK(after.bytes_written - before.bytes_written <= first + 31);
	ref_close(&r);
}

/* The default options, and each compression, open a database. */
static void
tr17_options(void)
{
	RefDb r;
	FlowOptions tried[6];

	for (int i = 0; i < 6; i++)
		tried[i] = (FlowOptions) FLOW_OPTIONS_DEFAULT;
	tried[1].flush_compression = FLOW_COMPRESS_NONE;
	tried[2].flush_compression = FLOW_COMPRESS_ZSTD;
	tried[3].merge_compression = FLOW_COMPRESS_LZ4;
	tried[4].zstd_level = 3;
	tried[5].zstd_level = 22;
	ref_open(&r);
	for (int i = 0; i < 6; i++)
	{
		ref_shut(&r);
		r.opts = tried[i];
		r.opts.wal_segment_bytes = 1u << 20;
		CHECK_OK(ref_try_open(&r));
		ref_put(&r, "k", i, "v");
	}
	ref_shut(&r);
	r.opts.zstd_level = 23;
	CHECK_STATUS(ref_try_open(&r), FLOW_INVALID);
	r.opts.zstd_level = 0;
	CHECK_STATUS(ref_try_open(&r), FLOW_INVALID);
	r.opts.zstd_level = 1;
	CHECK_OK(ref_try_open(&r));
	CHECK(ref_count(&r) == 6);
	ref_close(&r);
}

static const RefCase cases[] = {
	{"TR01", tr01_size, NULL},
	{"TR03", NULL,
	 "W a@99 a@100 m@150 z@200 z@201 zz@150; KT a z 100 200 -> a@100 m@150 "
	 "z@200"},
	{"TR04", NULL,
	 "W key@99 key@100 key1@200 key1@201 kez@150;"
	 "PT key 100 200 -> key@100 key1@200"},
	{"TR07", NULL,
	 "W k%00%FF@-7!1800000000000000=value @0=; ALL -> @0!9223372036854775807= "
	 "k%00%FF@-7!1800000000000000=value"},
	{"TR09", NULL,
	 "W fo@1 foo@1 foo@-5 foobar@9 foo%FF%FF@2 fop@1;"
	 "P foo -> foo@-5 foo@1 foobar@9 foo%FF%FF@2"},
	{"TR10", NULL, "W a@9 b@10 c@20 d@21; T 10 20 -> b@10 c@20"},
	{"TR13", NULL, "W @1 a@1 %FF@1; ALL -> @1 a@1 %FF@1"},
	{"TR17 TR19", tr17_options, NULL},
	/* a key that is no text; keys of one are beginnings of others */
	{"A01 A02", NULL,
	 "W a@1= aa@1= a%00@1= %80@1=; ALL -> a@1= a%00@1= aa@1= %80@1="},
	{"A14", NULL, "W @1 ~@1 %7F@1 %FF@1; P \"\" -> @1 ~@1 %7F@1 %FF@1"},
	{"A16", NULL, "W @1 a@1 %FF@1; K \"\" ~ -> @1 a@1"},
};

REF_MAIN(cases)
