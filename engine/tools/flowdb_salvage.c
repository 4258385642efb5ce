/*-------------------------------------------------------------------------
 * flowdb_salvage.c
 *	  Look over the file log of a database that does not open, and repair it.
 *
 *	 flowdb_salvage DIR			tell what is there; leaves the log alone
 *	 flowdb_salvage --cut DIR	the log ends at the first damage
 *	 flowdb_salvage --skip DIR	leave out what is damaged, keep what follows
 *
 * Either repair loses writes that were acknowledged; --cut keeps a state that
 * the database has once been in, --skip may not.  What is overwritten or
 * dropped is kept in DIR/WAL/damaged-<n>.
 *
 * Exit status: 0 nothing is damaged any more, 1 damage, 2 it did not work.
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../db.h"
#include "../env_posix.h"
#include "../wal.h"

#define MAX_DAMAGE 100000

typedef enum Mode
{
	MODE_REPORT,
	MODE_CUT,
	MODE_SKIP
} Mode;

typedef struct Damage
{
	uint64_t from;
	uint64_t to;
} Damage;

typedef struct Salvage
{
	FlowEnv *env;
	const char *dir;
	Damage *damage;
	size_t n;
	uint64_t flushed;	  /* what lies before is in SSTables */
	uint64_t first, last; /* log positions of good records */
	char keep_dir[FLOW_PATH_BYTES];
} Salvage;

static FlowStatus
see_record(void *arg, const void *rec, size_t len, uint64_t start, uint64_t end)
{
	Salvage *s = arg;

	(void) rec;
	(void) len;
	if (s->first == 0)
		s->first = start;
	s->last = end;
	return FLOW_OK;
}

static FlowStatus
see_damage(void *arg, const char *file, uint64_t from, uint64_t to,
		   uint64_t file_offset)
{
	Salvage *s = arg;

	printf("damaged: %s offset %" PRIu64 ", %" PRIu64
		   " bytes (positions %" PRIu64 " to %" PRIu64 ")\n",
		   file, file_offset, to - from, from, to);
	if (s->n < MAX_DAMAGE)
		s->damage[s->n++] = (Damage){from, to};
	return FLOW_OK;
}

static FlowStatus
look(Salvage *s, FlowWalReport *report)
{
	FlowStatus st;

	s->n = 0;
	s->first = s->last = 0;
	st = flowi_wal_scan(s->env, s->dir, s->flushed, see_record, see_damage, s,
						report);
	if (st != FLOW_OK)
		return st;
	printf("segments: %" PRIu32 ", %" PRIu64 " bytes\n", report->segments,
		   report->bytes);
	printf("records: %" PRIu64, report->records);
	if (report->records > 0)
		printf(", positions %" PRIu64 " to %" PRIu64, s->first, s->last);
	printf("\ntorn tail: %" PRIu64 " bytes at position %" PRIu64 "\n",
		   report->cut_bytes, report->end);
	printf("damage: %zu places, %" PRIu64 " bytes\n", s->n, report->bad_bytes);
	return FLOW_OK;
}

static FlowStatus
find_keep_name(void *arg, const char *name)
{
	unsigned long *next = arg;
	unsigned long n;

	if (strncmp(name, "damaged-", 8) == 0)
	{
		n = strtoul(name + 8, NULL, 10);
		if (n >= *next)
			*next = n + 1;
	}
	return FLOW_OK;
}

static FlowStatus
repair(Salvage *s, Mode mode)
{
	char wal[FLOW_PATH_BYTES];
	unsigned long next = 1;
	FlowStatus st;

	snprintf(wal, sizeof(wal), "%s/WAL", s->dir);
	st = s->env->list_dir(s->env, wal, find_keep_name, &next);
	if (st != FLOW_OK)
		return st;
	snprintf(s->keep_dir, sizeof(s->keep_dir), "%s/WAL/damaged-%lu", s->dir,
			 next);
	if (mode == MODE_CUT)
	{
		printf("cutting the log at position %" PRIu64
			   "; what was behind is kept in %s\n",
			   s->damage[0].from, s->keep_dir);
		return flowi_wal_cut(s->env, s->dir, s->damage[0].from, s->keep_dir);
	}
	printf("WARNING: --skip leaves out what is damaged and keeps what was "
		   "written later.\nWARNING: the database may then hold a state that "
		   "never was.\n");
	for (size_t i = 0; i < s->n && st == FLOW_OK; i++)
		st = flowi_wal_skip(s->env, s->dir, s->damage[i].from, s->damage[i].to,
							s->keep_dir);
	printf("the files as they were are kept in %s\n", s->keep_dir);
	return st;
}

