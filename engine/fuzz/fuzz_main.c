/*-------------------------------------------------------------------------
 * fuzz_main.c
 *	  Runs a fuzz target without libFuzzer: makes seeds, mutates them, tries.
 *
 *	  fuzz_X [-seed N] [-rounds N | -seconds N] [-save FILE]
 *	  fuzz_X -corpus DIR		write seeds for libFuzzer
 *	  fuzz_X FILE..				run these inputs
 *
 * A round depends on the seed and its number only.  Its input stands in a
 * mapped file while it runs, so it is there after a crash.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NSEEDS 48
#define MAX_INPUT ((size_t) 1 << 20)
#define ROUND_LIMIT 60 /* seconds: a round that takes longer is a failure */

typedef struct Options
{
	uint64_t seed;
	uint64_t rounds;  /* 0: as long as seconds */
	uint64_t seconds; /* 0: as many as rounds */
	const char *save;
	const char *corpus;
} Options;

static FuzzBytes seeds[NSEEDS];

/* ------------------------------------------------------------- mutations */

/* A place, more often near the ends, where headers are. */
static size_t
place(CheckRandom *r, size_t n)
{
	size_t near = FLOW_MIN(n, 96);

	switch (check_below(r, 4))
	{
		case 0:
			return check_below(r, near);
		case 1:
			return n - 1 - check_below(r, near);
		default:
			return check_below(r, n);
	}
}

/* A number that is often a length, an edge or near what was there. */
static uint64_t
number(CheckRandom *r, uint64_t old, size_t size)
{
	static const uint64_t edges[] = {
		0,			1,		   127,		   128,		  255,		  256,
		UINT16_MAX, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, 16u << 20,
		1u << 30,	1u << 20,  65536,	   24};

	switch (check_below(r, 5))
	{
		case 0:
			return edges[check_below(r, sizeof(edges) / sizeof(edges[0]))];
		case 1:
			return size + check_below(r, 65) - 32;
		case 2:
			return check_random(r) >> check_below(r, 64);
		default:
			return old + check_below(r, 17) - 8;
	}
}

/* Change a little-endian number of 1, 2, 4 or 8 bytes. */
static void
change_number(CheckRandom *r, FuzzBytes *b)
{
	size_t width = (size_t) 1 << check_below(r, 4);
	size_t at;
	uint64_t v = 0;

	if (b->bytes < width)
		return;
	at = place(r, b->bytes);
	at = FLOW_MIN(at, b->bytes - width);
	memcpy(&v, b->data + at, width);
	v = number(r, v, b->bytes);
	memcpy(b->data + at, &v, width);
}

/* Put n bytes of from, or random ones, at a place. */
static void
insert(CheckRandom *r, FuzzBytes *b, const FuzzBytes *from)
{
	size_t n = 1 + check_below(r, check_below(r, 2) ? 8 : 200);
	size_t at = b->bytes ? check_below(r, b->bytes + 1) : 0;
	size_t from_at = 0;

	if (from != NULL && from->bytes > 0)
	{
		from_at = check_below(r, from->bytes);
		n = FLOW_MIN(n, from->bytes - from_at);
	}
	fuzz_bytes_resize(b, b->bytes + n);
	memmove(b->data + at + n, b->data + at, b->bytes - n - at);
	for (size_t i = 0; i < n; i++)
		b->data[at + i] = from != NULL && from->bytes > 0
							  ? from->data[from_at + i]
							  : (uint8_t) check_random(r);
}

static void
cut_out(CheckRandom *r, FuzzBytes *b)
{
	size_t most = check_below(r, 2) ? 8 : 300;
	size_t n, at;

	if (b->bytes == 0)
		return;
	n = 1 + check_below(r, FLOW_MIN(b->bytes, most));
	at = check_below(r, b->bytes - n + 1);
	memmove(b->data + at, b->data + at + n, b->bytes - at - n);
	b->bytes -= n;
}

static void
mutate(CheckRandom *r, FuzzBytes *b)
{
	const FuzzBytes *other = &seeds[check_below(r, NSEEDS)];

	if (b->bytes == 0)
	{
		insert(r, b, other);
		return;
	}
	switch (check_below(r, 12))
	{
		case 0:
		case 1:
		case 2:
			b->data[place(r, b->bytes)] ^= (uint8_t) (1u << check_below(r, 8));
			break;
		case 3:
		case 4:
			b->data[place(r, b->bytes)] = (uint8_t) check_random(r);
			break;
		case 5:
		case 6:
		case 7:
			change_number(r, b);
			break;
		case 8:
			if (check_below(r, 3) == 0) /* mostly ends it all */
				b->bytes = check_below(r, b->bytes + 1);
			break;
		case 9:
			insert(r, b, NULL);
			break;
		case 10:
			insert(r, b, other);
			break;
		default:
			cut_out(r, b);
			break;
	}
}

