/*-------------------------------------------------------------------------
 * gen.c
 *	  Deterministic data of the TSBS "cpu-only" devops use case, as CSV.
 *
 *		gcc -O2 -o gen bench/gen.c
 *		gen data HOSTS POINTS SEED [int|dec2|full] [START] [STEP] [FIRST]
 *		gen tags HOSTS SEED
 *
 * As in TSBS (pkg/data/usecases/devops), a host has ten metrics; each is a
 * random walk with steps of N(0,1), clamped to 0..100, from a uniform start.
 * A value is written as an integer (TSBS), with two digits after the point
 * (dec2) or in full.  Rows come tick by tick: all hosts of the first tick,
 * then all of the next.  START is in seconds since 1970 (2016-01-01, as
 * TSBS), STEP in seconds (10); ticks before FIRST (0) are left out.
 *
 * Other than TSBS, each host has a generator of its own, so that host_7 has
 * the same series however many hosts there are, and N(0,1) is the sum of
 * twelve uniform numbers, so that no libm has a say in the bytes.
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NMETRICS 10
#define BUFFER_BYTES (1u << 20)
#define MAX_LINE_BYTES 1024

/* xoshiro256++ */
typedef struct Random
{
	uint64_t s[4];
} Random;

typedef enum Format
{
	FORMAT_INT,
	FORMAT_DEC2,
	FORMAT_FULL
} Format;

typedef struct Host
{
	Random random;
	double value[NMETRICS];
	char name[24]; /* with the comma behind it */
	size_t name_bytes;
} Host;

typedef struct Spec
{
	int nhosts;
	int npoints;
	uint64_t seed;
	Format format;
	time_t start;
	int step;
	int first;
} Spec;

static uint64_t
splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t
rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static void
random_seed(Random *r, uint64_t seed, uint64_t id, uint64_t stream)
{
	uint64_t state = seed * 0xd1342543de82ef95u + id * 0x9e3779b97f4a7c15u +
					 stream * 0xda942042e4dd58b5u + 1;

	for (int i = 0; i < 4; i++)
		r->s[i] = splitmix(&state);
}

