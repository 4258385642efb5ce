/*-------------------------------------------------------------------------
 * column_float_read.c
 *	  Read columns of doubles and floats.
 *-------------------------------------------------------------------------
 */
#include "column_float.h"

static bool
get_decimal(const uint8_t **pp, const uint8_t *end, int64_t *mp)
{
	uint64_t m;

	if (!flowi_get_varint(pp, end, &m))
		return false;
	*mp = flowi_unzigzag(m);
	return true;
}

static FlowStatus
open_one(FlowColumnReader *r, uint8_t tag, const uint8_t *p, const uint8_t *end)
{
	int64_t m;

	if (tag == BOUNDS_BITS && end - p == 8)
		r->one = (int64_t) flowi_get64(p);
	else if (tag <= DECIMAL_MAX && get_decimal(&p, end, &m) && p == end)
		r->one = from_decimal(m, power10[tag], r->col.bytes);
	else
		return FLOW_CORRUPT;
	if (r->col.bytes == 4)
		r->one = (int32_t) r->one;
	r->stats.min = r->stats.max =
		bound_bits(flowi_column_double(r->one, r->col.bytes));
	return FLOW_OK;
}

/* A bound that is a decimal. */
static int64_t
decimal_bound(int64_t m, uint8_t exponent, uint32_t bytes)
{
	int64_t num = from_decimal(m, power10[exponent], bytes);

	return flowi_double_bits(flowi_column_double(num, bytes));
}

static bool
get_bounds(FlowColumnReader *r, uint8_t tag, const uint8_t **pp,
		   const uint8_t *end)
{
	FlowColumnStats *s = &r->stats;
	uint64_t range;
	int64_t m;

	if (tag <= DECIMAL_MAX)
	{
		if (!get_decimal(pp, end, &m) || !flowi_get_varint(pp, end, &range))
			return false;
		s->min = decimal_bound(m, tag, r->col.bytes);
		s->max =
			decimal_bound((int64_t) ((uint64_t) m + range), tag, r->col.bytes);
	}
	else if (tag == BOUNDS_BITS && end - *pp >= 16)
	{
		s->min = (int64_t) flowi_get64(*pp);
		s->max = (int64_t) flowi_get64(*pp + 8);
		*pp += 16;
	}
	else
		return false;
	return !less(flowi_double(s->max), flowi_double(s->min));
}

/* Exponent and patches. */
static FlowStatus
open_decimals(FlowColumnReader *r, const uint8_t *p, const uint8_t *end)
{
	uint32_t value_bytes = r->col.bytes;
	int64_t last = -1;

	if (p == end || *p > DECIMAL_MAX)
		return FLOW_CORRUPT;
	r->exponent = *p++;
	if (!flowi_get_varint32(&p, end, &r->npatches) || r->npatches > r->n ||
		(size_t) (end - p) < (size_t) r->npatches * (4 + value_bytes))
		return FLOW_CORRUPT;
	r->positions = p;
	r->patches = p + (size_t) r->npatches * 4;
	p = r->patches + (size_t) r->npatches * value_bytes;
	for (uint32_t i = 0; i < r->npatches; i++)
	{
		int64_t position = flowi_get32(r->positions + (size_t) i * 4);

		if (position <= last || position >= (int64_t) r->n)
			return FLOW_CORRUPT;
		last = position;
	}
	return flowi_num_open(&r->num, &r->runs, p, end, r->n);
}

FlowStatus
flowi_float_open(FlowColumnReader *r, const uint8_t *p, const uint8_t *end)
{
	uint8_t tag;

	if (p == end)
		return FLOW_CORRUPT;
	tag = *p++;
	r->stats.has_bounds = true;
	if (r->encoding == FLOW_CHUNK_ONE)
		return open_one(r, tag, p, end);
	if (!get_bounds(r, tag, &p, end))
		return FLOW_CORRUPT;
	if (r->encoding == FLOW_CHUNK_DECIMALS)
		return open_decimals(r, p, end);
	if (r->encoding != FLOW_CHUNK_BITS || p == end || *p >= r->col.bytes * 8)
		return FLOW_CORRUPT;
	r->shift = *p++;
	return flowi_num_open(&r->num, &r->runs, p, end, r->n);
}

static void
put_patches(const FlowColumnReader *r, uint32_t first, uint32_t count,
			int64_t *num)
{
	uint32_t lo = 0;
	uint32_t hi = r->npatches;

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (flowi_get32(r->positions + (size_t) mid * 4) < first)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < r->npatches; lo++)
	{
		uint32_t at = flowi_get32(r->positions + (size_t) lo * 4) - first;
		const uint8_t *p = r->patches + (size_t) lo * r->col.bytes;

		if (at >= count)
			break;
		num[at] = r->col.bytes == 4 ? (int32_t) flowi_get32(p)
									: (int64_t) flowi_get64(p);
	}
}

/*
 * quotients
 *		Integers less than 2^51 become doubles, over a power.  A double in
 *		whose last bits the integer is, less the double without it: compilers
 *		make vectors of that, as they do not of a conversion.
 */
static inline __attribute__((always_inline)) void
quotients(int64_t *num, uint32_t count, double power)
{
	for (uint32_t i = 0; i < count; i++)
	{
		uint64_t bits = (uint64_t) num[i] + (uint64_t) ROUND_BITS;
		double d = (flowi_double((int64_t) bits) - ROUND) / power;

		num[i] = flowi_double_bits(d);
	}
}

static void
convert_decimals(const FlowColumnReader *r, uint32_t count, int64_t *num)
{
	double power = power10[r->exponent];
	uint32_t i = 0;

	if (r->col.bytes == 4)
	{
		for (; i < count; i++)
			num[i] = from_decimal(num[i], power, 4);
		return;
	}
	if (r->exponent == 0) /* nor is there a division in this one */
	{
		for (; i + 64 <= count; i += 64)
			quotients(num + i, 64, 1);
		quotients(num + i, count - i, 1);
		return;
	}
	for (; i + 64 <= count; i += 64)
		quotients(num + i, 64, power);
	quotients(num + i, count - i, power);
}

void
flowi_float_convert(const FlowColumnReader *r, uint32_t first, uint32_t count,
					int64_t *num)
{
	if (r->encoding == FLOW_CHUNK_DECIMALS)
	{
		convert_decimals(r, count, num);
		if (r->npatches > 0)
			put_patches(r, first, count, num);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		num[i] = (int64_t) ((uint64_t) num[i] << r->shift);
	if (r->col.bytes == 4)
		for (uint32_t i = 0; i < count; i++)
			num[i] = (int32_t) num[i];
}
