/*-------------------------------------------------------------------------
 * pick_test.c
 *	  Merge policies: what each of them picks, and that they come to an end.
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "../pick.h"
#include "check.h"

#define MB ((uint64_t) 1 << 20)
#define MAX_FILES 4096
#define DAY (INT64_C(86400) * 1000000)

/* A store as a policy sees it. */
typedef struct Store
{
	FlowMergePolicy policy;
	FlowSstInfo info[MAX_FILES];
	char keys[MAX_FILES][2][8];
	double garbage[MAX_FILES];
	uint32_t n;
	uint64_t next_id;
	FlowPickFile files[MAX_FILES];
	FlowPick pick;
	int64_t now;
} Store;

static Store store;

static void
init_store(FlowPolicyKind kind)
{
	memset(&store, 0, sizeof(store));
	store.policy = (FlowMergePolicy) FLOW_POLICY_DEFAULT;
	store.policy.kind = kind;
	store.next_id = 1;
	store.now = 1000 * DAY + DAY / 2;
}

/* A file of the keys [lo, hi], numbers of six digits. */
static FlowSstInfo *
add_file(uint64_t bytes, uint32_t level, uint32_t lo, uint32_t hi,
		 int64_t ts_max)
{
	uint32_t i = store.n++;
	FlowSstInfo *info = &store.info[i];

	CHECK(i < MAX_FILES);
	snprintf(store.keys[i][0], 8, "%06u", lo % 1000000);
	snprintf(store.keys[i][1], 8, "%06u", hi % 1000000);
	*info = (FlowSstInfo){.id = store.next_id++,
						  .level = level,
						  .file_bytes = bytes,
						  .records = 1 + bytes / 100,
						  .ts_min = ts_max - 1000,
						  .ts_max = ts_max,
						  .key_min = (const uint8_t *) store.keys[i][0],
						  .key_max = (const uint8_t *) store.keys[i][1],
						  .key_min_bytes = 6,
						  .key_max_bytes = 6};
	store.garbage[i] = 0;
	return info;
}

static void
fill_list(void)
{
	for (uint32_t i = 0; i < store.n; i++)
		store.files[i] = (FlowPickFile){.info = &store.info[i],
										.garbage = store.garbage[i],
										.picked = true};
}

static bool
is_picked(uint64_t id)
{
	for (uint32_t i = 0; i < store.n; i++)
	{
		if (store.files[i].info->id == id)
			return store.files[i].picked;
	}
	return false;
}

/* "1 2 5": the ids that were picked. */
static const char *
picked(void)
{
	static char text[65536];
	size_t len = 0;
	uint32_t n = 0;

	text[0] = '\0';
	for (uint64_t id = 1; id < store.next_id; id++)
	{
		if (!is_picked(id))
			continue;
		len += (size_t) snprintf(text + len, sizeof(text) - len, "%s%" PRIu64,
								 n ? " " : "", id);
		n++;
	}
	CHECK(n == store.pick.npicked);
	return text;
}

/* Ask twice, the second time with the list in another order. */
static const char *
ask(CheckRandom *r)
{
	static char first[65536];
	FlowPick pick;

	fill_list();
	flowi_pick(&store.policy, store.now, store.files, store.n, &store.pick);
	strcpy(first, picked());
	pick = store.pick;
	fill_list();
	for (uint32_t i = store.n; i > 1; i--)
	{
		uint32_t k = (uint32_t) check_below(r, i);
		FlowPickFile f = store.files[i - 1];

		store.files[i - 1] = store.files[k];
		store.files[k] = f;
	}
	flowi_pick(&store.policy, store.now, store.files, store.n, &store.pick);
	CHECK(strcmp(first, picked()) == 0);
	CHECK(pick.level == store.pick.level && pick.score == store.pick.score);
	return first;
}

#define CHECK_PICK(want)                                                    \
	do                                                                      \
	{                                                                       \
		const char *got_ = ask(r);                                          \
		if (strcmp(got_, want) != 0)                                        \
		{                                                                   \
			fprintf(stderr, "%s:%d: picked \"%s\", not \"%s\"\n", __FILE__, \
					__LINE__, got_, want);                                  \
			exit(1);                                                        \
		}                                                                   \
	} while (0)

/* ------------------------------------------------------------ size-tiered */