static uint64_t
random_next(Random *r)
{
	uint64_t *s = r->s;
	uint64_t result = rotate(s[0] + s[3], 23) + s[0];
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

/* Uniform in [0, 1). */
static double
random_uniform(Random *r)
{
	return (double) (random_next(r) >> 11) * (1.0 / 9007199254740992.0);
}

/* Near enough to N(0,1): twelve uniform 16-bit numbers, variance 1. */
static double
random_normal(Random *r)
{
	uint32_t sum = 0;

	for (int i = 0; i < 3; i++)
	{
		uint64_t x = random_next(r);

		sum += (x & 0xffff) + ((x >> 16) & 0xffff) + ((x >> 32) & 0xffff) +
			   (uint32_t) (x >> 48);
	}
	return ((double) sum + 6.0) / 65536.0 - 6.0;
}

static char *
put_unsigned(char *p, unsigned v)
{
	char digits[12];
	int n = 0;

	do
		digits[n++] = (char) ('0' + v % 10);
	while ((v /= 10) != 0);
	while (n > 0)
		*p++ = digits[--n];
	return p;
}

static char *
put_value(char *p, double v, Format format)
{
	unsigned hundredths;

	switch (format)
	{
		case FORMAT_INT:
			return put_unsigned(p, (unsigned) v);
		case FORMAT_DEC2:
			hundredths = (unsigned) (v * 100.0);
			p = put_unsigned(p, hundredths / 100);
			*p++ = '.';
			*p++ = (char) ('0' + hundredths / 10 % 10);
			*p++ = (char) ('0' + hundredths % 10);
			return p;
		case FORMAT_FULL:
			break;
	}
	return p + sprintf(p, "%.17g", v);
}

static char *
put_row(char *p, const Host *host, const char *time, size_t time_bytes,
		Format format)
{
	memcpy(p, host->name, host->name_bytes);
	p += host->name_bytes;
	memcpy(p, time, time_bytes);
	p += time_bytes;
	for (int m = 0; m < NMETRICS; m++)
	{
		*p++ = ',';
		p = put_value(p, host->value[m], format);
	}
	*p++ = '\n';
	return p;
}

static void
host_step(Host *host)
{
	for (int m = 0; m < NMETRICS; m++)
	{
		double v = host->value[m] + random_normal(&host->random);

		host->value[m] = v > 100.0 ? 100.0 : v < 0.0 ? 0.0 : v;
	}
}

static void
flush(const char *buffer, const char *end)
{
	size_t nbytes = (size_t) (end - buffer);

	if (fwrite(buffer, 1, nbytes, stdout) != nbytes)
	{
		perror("gen: write");
		exit(1);
	}
}

static void *
allocate(size_t count, size_t size)
{
	void *p = calloc(count, size);

	if (p == NULL)
	{
		fprintf(stderr, "gen: out of memory\n");
		exit(1);
	}
	return p;
}

static Host *
make_hosts(const Spec *spec)
{
	Host *hosts = allocate((size_t) spec->nhosts, sizeof(Host));

	for (int h = 0; h < spec->nhosts; h++)
	{
		Host *host = &hosts[h];

		random_seed(&host->random, spec->seed, (uint64_t) h, 0);
		for (int m = 0; m < NMETRICS; m++)
			host->value[m] = random_uniform(&host->random) * 100.0;
		host->name_bytes = (size_t) sprintf(host->name, "host_%d,", h);
	}
	return hosts;
}

static void
write_data(const Spec *spec)
{
	Host *hosts = make_hosts(spec);
	char *buffer = allocate(BUFFER_BYTES + MAX_LINE_BYTES, 1);
	char *p = buffer;

	p += sprintf(p, "hostname,ts,usage_user,usage_system,usage_idle,"
					"usage_nice,usage_iowait,usage_irq,usage_softirq,"
					"usage_steal,usage_guest,usage_guest_nice\n");
	for (int i = 0; i < spec->npoints; i++)
	{
		time_t t = spec->start + (time_t) i * spec->step;
		struct tm tm;
		char time[40];
		size_t time_bytes;

		gmtime_r(&t, &tm);
		time_bytes = strftime(time, sizeof(time), "%Y-%m-%d %H:%M:%S+00", &tm);
		for (int h = 0; h < spec->nhosts; h++)
		{
			if (i >= spec->first)
				p = put_row(p, &hosts[h], time, time_bytes, spec->format);
			if ((size_t) (p - buffer) > BUFFER_BYTES)
			{
				flush(buffer, p);
				p = buffer;
			}
			host_step(&hosts[h]);
		}
	}
	flush(buffer, p);
	free(buffer);
	free(hosts);
}

static const char *const datacenters[] = {
	"us-east-1 a",		"us-east-1 b",		"us-east-1 c",
	"us-east-1 e",		"us-west-1 a",		"us-west-1 b",
	"us-west-2 a",		"us-west-2 b",		"us-west-2 c",
	"eu-west-1 a",		"eu-west-1 b",		"eu-west-1 c",
	"eu-central-1 a",	"eu-central-1 b",	"ap-southeast-1 a",
	"ap-southeast-1 b", "ap-southeast-2 a", "ap-southeast-2 b",
	"ap-northeast-1 a", "ap-northeast-1 c", "sa-east-1 a",
	"sa-east-1 b",		"sa-east-1 c",
};
/* Index of each region's first datacenter, and the end. */
static const int regions[] = {0, 4, 6, 9, 12, 14, 16, 18, 20, 23};
static const char *const teams[] = {"SF", "NYC", "LON", "CHI"};
static const char *const systems[] = {"Ubuntu16.10", "Ubuntu16.04LTS",
									  "Ubuntu15.10"};
static const char *const archs[] = {"x64", "x86"};
static const char *const environments[] = {"production", "staging", "test"};

static unsigned
pick(Random *r, unsigned n)
{
	return (unsigned) (random_next(r) % n);
}

static void
write_tags(int nhosts, uint64_t seed)
{
	printf("hostname,region,datacenter,rack,os,arch,team,service,"
		   "service_version,service_environment\n");
	for (int h = 0; h < nhosts; h++)
	{
		Random r;

		random_seed(&r, seed, (uint64_t) h, 1);

		int g = (int) pick(&r, 9);
		unsigned ndatacenters = (unsigned) (regions[g + 1] - regions[g]);
		const char *dc = datacenters[regions[g] + (int) pick(&r, ndatacenters)];
		const char *zone = strchr(dc, ' ');
		int region_bytes = (int) (zone - dc);
		/* In the order in which the numbers are drawn. */
		unsigned rack = pick(&r, 100);
		const char *arch = archs[pick(&r, 2)];
		const char *os = systems[pick(&r, 3)];
		unsigned service = pick(&r, 20);
		unsigned version = pick(&r, 2);
		const char *environment = environments[pick(&r, 3)];
		const char *team = teams[pick(&r, 4)];

		printf("host_%d,%.*s,%.*s%s,%u,%s,%s,%s,%u,%u,%s\n", h, region_bytes,
			   dc, region_bytes, dc, zone + 1, rack, os, arch, team, service,
			   version, environment);
	}
}

static Format
parse_format(const char *name)
{
	if (strcmp(name, "dec2") == 0)
		return FORMAT_DEC2;
	return strcmp(name, "full") == 0 ? FORMAT_FULL : FORMAT_INT;
}

int
main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "tags") == 0)
	{
		write_tags(atoi(argv[2]), strtoull(argv[3], NULL, 10));
		return 0;
	}
	if (argc < 5 || argc > 9 || strcmp(argv[1], "data") != 0)
	{
		fprintf(stderr, "usage: gen data HOSTS POINTS SEED "
						"[int|dec2|full] [START] [STEP] [FIRST]\n"
						"       gen tags HOSTS SEED\n");
		return 2;
	}

	Spec spec = {
		.nhosts = atoi(argv[2]),
		.npoints = atoi(argv[3]),
		.seed = strtoull(argv[4], NULL, 10),
		.format = argc > 5 ? parse_format(argv[5]) : FORMAT_INT,
		.start = argc > 6 ? (time_t) atoll(argv[6]) : 1451606400,
		.step = argc > 7 ? atoi(argv[7]) : 10,
		.first = argc > 8 ? atoi(argv[8]) : 0,
	};

	write_data(&spec);
	return 0;
}
