/*-------------------------------------------------------------------------
 * column_frame.c
 *	  Write a sequence of numbers in frames of 128.
 *
 * Each frame is looked at while it is in the first cache, and takes the
 * cheapest of
 *	 - frame of reference: number less the smallest (Zukowski, Heman, Nes and
 *	   Boncz, Super-scalar RAM-CPU cache compression, ICDE 2006),
 *	 - the same of the differences between neighbours (the same paper's
 *	   PFOR-DELTA; Parquet's DELTA_BINARY_PACKED),
 *	 - the same of the distances from a line, for times with jitter;
 * a few numbers far from the others are patches, as in PFOR, so that they do
 * not make the frame wide.
 *
 * Differences of differences (Pelkonen et al., Gorilla, VLDB 2015) have no
 * form of their own.  Gorilla needs them to make the common case a zero bit; a
 * frame has that when its differences are equal, since their smallest is
 * taken off.  Times i * step + jitter have differences twice as wide as the
 * jitter, second differences four times: the line is better than both, and one
 * number of it is read without the others.  What second differences would win
 * is a rate that changes within 128 numbers without noise.
 *-------------------------------------------------------------------------
 */
#include "column_num.h"

#define TRIM 3u		 /* numbers at either end of a frame that may be patches */
#define TRIM_MIN 32u /* in a frame of at least so many */
#define POSITION_BYTES 2u

/* A frame; values are base + i * step + (packed[i], or the sum up to it). */
typedef struct Frame
{
	uint64_t base, step;
	uint8_t width;
	bool sums;
} Frame;

typedef struct Patch
{
	uint32_t position;
	uint64_t value;
} Patch;

/* What numbers to pack, and what it costs. */
typedef struct Plan
{
	int64_t lo, hi; /* what is not within is a patch */
	unsigned width;
	size_t cost;
	size_t least; /* no patches make it cheaper than that */
	int64_t lows[TRIM + 1], highs[TRIM + 1]; /* see group_extremes */
} Plan;

static unsigned
bytes_for(uint64_t v)
{
	return (flowi_bits(v) + 7) / 8;
}

static void
put_bytes(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++, v >>= 8)
		p[i] = (uint8_t) v;
}

/* Put v into its place among the TRIM + 1 smallest, or greatest, so far. */
static inline void
keep_low(int64_t *lo, int64_t v)
{
	unsigned j = TRIM;

	if (v >= lo[TRIM])
		return;
	for (; j > 0 && v < lo[j - 1]; j--)
		lo[j] = lo[j - 1];
	lo[j] = v;
}

static inline void
keep_high(int64_t *hi, int64_t v)
{
	unsigned j = TRIM;

	if (v <= hi[TRIM])
		return;
	for (; j > 0 && v > hi[j - 1]; j--)
		hi[j] = hi[j - 1];
	hi[j] = v;
}

/* The smallest and the greatest number of each of up to eight groups; returns
 * how many. */
static uint32_t
look_at_groups(const int64_t *x, uint32_t k, int64_t *lows, int64_t *highs)
{
	uint32_t size = (k + FLOW_NUM_LANES - 1) / FLOW_NUM_LANES;
	uint32_t n = 0;

#if FLOW_AVX2
	if (k >= FLOW_NUM_LANES && __builtin_cpu_supports("avx2"))
	{
		flowi_num_lanes_avx2(x, k, lows, highs);
		return FLOW_NUM_LANES;
	}
#endif
	for (uint32_t at = 0; at < k; at += size, n++)
	{
		uint32_t end = FLOW_MIN(at + size, k);

		lows[n] = highs[n] = x[at];
		for (uint32_t i = at + 1; i < end; i++)
		{
			lows[n] = FLOW_MIN(lows[n], x[i]);
			highs[n] = FLOW_MAX(highs[n], x[i]);
		}
	}
	return n;
}

/*
 * group_extremes
 *		The TRIM + 1 smallest of the smallest numbers of eight groups, and
 *		the same of the greatest: the first is that of all, the others are no
 *		nearer to the ends than those of all numbers, so that they tell whether
 *		these can be of use.
 */
