/*-------------------------------------------------------------------------
 * column_num_write.c
 *	  Write a sequence of numbers: constant, linear, frames, runs, dictionary.
 *
 * One pass over the whole tells a constant or linear sequence, and counts the
 * runs.  Else the numbers are written in frames, and what these take tells
 * whether there is more to win: by a common divisor, by runs (Abadi, Madden
 * and Ferreira, Integrating compression and execution in column-oriented
 * database systems, SIGMOD 2006), or by a dictionary of few different numbers
 * that are far apart.  Each of these is judged by an estimate before it is
 * made.
 *-------------------------------------------------------------------------
 */
#include "column_num.h"

#define DIVISOR_SAMPLE 16u
#define DICTIONARY_MAX 256u /* entries */
#define DICTIONARY_SLOTS 1024u
#define DICTIONARY_SAMPLE 64u

void
flowi_num_writer_init(FlowNumWriter *w, FlowEnv *env)
{
	flowi_buf_init(&w->frames, env);
	flowi_buf_init(&w->packed, env);
	flowi_buf_init(&w->patches, env);
	flowi_buf_init(&w->runs, env);
	flowi_buf_init(&w->part, env);
	flowi_buf_init(&w->scaled, env);
}

void
flowi_num_writer_free(FlowNumWriter *w)
{
	flowi_buf_free(&w->frames);
	flowi_buf_free(&w->packed);
	flowi_buf_free(&w->patches);
	flowi_buf_free(&w->runs);
	flowi_buf_free(&w->part);
	flowi_buf_free(&w->scaled);
}

/* ------------------------------------------------------------------ holes */

/* Numbers from .. to - 1 are holes between a and b. */
static void
fill_between(int64_t *x, uint32_t from, uint32_t to, int64_t a, int64_t b)
{
	int64_t gap = (int64_t) (to - from) + 1;
	int64_t rise;

	if (__builtin_sub_overflow(b, a, &rise))
		rise = 0;
	rise /= gap;
	for (uint32_t i = from; i < to; i++)
	{
		a += rise;
		x[i] = a;
	}
}

void
flowi_num_fill(int64_t *x, const uint8_t *hole, uint32_t n)
{
	uint32_t i = 0;
	uint32_t from;

	while (i < n)
	{
		if (!hole[i])
		{
			i++;
			continue;
		}
		from = i;
		while (i < n && hole[i])
			i++;
		if (from == 0 && i == n)
			memset(x, 0, (size_t) n * sizeof(*x));
		else
			fill_between(x, from, i, x[from > 0 ? from - 1 : i],
						 x[i < n ? i : from - 1]);
	}
}

/* ------------------------------------------------------------- one by one */

FlowNumLook
flowi_num_look(const int64_t *x, uint32_t n)
{
#if FLOW_AVX2
	if (__builtin_cpu_supports("avx2"))
		return flowi_num_look_avx2(x, n);
#endif
	return flowi_num_look_plain(x, n);
}

FlowNumLook
flowi_num_look_plain(const int64_t *x, uint32_t n)
{
	FlowNumLook l = {1, n > 1, x[0], x[0]};
	uint64_t step = n > 1 ? (uint64_t) x[1] - (uint64_t) x[0] : 0;
	uint64_t bend = 0;

	for (uint32_t i = 1; i < n; i++)
	{
		uint64_t diff = (uint64_t) x[i] - (uint64_t) x[i - 1];

		bend |= diff ^ step;
		l.runs += diff != 0;
		l.lo = FLOW_MIN(l.lo, x[i]);
		l.hi = FLOW_MAX(l.hi, x[i]);
	}
	l.linear = l.linear && bend == 0;
	return l;
}

/* A form and, if the numbers that follow are scaled, by what. */
static FlowStatus
put_form(uint8_t form, uint64_t scale, int64_t offset, FlowBuf *out)
{
	if (scale > 1)
		form |= FLOW_NUM_SCALED;
	FLOW_TRY(flowi_buf_append(out, &form, 1));
	if (scale == 1)
		return FLOW_OK;
	FLOW_TRY(flowi_buf_varint(out, scale));
	return flowi_buf_varint(out, flowi_zigzag(offset));
}