/* ----------------------------------------------------------------- rounds */

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void
make_seeds(uint64_t seed)
{
	for (uint64_t i = 0; i < NSEEDS; i++)
	{
		CheckRandom r = {seed * NSEEDS + i};

		fuzz_seed(&r, &seeds[i]);
	}
}

/* The input of a round: sometimes a whole seed, mostly a damaged one. */
static void
make_input(uint64_t seed, uint64_t round, FuzzBytes *b)
{
	CheckRandom r = {seed ^ (round * UINT64_C(0x9e3779b97f4a7c15))};
	const FuzzBytes *from = &seeds[check_below(&r, NSEEDS)];
	uint64_t n = check_below(&r, 50) == 0 ? 0 : 1 + check_below(&r, 4);

	if (check_below(&r, 10) == 0)
		n *= 8;
	fuzz_bytes_set(b, from->data, from->bytes);
	for (uint64_t i = 0; i < n; i++)
		mutate(&r, b);
	b->bytes = FLOW_MIN(b->bytes, MAX_INPUT);
}

/* The file that holds the input at work; NULL: it cannot be made. */
static uint8_t *
map_input(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	void *p = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t) MAX_INPUT) == 0)
		p = mmap(NULL, MAX_INPUT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static void
run(const char *name, const Options *o)
{
	FuzzBytes b = {NULL, 0, 0};
	uint8_t *saved = map_input(o->save);
	double begun = now();
	uint64_t round = 0;

	printf("# %s seed %" PRIu64 "\n", name, o->seed);
	fflush(stdout);
	make_seeds(o->seed);
	fuzz_decoded = 0;
	for (; o->rounds ? round < o->rounds : now() - begun < (double) o->seconds;
		 round++)
	{
		make_input(o->seed, round, &b);
		if (saved)
		{
			memcpy(saved, b.data, b.bytes);
			/* the length is the file's */
			FUZZ_CHECK(truncate(o->save, (off_t) FLOW_MAX(b.bytes, 1)) == 0);
		}
		alarm(ROUND_LIMIT);
		(void) LLVMFuzzerTestOneInput(b.data, b.bytes);
		alarm(0);
		if (saved)
			FUZZ_CHECK(truncate(o->save, (off_t) MAX_INPUT) == 0);
	}
	if (saved)
		(void) unlink(o->save);
	/* inputs that are all refused at once show nothing */
	FUZZ_CHECK(round < 1000 || fuzz_decoded > 0);
	printf("ok %s %" PRIu64 " rounds, %" PRIu64 " decoded\n", name, round,
		   fuzz_decoded);
	free(b.data);
	for (int i = 0; i < NSEEDS; i++)
		free(seeds[i].data);
}

/* -------------------------------------------------------------- arguments */

static void
run_file(const char *path)
{
	FuzzBytes b = {NULL, 0, 0};
	FILE *f = fopen(path, "rb");
	struct stat sb;

	FUZZ_CHECK(f != NULL && fstat(fileno(f), &sb) == 0);
	fuzz_bytes_resize(&b, (size_t) sb.st_size);
	if (b.bytes > 0)
		FUZZ_CHECK(fread(b.data, 1, b.bytes, f) == b.bytes);
	fclose(f);
	printf("# %s: %zu bytes\n", path, b.bytes);
	fflush(stdout);
	(void) LLVMFuzzerTestOneInput(b.data, b.bytes);
	free(b.data);
}

static void
write_corpus(const Options *o)
{
	make_seeds(o->seed);
	for (int i = 0; i < NSEEDS; i++)
	{
		char path[1024];
		FILE *f;

		snprintf(path, sizeof(path), "%s/seed-%02d", o->corpus, i);
		f = fopen(path, "wb");
		FUZZ_CHECK(f != NULL);
		FUZZ_CHECK(fwrite(seeds[i].data, 1, seeds[i].bytes, f) ==
				   seeds[i].bytes);
		FUZZ_CHECK(fclose(f) == 0);
		free(seeds[i].data);
	}
}

int
main(int argc, char **argv)
{
	Options o = {.seed = 20240607, .seconds = 3, .save = "fuzz-input"};
	int i = 1;

	for (; i + 1 < argc && argv[i][0] == '-'; i += 2)
	{
		const char *value = argv[i + 1];

		if (strcmp(argv[i], "-seed") == 0)
			o.seed = strtoull(value, NULL, 0);
		else if (strcmp(argv[i], "-rounds") == 0)
			o.rounds = strtoull(value, NULL, 0);
		else if (strcmp(argv[i], "-seconds") == 0)
			o.seconds = strtoull(value, NULL, 0);
		else if (strcmp(argv[i], "-save") == 0)
			o.save = value;
		else if (strcmp(argv[i], "-corpus") == 0)
			o.corpus = value;
		else
			break;
	}
	if (i < argc && argv[i][0] == '-')
	{
		fprintf(stderr, "unknown option %s\n", argv[i]);
		return 2;
	}
	if (o.corpus)
		write_corpus(&o);
	else if (i == argc)
		run(argv[0], &o);
	for (; i < argc; i++)
		run_file(argv[i]);
	return 0;
}