static void
test_tiered(CheckRandom *r)
{
	init_store(FLOW_POLICY_STCS);
	CHECK_PICK("");
	for (int i = 0; i < 3; i++)
		add_file(100 * MB, 0, 0, 9, 0);
	CHECK_PICK("");
	add_file(10 * MB, 0, 0, 9, 0); /* another size */
	CHECK_PICK("");
	add_file(149 * MB, 0, 0, 9, 0); /* just within the bucket */
	CHECK_PICK("1 2 3 5");
	CHECK(store.pick.level == 0 && store.pick.target_bytes == 0);
	CHECK(store.pick.score >= 1);

	/* the smallest bucket first; edges included */
	init_store(FLOW_POLICY_STCS);
	for (int i = 0; i < 5; i++)
		add_file(100 * MB, 0, 0, 9, 0);
	for (int i = 0; i < 3; i++)
		add_file(20 * MB, 0, 0, 9, 0);
	add_file(30 * MB, 0, 0, 9, 0);
	CHECK_PICK("6 7 8 9");

	/* small ones share a bucket, whatever their sizes */
	init_store(FLOW_POLICY_STCS);
	add_file(1, 0, 0, 9, 0);
	add_file(1000, 0, 0, 9, 0);
	add_file(1 * MB, 0, 0, 9, 0);
	add_file(3 * MB, 0, 0, 9, 0);
	CHECK_PICK("1 2 3 4");

	/* the oldest when there are too many */
	init_store(FLOW_POLICY_STCS);
	store.policy.max_threshold = 6;
	for (int i = 0; i < 10; i++)
		add_file((100 - (uint64_t) i) * MB, 0, 0, 9, 0);
	CHECK_PICK("1 2 3 4 5 6");
	check_passed("size-tiered");
}

static void
test_garbage(CheckRandom *r)
{
	for (FlowPolicyKind kind = FLOW_POLICY_STCS; kind <= FLOW_POLICY_TWCS;
		 kind++)
	{
		init_store(kind);
		add_file(100 * MB, 0, 0, 9, store.now);
		add_file(900 * MB, 3, 0, 9, store.now);
		store.garbage[0] = 0.3;
		store.garbage[1] = 0.49;
		CHECK_PICK("");
		store.garbage[1] = 0.6;
		CHECK_PICK("2");
		CHECK(store.pick.level == 3 && store.pick.score >= 1);
		store.garbage[0] = 0.7;
		CHECK_PICK("1");
		/* before what the policy wants, but not before much more */
		for (int i = 0; i < 4; i++)
			add_file(5 * MB, 0, 0, 9, store.now);
		CHECK_PICK("1");
		for (int i = 0; i < 4; i++)
			add_file(5 * MB, 0, 0, 9, store.now);
		CHECK(ask(r) && store.pick.npicked >= 8 && is_picked(3));
	}
	check_passed("garbage");
}

/* ---------------------------------------------------------------- windows */

static void
test_windows(CheckRandom *r)
{
	init_store(FLOW_POLICY_TWCS);
	add_file(10 * MB, 0, 0, 9, store.now);
	add_file(10 * MB, 0, 0, 9, store.now - 1);
	add_file(10 * MB, 0, 0, 9, store.now - 2);
	CHECK_PICK("");
	/* of yesterday: one file is fine, two become one */
	add_file(10 * MB, 0, 0, 9, store.now - DAY);
	CHECK_PICK("");
	add_file(90 * MB, 0, 0, 9, store.now - DAY + 5);
	CHECK_PICK("4 5");
	CHECK(store.pick.score < 1); /* if there is nothing better to do */
	add_file(40 * MB, 0, 0, 9, store.now - DAY + 5);
	CHECK_PICK("4 5 6");
	/* never files of two windows; the newest window by size */
	add_file(10 * MB, 0, 0, 9, store.now + DAY / 4);
	store.now += DAY / 2;
	CHECK(ask(r) && !(is_picked(1) && is_picked(4)));

	/* a row too late does not have the window written again */
	init_store(FLOW_POLICY_TWCS);
	add_file(1000 * MB, 0, 0, 9, store.now - 5 * DAY);
	add_file(5 * MB, 0, 0, 9, store.now - 5 * DAY);
	add_file(5 * MB, 0, 0, 9, store.now);
	CHECK_PICK("");
	add_file(6 * MB, 0, 0, 9, store.now - 5 * DAY);
	CHECK_PICK("2 4");

	/* times before 1970 */
	init_store(FLOW_POLICY_TWCS);
	add_file(10 * MB, 0, 0, 9, -1);
	add_file(10 * MB, 0, 0, 9, 0);
	CHECK_PICK("");
	add_file(10 * MB, 0, 0, 9, -DAY);
	CHECK_PICK("1 3");

	/* rows of the future, and times that are no time of day */
	init_store(FLOW_POLICY_TWCS);
	add_file(10 * MB, 0, 0, 9, INT64_MAX);
	for (int i = 0; i < 2; i++)
		add_file(10 * MB, 0, 0, 9, store.now);
	CHECK_PICK("");
	init_store(FLOW_POLICY_TWCS);
	for (int i = 0; i < 3; i++)
		add_file(10 * MB, 0, 0, 9, 1000 + i);
	CHECK_PICK("");

	/* a file of range tombstones only */
	init_store(FLOW_POLICY_TWCS);
	add_file(10 * MB, 0, 0, 9, 5)->records = 0;
	add_file(10 * MB, 0, 0, 9, 5);
	CHECK_PICK("");
	check_passed("time windows");
}