static FlowStatus
write_line(const FlowNumLook *l, const int64_t *x, FlowBuf *out)
{
	uint8_t form = l->lo == l->hi ? FLOW_NUM_CONSTANT : FLOW_NUM_LINEAR;
	uint64_t step;

	FLOW_TRY(put_form(form, 1, 0, out));
	FLOW_TRY(flowi_buf_varint(out, flowi_zigzag(x[0])));
	if (form == FLOW_NUM_CONSTANT)
		return FLOW_OK;
	step = (uint64_t) x[1] - (uint64_t) x[0];
	return flowi_buf_varint(out, flowi_zigzag((int64_t) step));
}

/* Two sequences of frames, the first with its bytes before it. */
static FlowStatus
write_pair(FlowNumWriter *w, const int64_t *first, uint32_t nfirst,
		   const int64_t *second, uint32_t nsecond, FlowBuf *out)
{
	const uint8_t form = FLOW_NUM_FRAMES;

	w->part.len = 0;
	FLOW_TRY(flowi_num_write_frames(w, first, nfirst, &w->part));
	FLOW_TRY(flowi_buf_varint(out, w->part.len + 1));
	FLOW_TRY(flowi_buf_append(out, &form, 1));
	FLOW_TRY(flowi_buf_append(out, w->part.data, w->part.len));
	FLOW_TRY(flowi_buf_append(out, &form, 1));
	return flowi_num_write_frames(w, second, nsecond, out);
}

/* ------------------------------------------------------------------- runs */

/* About what runs would take. */
static size_t
runs_cost(const FlowNumLook *l, uint64_t range, uint32_t n)
{
	unsigned bits = flowi_bits(n / l->runs) + 2 + flowi_bits(range);

	return 20 + (size_t) l->runs * bits / 8;
}

/* Ends and values of the runs, each a sequence of its own. */
static FlowStatus
write_runs(FlowNumWriter *w, const int64_t *x, uint32_t n, uint32_t nruns,
		   FlowBuf *out)
{
	uint32_t run = 0;
	int64_t *ends, *values;

	w->runs.len = 0;
	FLOW_TRY(flowi_buf_reserve(&w->runs, (size_t) nruns * 2 * sizeof(*ends)));
	ends = (int64_t *) w->runs.data;
	values = ends + nruns;
	for (uint32_t i = 0; i < n; i++)
	{
		if (i + 1 < n && x[i + 1] == x[i])
			continue;
		ends[run] = (int64_t) i + 1;
		values[run++] = x[i];
	}
	FLOW_ASSERT(run == nruns);
	FLOW_TRY(flowi_buf_varint(out, nruns));
	return write_pair(w, ends, nruns, values, nruns, out);
}

/* ------------------------------------------------------------- dictionary */

/* Numbers, and the order in which they came. */
typedef struct Dictionary
{
	uint32_t n;
	int64_t values[DICTIONARY_MAX];
	uint16_t slots[DICTIONARY_SLOTS]; /* number of a value + 1, or 0 */
} Dictionary;

/* The place of a number, a new one if need be; DICTIONARY_MAX: there is none. */
static uint32_t
find_number(Dictionary *d, int64_t v)
{
	uint64_t hash = (uint64_t) v * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t slot = (uint32_t) (hash >> 32) & (DICTIONARY_SLOTS - 1);

	for (; d->slots[slot] != 0; slot = (slot + 1) & (DICTIONARY_SLOTS - 1))
		if (d->values[d->slots[slot] - 1] == v)
			return d->slots[slot] - 1u;
	if (d->n == DICTIONARY_MAX)
		return DICTIONARY_MAX;
	d->values[d->n++] = v;
	d->slots[slot] = (uint16_t) d->n;
	return d->n - 1;
}

static size_t
dictionary_cost(const Dictionary *d, uint32_t n)
{
	return 20 + (size_t) d->n * 8 + (size_t) n * flowi_bits(d->n - 1) / 8;
}

/* Look at some, then at all: the numbers' places into ids.  False: more than
 * most bytes would be needed. */