static FlowStatus
see_flushed(void *arg, uint64_t pos)
{
	((Salvage *) arg)->flushed = pos;
	return FLOW_OK;
}

static FlowStatus
ignore_sst(void *arg, const FlowSstInfo *info)
{
	(void) arg;
	(void) info;
	return FLOW_OK;
}

static FlowStatus
ignore_id(void *arg, uint64_t id)
{
	(void) arg;
	(void) id;
	return FLOW_OK;
}

static FlowStatus
ignore_txns(void *arg, uint64_t id, const FlowTxnInfo *txns, uint32_t ntxns)
{
	(void) arg;
	(void) id;
	(void) txns;
	(void) ntxns;
	return FLOW_OK;
}

static FlowStatus
ignore_store(void *arg, const FlowStoreInfo *store)
{
	(void) arg;
	(void) store;
	return FLOW_OK;
}

static FlowStatus
ignore_edit(void *arg)
{
	(void) arg;
	return FLOW_OK;
}

/* The flushed position, of the manifest, whose own torn tail is cut. */
static FlowStatus
read_manifest(Salvage *s)
{
	const FlowManifestVisitor visitor = {
		.arg = s,
		.add_sst = ignore_sst,
		.remove_sst = ignore_id,
		.trash = ignore_id,
		.gone = ignore_id,
		.edit_done = ignore_edit,
		.txns = ignore_txns,
		.store = ignore_store,
		.flushed = see_flushed,
		.next_id = ignore_id,
	};
	FlowManifestPos pos = {0};

	return flowi_manifest_replay(s->env, s->dir, &visitor, &pos);
}

static int
salvage(Salvage *s, Mode mode)
{
	FlowWalReport report;
	FlowStatus st = read_manifest(s);

	if (st == FLOW_OK)
		st = look(s, &report);

	/* one repair may show what lay behind it */
	for (int i = 0; st == FLOW_OK && mode != MODE_REPORT && s->n > 0 && i < 100;
		 i++)
	{
		st = repair(s, mode);
		if (st == FLOW_OK)
			st = look(s, &report);
	}
	if (st != FLOW_OK)
	{
		fprintf(stderr, "flowdb_salvage: %s\n", flow_last_error()->message);
		return 2;
	}
	return s->n > 0 ? 1 : 0;
}

/* The database must not be open meanwhile. */
static int
run(const char *dir, Mode mode)
{
	Salvage s = {.dir = dir};
	void *lock = NULL;
	int rc = 2;

	s.damage = malloc(MAX_DAMAGE * sizeof(*s.damage));
	if (s.damage == NULL || strlen(dir) > FLOW_MAX_DIR ||
		flow_env_posix_create((size_t) 1 << 20, &s.env) != FLOW_OK ||
		s.env->dir_lock(s.env, dir, &lock) != FLOW_OK)
		fprintf(stderr, "flowdb_salvage: %s\n", flow_last_error()->message);
	else
		rc = salvage(&s, mode);
	if (s.env)
		s.env->dir_unlock(s.env, lock);
	flow_env_posix_free(s.env);
	free(s.damage);
	return rc;
}

int
main(int argc, char **argv)
{
	Mode mode = MODE_REPORT;

	if (argc == 3 && strcmp(argv[1], "--cut") == 0)
		mode = MODE_CUT;
	else if (argc == 3 && strcmp(argv[1], "--skip") == 0)
		mode = MODE_SKIP;
	else if (argc != 2 || argv[1][0] == '-')
	{
		fprintf(stderr, "usage: flowdb_salvage [--cut | --skip] DIR\n");
		return 2;
	}
	return run(argv[argc - 1], mode);
}