/* ---------------------------------------------------------------- leveled */

static void
test_leveled(CheckRandom *r)
{
	init_store(FLOW_POLICY_LCS);
	store.policy.target_bytes = 10 * MB;
	for (int i = 0; i < 3; i++)
		add_file(5 * MB, 0, 200, 499, 0);
	add_file(10 * MB, 1, 0, 199, 0);
	add_file(10 * MB, 1, 200, 299, 0);
	add_file(10 * MB, 1, 300, 399, 0);
	add_file(10 * MB, 1, 500, 599, 0);
	add_file(10 * MB, 2, 200, 299, 0);
	CHECK_PICK("");
	add_file(5 * MB, 0, 200, 499, 0);
	CHECK_PICK("1 2 3 5 6 9");
	CHECK(store.pick.level == 1 && store.pick.target_bytes == 10 * MB);

	/* too much in a level: the file that meets least one level down, and what
	 * it meets; that a key goes on in the next file is no overlap */
	init_store(FLOW_POLICY_LCS);
	store.policy.target_bytes = 10 * MB;
	for (uint32_t i = 0; i < 11; i++)
		add_file(10 * MB, 1, 100 * i, 100 * i + 100, 0);
	add_file(10 * MB, 2, 50, 60, 0);
	add_file(10 * MB, 2, 99, 150, 0);
	add_file(10 * MB, 2, 151, 180, 0);
	CHECK_PICK("3");
	add_file(90 * MB, 2, 190, 1100, 0);
	CHECK_PICK("1 12 13");
	CHECK(store.pick.level == 2 && store.pick.score > 1);

	/* files of one level that overlap (merged by hand) stay together */
	store.info[3].key_min = store.info[0].key_min;
	CHECK(ask(r) && is_picked(1) && is_picked(4) && is_picked(2));
	/* the fullest level is worked on */
	init_store(FLOW_POLICY_LCS);
	store.policy.target_bytes = 1 * MB;
	for (int i = 0; i < 4; i++)
		add_file(1 * MB, 0, 0, 9, 0);
	add_file(30 * MB, 1, 500, 600, 0);
	CHECK_PICK("5");
	CHECK(store.pick.level == 2);
	check_passed("leveled");
}

static void
test_manual(void)
{
	init_store(FLOW_POLICY_LCS);
	add_file(10, 3, 0, 9, 0);
	fill_list();
	flowi_pick_manual(2, store.files, store.n, &store.pick);
	CHECK(strcmp(picked(), "") == 0);
	flowi_pick_manual(1, store.files, store.n, &store.pick);
	CHECK(strcmp(picked(), "1") == 0);
	add_file(1000, 0, 0, 9, 0);
	add_file(5000, 0, 0, 9, 0);
	fill_list();
	flowi_pick_manual(2, store.files, store.n, &store.pick);
	CHECK(strcmp(picked(), "1 2") == 0);
	CHECK(store.pick.level == 0 && store.pick.target_bytes == 0);
	add_file(40, 0, 0, 9, 0);
	add_file(41, 0, 0, 9, 0);
	add_file(20, 0, 0, 9, 0);
	fill_list();
	flowi_pick_manual(2, store.files, store.n, &store.pick);
	CHECK(strcmp(picked(), "1 4 6") == 0);
	flowi_pick_manual(7, store.files, store.n, &store.pick);
	CHECK(store.pick.npicked == 0);
	flowi_pick_manual(1, store.files, 0, &store.pick);
	CHECK(store.pick.npicked == 0);
	check_passed("by hand");
}

/* ------------------------------------------------------------ convergence */

/* What a simulation has done. */
typedef struct Work
{
	uint64_t flushed, written;
	uint32_t merges, most_files, most_inputs;
} Work;