static bool
build_dictionary(Dictionary *d, const int64_t *x, uint32_t n, size_t most,
				 int64_t *ids)
{
	uint32_t step = FLOW_MAX(n / DICTIONARY_SAMPLE, 1u);

	memset(d->slots, 0, sizeof(d->slots));
	d->n = 0;
	for (uint32_t i = 0; i < n; i += step)
		(void) find_number(d, x[i]);
	if (d->n > DICTIONARY_SAMPLE / 2 || dictionary_cost(d, n) >= most)
		return false;
	memset(d->slots, 0, sizeof(d->slots));
	d->n = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		ids[i] = find_number(d, x[i]);
		if (ids[i] == DICTIONARY_MAX)
			return false;
	}
	return dictionary_cost(d, n) < most;
}

/* Write as a dictionary when that saves a quarter of most bytes. */
static FlowStatus
write_dictionary(FlowNumWriter *w, const int64_t *x, uint32_t n, size_t most,
				 uint64_t scale, int64_t offset, size_t at, FlowBuf *out)
{
	Dictionary d;

	w->runs.len = 0;
	FLOW_TRY(flowi_buf_reserve(&w->runs, (size_t) n * sizeof(*x)));
	if (!build_dictionary(&d, x, n, most - most / 4, (int64_t *) w->runs.data))
		return FLOW_OK;
	out->len = at;
	FLOW_TRY(put_form(FLOW_NUM_DICTIONARY, scale, offset, out));
	FLOW_TRY(flowi_buf_varint(out, d.n));
	return write_pair(w, d.values, d.n, (const int64_t *) w->runs.data, n, out);
}

/* ---------------------------------------------------------------- divisor */

static uint64_t
common_divisor(uint64_t a, uint64_t b)
{
	while (b != 0)
	{
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Of all numbers less the smallest, which are not all 0. */
static uint64_t
find_divisor(const int64_t *x, uint32_t n, int64_t lo)
{
	uint64_t g = 0;
	uint32_t i = 0;

	for (; g != 1 && i < n && (i < DIVISOR_SAMPLE || g == 0); i++)
		g = common_divisor((uint64_t) x[i] - (uint64_t) lo, g);
	for (; g != 1 && i < n; i++)
	{
		uint64_t v = (uint64_t) x[i] - (uint64_t) lo;

		if (v % g != 0)
			g = common_divisor(v, g);
	}
	return g;
}

/* The numbers less the smallest, divided; NULL: no memory. */
static FlowStatus
divide(FlowNumWriter *w, const int64_t *x, uint32_t n, int64_t lo, uint64_t g,
	   const int64_t **scaledp)
{
	int64_t *scaled;

	w->scaled.len = 0;
	FLOW_TRY(flowi_buf_reserve(&w->scaled, (size_t) n * sizeof(*scaled)));
	scaled = (int64_t *) w->scaled.data;
	for (uint32_t i = 0; i < n; i++)
		scaled[i] = (int64_t) (((uint64_t) x[i] - (uint64_t) lo) / g);
	*scaledp = scaled;
	return FLOW_OK;
}

/* -------------------------------------------------------------------- all */

FlowStatus
flowi_num_write(FlowNumWriter *w, const int64_t *x, uint32_t n,
				const FlowNumLook *l, FlowBuf *out)
{
	size_t at = out->len;
	uint64_t scale = 1;
	uint64_t range = (uint64_t) l->hi - (uint64_t) l->lo;
	bool wide;

	if (l->lo == l->hi || l->linear)
		return write_line(l, x, out);
	FLOW_TRY(put_form(FLOW_NUM_FRAMES, 1, 0, out));
	FLOW_TRY(flowi_num_write_frames(w, x, n, out));
	wide = out->len - at > n / 2; /* than four bits a number */
	if (wide)
		scale = find_divisor(x, n, l->lo);
	if (scale > 1)
	{
		FLOW_TRY(divide(w, x, n, l->lo, scale, &x));
		out->len = at;
		FLOW_TRY(put_form(FLOW_NUM_FRAMES, scale, l->lo, out));
		FLOW_TRY(flowi_num_write_frames(w, x, n, out));
	}
	if (l->runs <= n / 4 && runs_cost(l, range / scale, n) < out->len - at)
	{
		out->len = at;
		FLOW_TRY(put_form(FLOW_NUM_RUNS, scale, l->lo, out));
		return write_runs(w, x, n, l->runs, out);
	}
	if (!wide)
		return FLOW_OK;
	return write_dictionary(w, x, n, out->len - at, scale, l->lo, at, out);
}
