/*-------------------------------------------------------------------------
 * stress_kill.c
 *	  Kill the writing process again and again; what it had acknowledged is there.
 *-------------------------------------------------------------------------
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

/* What the database has of each slot after a kill. */
static uint32_t *
read_versions(void)
{
	uint32_t *found = calloc(stress_slots(model), sizeof(*found));
	FlowScanSpec spec = plain_spec();
	const FlowVector *vec;
	FlowScan *scan;
	FlowStatus st;

	must(flow_scan_open(main_db, &spec, &scan), "scan");
	while ((st = flow_scan_next(scan, 0, &vec)) == FLOW_OK)
	{
		for (uint32_t i = 0; i < vec->nrows; i++)
		{
			uint32_t version;
			uint32_t slot = check_row(vec, i, &version);

			found[slot] = version;
		}
	}
	if (st != FLOW_END)
		must(st, "scan");
	flow_scan_close(scan);
	return found;
}

/* The batch a writer was in: all of it, or nothing. */
static void
check_flight(uint32_t writer, const uint32_t *found)
{
	StressFlight *f = &model->flight[writer];
	uint32_t n = atomic_load(&f->nslots);
	bool some = false, missing = false;

	for (uint32_t i = 0; i < n; i++)
	{
		StressSlot *s = &model->slot[f->slot[i]];
		uint64_t acked = atomic_load(&s->acked);
		uint64_t issued = atomic_load(&s->issued);
		bool row_before = stress_version(acked) > 0 && !(acked >> 24 & 1);
		uint32_t version = found[f->slot[i]];

		if (stress_version(acked) == stress_version(issued))
			continue; /* not issued when the kill came, or acknowledged */
		if (version == stress_version(issued))
			some = true;
		else if (version > 0)
			missing = true;
		else if (!(issued >> 24 & 1))
			missing = true; /* a put that is not there */
		else if (row_before)
			some = true; /* a deletion that is */
	}
	if (some && missing)
		wrong("a part of a batch", f->slot[0], found[f->slot[0]]);
	atomic_store(&f->nslots, 0);
}

static void
check_after_kill(uint32_t round)
{
	uint32_t *found = read_versions();

	for (uint32_t slot = 0; slot < stress_slots(model); slot++)
	{
		if (!stress_allows(atomic_load(&model->slot[slot].acked),
						   atomic_load(&model->slot[slot].issued), found[slot]))
			wrong("after a kill", slot, found[slot]);
	}
	for (uint32_t i = 0; i < model->nwriters; i++)
		check_flight(i, found);
	for (uint32_t slot = 0; slot < stress_slots(model); slot++)
		stress_settle(model, slot, found[slot]);
	free(found);
	printf("# kill %u: all right, %" PRIu64 " batches so far\n", round,
		   atomic_load(&model->batches));
	fflush(stdout);
}

/* One life: check what the one before left, then write until killed. */
static _Noreturn void
live(uint32_t round, bool last)
{
	open_database(round == 0);
	if (round > 0)
		check_after_kill(round);
	if (last)
	{
		close_database();
		exit(0);
	}
	run_threads(3600);
	exit(2);
}

/* Let a moment pass in the life of pid; false: it has ended. */
static bool
outlives_moment(pid_t pid, int *statusp)
{
	nanosleep(&(struct timespec){0, 1000000}, NULL);
	return waitpid(pid, statusp, WNOHANG) == 0;
}

/*
 * Kill pid after a while; false: it ended before, by itself.  Every other one
 * is killed while it writes, so has checked what it found, however slow that
 * is; the rest maybe while they recover.
 */
static bool
kill_some_time(pid_t pid, uint32_t round, uint32_t ms)
{
	uint64_t batches = atomic_load(&model->batches);
	int status;

	while (round % 2 == 0 && atomic_load(&model->batches) == batches)
	{
		if (!outlives_moment(pid, &status))
			return false;
	}
	for (; ms > 0; ms--)
	{
		if (!outlives_moment(pid, &status))
			return false;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

int
run_kills(void)
{
	Random r = {opt.seed};

	for (uint32_t round = 0; round <= opt.kills; round++)
	{
		bool last = round == opt.kills;
		pid_t pid = fork();
		int status;

		if (pid < 0)
		{
			perror("fork");
			return 2;
		}
		if (pid == 0)
			live(round, last);
		if (last)
			return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
		if (!kill_some_time(pid, round, below(&r, 1300)))
		{
			fprintf(stderr, "flowdb_stress: round %u ended by itself\n", round);
			return 1;
		}
	}
	return 0;
}