static void
group_extremes(const int64_t *x, uint32_t k, int64_t *lo, int64_t *hi)
{
	int64_t lows[FLOW_NUM_LANES], highs[FLOW_NUM_LANES];
	uint32_t n = look_at_groups(x, k, lows, highs);

	for (unsigned j = 0; j <= TRIM; j++)
	{
		lo[j] = INT64_MAX;
		hi[j] = INT64_MIN;
	}
	for (uint32_t j = 0; j < n; j++)
	{
		keep_low(lo, lows[j]);
		keep_high(hi, highs[j]);
	}
}

/* The same of all k numbers, more than TRIM; lo and hi are those of groups. */
static void
extremes(const int64_t *x, uint32_t k, int64_t *lo, int64_t *hi)
{
	int64_t low = lo[TRIM];
	int64_t high = hi[TRIM];

	/* no more than these are asked about: there are enough of them */
	for (unsigned j = 0; j <= TRIM; j++)
	{
		lo[j] = low;
		hi[j] = high;
	}
	for (uint32_t i = 0; i < k; i++)
	{
		if (x[i] < low)
			keep_low(lo, x[i]);
		if (x[i] > high)
			keep_high(hi, x[i]);
	}
}

static size_t
cost_of(uint32_t k, int64_t lo, int64_t hi)
{
	return flowi_bitpack_bytes(k, flowi_bits((uint64_t) hi - (uint64_t) lo));
}

/* Bytes of a patch in a plan. */
static unsigned
patch_cost(const Plan *p)
{
	return POSITION_BYTES + FLOW_MIN((p->width + 8) / 8, 8u);
}

/* How to pack k numbers without patches. */
static void
plan_all(Plan *p, const int64_t *x, uint32_t k)
{
	group_extremes(x, k, p->lows, p->highs);
	p->lo = p->lows[0];
	p->hi = p->highs[0];
	p->width = flowi_bits((uint64_t) p->hi - (uint64_t) p->lo);
	p->cost = p->least = flowi_bitpack_bytes(k, p->width);
	if (k >= TRIM_MIN)
	{
		size_t patched =
			cost_of(k, p->lows[TRIM], p->highs[TRIM]) + patch_cost(p);

		p->least = FLOW_MIN(p->least, patched);
	}
}

/* The same with patches, if that is cheaper. */
static void
plan_patches(Plan *p, const int64_t *x, uint32_t k)
{
	const unsigned patch = patch_cost(p);

	if (p->least == p->cost)
		return;
	extremes(x, k, p->lows, p->highs);
	for (unsigned i = 0; i <= TRIM; i++)
	{
		for (unsigned j = i == 0; j <= TRIM; j++)
		{
			int64_t lo = p->lows[i];
			int64_t hi = p->highs[j];
			size_t cost = cost_of(k, lo, hi) + (i + j) * patch;

			if (cost >= p->cost)
				continue;
			p->lo = lo;
			p->hi = hi;
			p->width = flowi_bits((uint64_t) hi - (uint64_t) lo);
			p->cost = cost;
		}
	}
}

/* Numbers as lo + what is packed, at number at of the sequence. */
static FlowStatus
pack_frame(FlowNumWriter *w, const Plan *p, const int64_t *x, uint32_t k,
		   uint32_t at)
{
	uint64_t packed[FLOW_FRAME];
	size_t bytes = flowi_bitpack_bytes(k, p->width);
	uint64_t most = (uint64_t) p->hi - (uint64_t) p->lo;

	for (uint32_t i = 0; i < k; i++)
	{
		uint64_t v = (uint64_t) x[i] - (uint64_t) p->lo;

		packed[i] = v;
		if (v > most)
		{
			Patch patch = {at + i, flowi_zigzag((int64_t) v)};

			packed[i] = 0;
			FLOW_TRY(flowi_buf_append(&w->patches, &patch, sizeof(patch)));
		}
	}
	FLOW_TRY(flowi_buf_reserve(&w->packed, bytes + FLOW_BITPACK_SLACK));
	flowi_bitpack(packed, k, p->width, w->packed.data + w->packed.len);
	w->packed.len += bytes;
	return FLOW_OK;
}

