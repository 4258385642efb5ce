/*-------------------------------------------------------------------------
 * column_damage_test.c
 *	  Chunks of columns that no writer wrote.
 *-------------------------------------------------------------------------
 */
#include "columnio.h"

/* Neither opened nor read: from a place of its own, so that a sanitizer sees
 * what reads beyond. */
static void
check_refused(const FlowColumn *col, uint32_t n, const void *chunk,
			  size_t bytes)
{
	uint8_t *p = malloc(FLOW_MAX(bytes, (size_t) 1));
	FlowColumnVector v;
	FlowStatus st;

	CHECK(p != NULL);
	memcpy(p, chunk, bytes);
	st = flowi_column_open(&reader, col, n, p, bytes);
	if (st == FLOW_OK)
	{
		vector_alloc(&v, n);
		st = flowi_column_read(&reader, 0, n, &v, 0);
		vector_free(&v);
	}
	CHECK(st == FLOW_CORRUPT);
	free(p);
}

#define REFUSED(col, n, ...)                               \
	do                                                     \
	{                                                      \
		static const uint8_t chunk_[] = {__VA_ARGS__};     \
		check_refused((col), (n), chunk_, sizeof(chunk_)); \
	} while (0)

/* What no writer writes, one thing at a time. */
static void
test_refused(void)
{
	check_refused(&int8, 5, "", 0);
	check_refused(&int8, 0, "\0", 1);
	check_refused(&int8, FLOW_COLUMN_MAX_ROWS + 1, "\0", 1);
	REFUSED(&int8, 5, 0, 0);					  /* all NULL, and a byte */
	REFUSED(&int8, 5, 0x42, 0, 4, 0, 2);		  /* an unknown flag */
	REFUSED(&int8, 5, 0x32, 1, 1, 0, 4);		  /* both kinds of NULLs */
	REFUSED(&int8, 5, 0x12, 5, 31, 0, 1);		  /* as many NULLs as values */
	REFUSED(&int8, 5, 0x12, 1);					  /* no bitmap */
	REFUSED(&int8, 5, 3, 0, 4, 0, 2);			  /* doubles' encoding */
	REFUSED(&int8, 5, 1, 2, 0);					  /* one value, and a byte */
	REFUSED(&int8, 5, 2, 0, 4);					  /* no sequence */
	REFUSED(&int8, 5, 2, 0, 4, 5, 0);			  /* an unknown form */
	REFUSED(&int8, 5, 2, 0, 4, 0x11, 1, 0, 0, 2); /* scale 1 */
	/* frames: base of 9 bytes; width 65; packed bytes, patches missing; more
	 * patches than numbers; patches of 0 and 9 bytes */
	REFUSED(&int8, 5, 2, 0, 4, 2, 9, 0, 0, 0, 0);
	REFUSED(&int8, 1, 2, 0, 4, 2, 0, 0, 0, 0, 65, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	REFUSED(&int8, 5, 2, 0, 4, 2, 0, 0, 0, 0, 8, 1, 2, 3, 4);
	REFUSED(&int8, 5, 2, 0, 4, 2, 0, 0, 0, 1, 1, 0);
	REFUSED(&int8, 5, 2, 0, 4, 2, 0, 0, 0, 6, 1, 0, 1, 2, 3, 4, 5, 6, 1, 2, 3,
			4, 5, 6);
	REFUSED(&int8, 5, 2, 0, 4, 2, 0, 0, 0, 1, 0, 0, 1);
	REFUSED(&int8, 5, 2, 0, 4, 2, 0, 0, 0, 1, 9, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8,
			9);
	/* runs: none; ends that do not rise, that do not end at n */
	REFUSED(&int8, 5, 2, 0, 4, 3, 0, 1, 2, 2);
	REFUSED(&int8, 5, 2, 0, 4, 3, 2, 6, 2, 0, 10, 0, 0, 0, 2, 0, 2, 0, 0, 0);
	REFUSED(&int8, 5, 2, 0, 4, 3, 1, 6, 2, 0, 8, 0, 0, 0, 2, 0, 2, 0, 0, 0);
	/* a dictionary of one number, and places 1 */
	REFUSED(&int8, 5, 2, 0, 4, 4, 1, 6, 2, 0, 8, 0, 0, 0, 2, 0, 2, 0, 0, 0);
	/* doubles: exponent 19; greatest less than smallest; a patch beyond, two
	 * at one place; shift 64 */
	REFUSED(&float8, 5, 3, 19, 0, 2, 0, 0, 0, 0);
	REFUSED(&float8, 5, 3, 0, 0, 2, 19, 0, 0, 0);
	REFUSED(&float8, 5, 3, 0x40, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0,
			0, 0, 0, 0, 0, 0);
	REFUSED(&float4, 5, 3, 0, 0, 2, 0, 1, 5, 0, 0, 0, 1, 2, 3, 4, 0, 0);
	REFUSED(&float4, 5, 3, 0, 0, 2, 0, 2, 1, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4, 1,
			2, 3, 4, 0, 0);
	REFUSED(&float8, 5, 4, 0, 0, 2, 64, 0, 0);
	REFUSED(&float4, 5, 4, 0, 0, 2, 32, 0, 0);
	/* values: of another length than they tell, of none; ends beyond */
	REFUSED(&text, 5, 1, 7, 'a');
	REFUSED(&text, 5, 1, 0, 3, 'a', 'b');
	REFUSED(&text, 5, 1);
	REFUSED(&uuid, 5, 1, 1, 2, 3);
	REFUSED(&text, 2, 6, 3, 1, 8, 8, 0, 8, 7, 'a', 'b', 7, 'c', 'd', 7);
	REFUSED(&text, 2, 6, 3, 1, 4, 6, 0, 4, 5, 'a', 5, 'b');
	/* a dictionary: no entries; a place beyond; ends that fall */
	REFUSED(&text, 2, 5, 0, 2, 0, 4, 0, 2, 5, 'a', 0, 0);
	REFUSED(&text, 2, 5, 1, 2, 0, 4, 0, 2, 5, 'a', 0, 2);
	REFUSED(&text, 2, 5, 2, 3, 1, 4, 3, 0, 2, 5, 'a', 0, 0);
	/* a heap: an unknown codec; more than lz4 can make of it; cut */
	REFUSED(&uuid, 2, 6, 3, 32, 2, 1, 0);
	REFUSED(&uuid, 500, 6, 1, 0xc0, 0x3e, 3, 1, 0, 0);
	REFUSED(&uuid, 2, 6, 0, 32, 1, 2, 3);
	check_passed("what no writer writes");
}

static void
damage(uint8_t *p, size_t bytes, CheckRandom *r)
{
	size_t near = FLOW_MIN(bytes, 40);
	size_t at =
		check_below(r, 2) ? check_below(r, near) : check_below(r, bytes);

	switch (check_below(r, 4))
	{
		case 0:
			p[at] ^= (uint8_t) (1u << check_below(r, 8));
			break;
		case 1:
			p[at] = 0xff;
			break;
		case 2:
			p[at]++;
			break;
		default:
			p[at] = (uint8_t) check_random(r);
	}
}

/* Whatever the bytes are: OK or CORRUPT; and pointers can be read. */
static bool
read_damaged(const Column *c, const uint8_t *p, size_t bytes, uint32_t n,
			 FlowColumnVector *v, CheckRandom *r)
{
	FlowStatus st = flowi_column_open(&reader, &c->col, n, p, bytes);
	uint8_t sum = 0;

	CHECK(st == FLOW_OK || st == FLOW_CORRUPT);
	for (int i = 0; i < 3 && st == FLOW_OK; i++)
	{
		uint32_t first = i == 0 ? 0 : (uint32_t) check_below(r, n);
		uint32_t count = i == 0	  ? n
						 : i == 1 ? 1
								  : 1 + (uint32_t) check_below(r, n - first);

		st = flowi_column_read(&reader, first, count, v, 0);
		CHECK(st == FLOW_OK || st == FLOW_CORRUPT);
		for (uint32_t j = 0; j < count && st == FLOW_OK && c->heap; j++)
			for (uint32_t k = 0; k < v->bytes[j]; k++)
				sum ^= v->ptr[j][k];
	}
	return st == FLOW_OK && sum != 1;
}

static void
test_damage(CheckRandom *r)
{
	uint32_t read = 0;
	uint32_t refused = 0;
	FlowColumnVector v;
	Column c;

	vector_alloc(&v, 5000);
	for (int i = 0; i < 3000; i++)
	{
		size_t bytes;
		uint32_t n = some_rows(r);
		uint8_t *p;

		writer.how = (FlowCompression) check_below(r, 3);
		column_make(&c, &kinds[check_below(r, NKINDS)],
					(Shape) check_below(r, SHAPE_NSHAPES),
					(Nulls) check_below(r, NULLS_NNULLS), n, r);
		p = write_column(&c, &bytes);
		for (int j = 0; j < 12; j++)
		{
			size_t cut = check_below(r, 8) == 0 ? check_below(r, bytes) : 0;
			uint32_t rows = check_below(r, 16) == 0 ? some_rows(r) : n;
			uint8_t *copy = malloc(FLOW_MAX(bytes - cut, (size_t) 1));

			CHECK(copy != NULL);
			memcpy(copy, p, bytes - cut);
			for (uint64_t k = check_below(r, 4); k > 0; k--)
				damage(copy, bytes - cut, r);
			if (read_damaged(&c, copy, bytes - cut, rows, &v, r))
				read++;
			else
				refused++;
			free(copy);
		}
		free(p);
		column_free(&c);
	}
	vector_free(&v);
	CHECK(read > 1000 && refused > 1000);
	check_passed("damaged chunks");
}

/*
 * NULLs whose runs are told by runs of runs, which no writer takes, of a
 * dictionary: to work them out at the second read must not touch what the
 * first one has made of the entries.
 */
static void
test_runs_of_runs(void)
{
	static const uint8_t chunk[] = {
		/* a dictionary, one NULL or more, 100 runs, in 17 bytes: */
		37, 1, 100, 17,
		/* two runs, which end at 50 and 100, */
		3, 2, 6, 2, 0, 100, 100, 0, 0,
		/* of 100 and 200 */
		2, 0, 200, 1, 200, 1, 0, 0,
		/* four entries, which end at 4, 8, .. */
		4, 6, 2, 0, 8, 8, 0, 0,
		/* the heap */
		0, 16, 9, 'a', 'b', 'c', 9, 'a', 'b', 'c', 9, 'a', 'b', 'c', 9, 'a',
		'b', 'c',
		/* each value is entry 2 */
		2, 0, 4, 0, 0, 0, 0};
	FlowColumnVector v;
	uint8_t *p = malloc(sizeof(chunk));

	CHECK(p != NULL);
	memcpy(p, chunk, sizeof(chunk));
	vector_alloc(&v, 200);
	CHECK_OK(flowi_column_open(&reader, &text, 200, p, sizeof(chunk)));
	CHECK_OK(flowi_column_read(&reader, 0, 1, &v, 0));
	CHECK_OK(flowi_column_read(&reader, 1, 99, &v, 1));
	for (int i = 0; i < 100; i++)
		CHECK(v.bytes[i] == 4 && memcmp(v.ptr[i], "\011abc", 4) == 0);
	vector_free(&v);
	free(p);
	check_passed("runs of runs of NULLs");
}

int
main(int argc, char **argv)
{
	CheckRandom r = check_seed(argc, argv);

	columnio_begin();
	test_refused();
	test_runs_of_runs();
	test_damage(&r);
	columnio_end();
	return 0;
}
