/*-------------------------------------------------------------------------
 * flowdb_stress.c
 *	  Stress a FlowDB database and check everything that comes back.
 *
 *	 flowdb_stress [options] DIR
 *
 * Writers put, overwrite, delete, delete ranges and patch; readers scan both
 * ways, get and get the latest; others flush, merge, collect and step.  Every
 * row that is read is checked against the model (stress_model.h), while
 * others write, and at the end exactly.  With --kills the writing process is
 * killed again and again, and what it had acknowledged must be there, and its
 * last batch whole or not at all.  The directory is made new and is left when
 * something is wrong.
 *-------------------------------------------------------------------------
 */
#include <getopt.h>

#include "stress.h"

StressOptions opt = {.seed = 1,
					 .writers = 4,
					 .readers = 2,
					 .keys = 200,
					 .times = 500,
					 .seconds = 10,
					 .memtable_mb = 1,
					 .region_mb = 64,
					 .sync = FLOW_SYNC_INTERVAL,
					 .policy = FLOW_POLICY_STCS};

StressModel *model;
FlowEnv *env;
FlowDb *main_db;
uint32_t store;
_Atomic bool stop;

/* --------------------------------------------------------------- helpers */

uint64_t
next_random(Random *r)
{
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint32_t
below(Random *r, uint32_t n)
{
	return (uint32_t) (next_random(r) % n);
}

_Noreturn void
wrong(const char *what, uint32_t slot, uint32_t version)
{
	char key[STRESS_KEY_BYTES];
	uint64_t acked = atomic_load(&model->slot[slot].acked);
	uint64_t issued = atomic_load(&model->slot[slot].issued);

	stress_key(model, slot, key);
	fprintf(stderr,
			"flowdb_stress: WRONG: %s: key %s, ts %" PRId64
			": found version %u, acknowledged %u, issued %u (seed %" PRIu64
			")\n",
			what, key, stress_ts(model, slot), version, stress_version(acked),
			stress_version(issued), opt.seed);
	abort();
}

void
must(FlowStatus st, const char *what)
{
	if (st == FLOW_OK)
		return;
	fprintf(stderr, "flowdb_stress: %s: %s: %s\n", what, flow_status_name(st),
			flow_last_error()->message);
	abort();
}

FlowDb *
new_handle(void)
{
	FlowDb *db;

	must(flow_attach(env, flow_shared(main_db), opt.dir, &db), "attach");
	return db;
}

FlowScanSpec
plain_spec(void)
{
	return (FlowScanSpec){.store_id = store, .now = env->now_us(env)};
}

/* ------------------------------------------------------------------- main */

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: flowdb_stress [options] DIR\n"
					"  --seed N         of everything random (1)\n"
					"  --seconds N      how long (10)\n"
					"  --writers N      threads that write (4)\n"
					"  --readers N      threads that read (2)\n"
					"  --keys N         keys of a writer (200)\n"
					"  --times N        times of a key (500)\n"
					"  --kills N        instead: kill and recover N times\n"
					"  --memtable N     MB (1)\n"
					"  --memory N       MB of shared region (64)\n"
					"  --sync MODE      always or interval (interval)\n"
					"  --policy NAME    stcs, lcs or twcs (stcs)\n");
	exit(2);
}

static uint32_t
number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n == 0 || n > UINT32_MAX)
		usage();
	return (uint32_t) n;
}

static FlowPolicyKind
policy_named(const char *name)
{
	if (strcmp(name, "stcs") == 0)
		return FLOW_POLICY_STCS;
	if (strcmp(name, "lcs") == 0)
		return FLOW_POLICY_LCS;
	if (strcmp(name, "twcs") == 0)
		return FLOW_POLICY_TWCS;
	usage();
}

static void
parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{"seed", 1, 0, 's'},	{"seconds", 1, 0, 't'},	 {"writers", 1, 0, 'w'},
		{"readers", 1, 0, 'r'}, {"keys", 1, 0, 'k'},	 {"times", 1, 0, 'n'},
		{"kills", 1, 0, 'x'},	{"memtable", 1, 0, 'm'}, {"memory", 1, 0, 'g'},
		{"sync", 1, 0, 'y'},	{"policy", 1, 0, 'p'},	 {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
	{
		switch (c)
		{
			case 's':
				opt.seed = strtoull(optarg, NULL, 0);
				break;
			case 't':
				opt.seconds = number(optarg);
				break;
			case 'w':
				opt.writers = number(optarg);
				break;
			case 'r':
				opt.readers = number(optarg);
				break;
			case 'k':
				opt.keys = number(optarg);
				break;
			case 'n':
				opt.times = number(optarg);
				break;
			case 'x':
				opt.kills = number(optarg);
				break;
			case 'm':
				opt.memtable_mb = number(optarg);
				break;
			case 'g':
				opt.region_mb = number(optarg);
				break;
			case 'y':
				opt.sync = strcmp(optarg, "always") == 0 ? FLOW_SYNC_ALWAYS
														 : FLOW_SYNC_INTERVAL;
				break;
			case 'p':
				opt.policy = policy_named(optarg);
				break;
			default:
				usage();
		}
	}
	if (optind != argc - 1 || opt.writers > STRESS_MAX_WRITERS ||
		opt.readers > 60)
		usage();
	opt.dir = argv[optind];
}

int
main(int argc, char **argv)
{
	parse(argc, argv);
	printf("# flowdb_stress seed %" PRIu64 "\n", opt.seed);
	model = stress_model_create(opt.writers, opt.keys, opt.times, opt.seed);
	if (model == NULL)
	{
		perror("mmap");
		return 2;
	}
	if (opt.kills > 0)
	{
		int rc = run_kills();

		puts(rc == 0 ? "ok" : "FAILED");
		return rc;
	}
	open_database(true);
	run_threads(opt.seconds);
	check_all("after the run");
	close_database();
	open_database(false);
	check_all("after a reopen");
	close_database();
	printf("# %" PRIu64 " batches, %" PRIu64 " rows checked\nok\n",
		   atomic_load(&model->batches), atomic_load(&model->checked));
	return 0;
}