/* The step of a line through the numbers: from the mean of one half to that of
 * the other, so that what lies off it does not bend it.  Any number if the sums
 * overflow. */
static int64_t
slope(const int64_t *x, uint32_t k)
{
	uint32_t half = k / 2;
	int64_t area = (int64_t) half * half;
	uint64_t sum = 0;
	int64_t step, rest;

	for (uint32_t i = 0; i < half; i++)
		sum += (uint64_t) x[i + half] - (uint64_t) x[i];
	step = (int64_t) sum / area;
	rest = (int64_t) sum % area;
	return rest * 2 >= area ? step + 1 : rest * 2 <= -area ? step - 1 : step;
}

/*
 * plan_line
 *		Distances from a line into off, and how to pack them; false when a
 *		look at some tells that they need more than width bits, or there is
 *		no line.
 */
static bool
plan_line(Plan *p, const int64_t *x, uint32_t k, unsigned width, int64_t *off,
		  uint64_t *stepp)
{
	uint64_t step = (uint64_t) slope(x, k);
	int64_t low = x[0];
	int64_t high = x[0];

	if (step == 0)
		return false;
	for (uint32_t i = 0; i < k; i += 16)
	{
		int64_t v = (int64_t) ((uint64_t) x[i] - i * step);

		low = FLOW_MIN(low, v);
		high = FLOW_MAX(high, v);
	}
	if (flowi_bits((uint64_t) high - (uint64_t) low) > width)
		return false;
	for (uint32_t i = 0; i < k; i++)
		off[i] = (int64_t) ((uint64_t) x[i] - i * step);
	*stepp = step;
	plan_all(p, off, k);
	plan_patches(p, off, k);
	return true;
}

/* Patches where they may tell which of numbers and their differences is
 * cheaper: are the differences? */
static bool
differences_pay(Plan *values, const int64_t *x, Plan *diffs,
				const int64_t *diff, uint32_t k)
{
	if (diffs->least < values->least)
	{
		plan_patches(diffs, diff, k);
		if (values->least <= diffs->cost)
			plan_patches(values, x, k);
	}
	else
	{
		plan_patches(values, x, k);
		if (diffs->least < values->cost)
			plan_patches(diffs, diff, k);
	}
	return diffs->cost < values->cost;
}

/* The cheapest way to pack a frame into *best; returns what is packed, x or
 * one of the buffers. */
static const int64_t *
choose(const int64_t *x, uint32_t k, int64_t *diff, int64_t *off, Plan *best,
	   Frame *f)
{
	const int64_t *pack = x;
	uint64_t step;
	Plan other;

	plan_all(best, x, k);
	*f = (Frame){.base = (uint64_t) best->lo};
	if (k < 2 || best->width == 0)
		return x;
	for (uint32_t i = 1; i < k; i++)
		diff[i] = (int64_t) ((uint64_t) x[i] - (uint64_t) x[i - 1]);
	diff[0] = diff[1]; /* none: the first number is the base */
	plan_all(&other, diff, k);
	if (differences_pay(best, x, &other, diff, k))
	{
		diff[0] = other.lo;
		*best = other;
		*f = (Frame){(uint64_t) x[0], (uint64_t) other.lo, 0, true};
		pack = diff;
	}
	else
		f->base = (uint64_t) best->lo;
	if (best->width > 0 && plan_line(&other, x, k, best->width, off, &step) &&
		other.cost + (pack == x) <= best->cost) /* rather than sums if equal */
	{
		*best = other;
		*f = (Frame){(uint64_t) other.lo, step, 0, false};
		pack = off;
	}
	return pack;
}

static FlowStatus
write_frame(FlowNumWriter *w, const int64_t *x, uint32_t k, uint32_t at)
{
	int64_t diff[FLOW_FRAME], off[FLOW_FRAME];
	Frame f;
	Plan best;
	const int64_t *pack = choose(x, k, diff, off, &best, &f);

	f.width = (uint8_t) best.width;
	FLOW_TRY(pack_frame(w, &best, pack, k, at));
	return flowi_buf_append(&w->frames, &f, sizeof(f));
}