/* Carry the pick out: the picked files go, outputs of at most target bytes
 * share their keys, the one at a border too. */
static void
merge_picked(Work *work)
{
	uint32_t lo = UINT32_MAX, hi = 0, kept = 0, parts = 1;
	uint64_t bytes = 0;
	int64_t ts_max = INT64_MIN;

	for (uint32_t i = 0; i < store.n; i++)
	{
		FlowSstInfo info = store.info[i];

		if (is_picked(info.id))
		{
			lo = FLOW_MIN(lo, (uint32_t) atoi(store.keys[i][0]));
			hi = FLOW_MAX(hi, (uint32_t) atoi(store.keys[i][1]));
			bytes += info.file_bytes;
			ts_max = FLOW_MAX(ts_max, info.ts_max);
			continue;
		}
		memcpy(store.keys[kept], store.keys[i], sizeof(store.keys[i]));
		store.info[kept] = info;
		store.info[kept].key_min = (const uint8_t *) store.keys[kept][0];
		store.info[kept].key_max = (const uint8_t *) store.keys[kept][1];
		kept++;
	}
	store.n = kept;
	if (store.pick.target_bytes > 0)
		parts = (uint32_t) ((bytes + store.pick.target_bytes - 1) /
							store.pick.target_bytes);
	parts = FLOW_MIN(parts, hi - lo + 1);
	for (uint32_t k = 0; k < parts; k++)
		add_file(bytes / parts, store.pick.level,
				 lo + (uint32_t) ((uint64_t) (hi - lo + 1) * k / parts),
				 k + 1 == parts ? hi
								: lo + (uint32_t) ((uint64_t) (hi - lo + 1) *
												   (k + 1) / parts),
				 ts_max);
	work->written += bytes;
	work->merges++;
	work->most_inputs = FLOW_MAX(work->most_inputs, store.pick.npicked);
}

static void
settle(Work *work)
{
	uint32_t rounds = 0;

	for (;;)
	{
		fill_list();
		flowi_pick(&store.policy, store.now, store.files, store.n, &store.pick);
		if (store.pick.npicked == 0)
			break;
		merge_picked(work);
		CHECK(++rounds < 200); /* it comes to an end */
	}
	work->most_files = FLOW_MAX(work->most_files, store.n);
}

static Work
simulate(const char *what, uint32_t flushes, uint64_t bytes, int64_t step,
		 bool late, CheckRandom *r)
{
	Work work = {0};

	for (uint32_t i = 0; i < flushes; i++)
	{
		uint64_t size = bytes / 2 + check_below(r, bytes);
		int64_t ts = store.now;

		if (late && i % 2 == 0)
			ts -= (int64_t) check_below(r, 5) * DAY;
		add_file(size, 0, 0, 999999, ts);
		work.flushed += size;
		store.now += step;
		settle(&work);
	}
	printf("# %s: %u merges, at most %u files, %u of them in a merge, written "
		   "%.1f times\n",
		   what, work.merges, work.most_files, work.most_inputs,
		   1 + (double) work.written / (double) work.flushed);
	return work;
}

static void
test_convergence(CheckRandom *r)
{
	Work w;

	init_store(FLOW_POLICY_STCS);
	w = simulate("size-tiered", 1000, 64 * MB, 1, false, r);
	CHECK(w.most_files < 25 && w.written < 8 * w.flushed);
	init_store(FLOW_POLICY_STCS);
	w = simulate("size-tiered, small", 1000, MB / 4, 1, false, r);
	CHECK(w.most_files < 25 && w.written < 12 * w.flushed);
	init_store(FLOW_POLICY_TWCS);
	w = simulate("time windows", 1000, 64 * MB, DAY / 40, false, r);
	CHECK(w.most_files < 25 + 20 && w.written < 8 * w.flushed);
	init_store(FLOW_POLICY_TWCS);
	w = simulate("time windows, late rows", 1000, 64 * MB, DAY / 40, true, r);
	CHECK(w.most_files < 25 + 60 && w.written < 12 * w.flushed);
	init_store(FLOW_POLICY_LCS);
	w = simulate("leveled", 500, 64 * MB, 1, false, r);
	CHECK(w.most_files < 700 && w.most_inputs < 50 &&
		  w.written < 18 * w.flushed);
	check_passed("every policy comes to an end");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	test_tiered(&r);
	test_garbage(&r);
	test_windows(&r);
	test_leveled(&r);
	test_manual();
	test_convergence(&r);
	return 0;
}