/* Smallest base and step of the frames, and bytes of the greatest less it. */
static void
frame_bytes(const Frame *f, uint32_t nframes, Frame *least,
			unsigned *base_bytesp, unsigned *step_bytesp)
{
	int64_t base_hi = (int64_t) f[0].base;
	int64_t step_hi = (int64_t) f[0].step;

	*least = f[0];
	for (uint32_t i = 1; i < nframes; i++)
	{
		int64_t base = (int64_t) f[i].base;
		int64_t step = (int64_t) f[i].step;

		if (base < (int64_t) least->base)
			least->base = f[i].base;
		if (step < (int64_t) least->step)
			least->step = f[i].step;
		base_hi = FLOW_MAX(base_hi, base);
		step_hi = FLOW_MAX(step_hi, step);
	}
	*base_bytesp = bytes_for((uint64_t) base_hi - least->base);
	*step_bytesp = bytes_for((uint64_t) step_hi - least->step);
}

static unsigned
patch_bytes(const Patch *p, uint32_t npatches)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < npatches; i++)
		all |= p[i].value;
	return all == 0 ? npatches > 0 : bytes_for(all);
}

static unsigned
position_bytes(uint32_t n)
{
	return n <= 1u << 8 ? 1 : n <= 1u << 16 ? 2 : 3;
}

/* Put together what write_frame has made of each frame. */
static FlowStatus
put_frames(const FlowNumWriter *w, uint32_t n, FlowBuf *out)
{
	const Frame *f = (const Frame *) w->frames.data;
	const Patch *patch = (const Patch *) w->patches.data;
	uint32_t nframes = (n + FLOW_FRAME - 1) / FLOW_FRAME;
	uint32_t npatches = (uint32_t) (w->patches.len / sizeof(Patch));
	unsigned bb, sb, pb, vb;
	Frame least;
	uint8_t *p;

	frame_bytes(f, nframes, &least, &bb, &sb);
	pb = position_bytes(n);
	vb = patch_bytes(patch, npatches);
	FLOW_TRY(flowi_buf_reserve(
		out, 3 + 3 * FLOW_VARINT_MAX + (size_t) nframes * (1 + bb + sb) +
				 (size_t) npatches * (pb + vb) + w->packed.len));
	p = out->data + out->len;
	*p++ = (uint8_t) (bb | sb << 4);
	p = flowi_put_varint(p, flowi_zigzag((int64_t) least.base));
	p = flowi_put_varint(p, flowi_zigzag((int64_t) least.step));
	p = flowi_put_varint(p, npatches);
	if (npatches > 0)
		*p++ = (uint8_t) vb;
	for (uint32_t i = 0; i < nframes; i++)
		*p++ = f[i].width | (f[i].sums ? FLOW_NUM_SUMS : 0);
	for (uint32_t i = 0; i < nframes; i++, p += bb)
		put_bytes(p, f[i].base - least.base, bb);
	for (uint32_t i = 0; i < nframes; i++, p += sb)
		put_bytes(p, f[i].step - least.step, sb);
	for (uint32_t i = 0; i < npatches; i++, p += pb)
		put_bytes(p, patch[i].position, pb);
	for (uint32_t i = 0; i < npatches; i++, p += vb)
		put_bytes(p, patch[i].value, vb);
	if (w->packed.len > 0)
		memcpy(p, w->packed.data, w->packed.len);
	out->len = (size_t) (p + w->packed.len - out->data);
	return FLOW_OK;
}

FlowStatus
flowi_num_write_frames(FlowNumWriter *w, const int64_t *x, uint32_t n,
					   FlowBuf *out)
{
	w->frames.len = 0;
	w->packed.len = 0;
	w->patches.len = 0;
	for (uint32_t at = 0; at < n; at += FLOW_FRAME)
		FLOW_TRY(write_frame(w, x + at, FLOW_MIN(n - at, FLOW_FRAME), at));
	return put_frames(w, n, out);
}
