/*-------------------------------------------------------------------------
 * column_num_read.c
 *	  Read a sequence of numbers, or a part of it.
 *
 * A frame is unpacked, patched, summed up and moved to its place in loops of
 * their own: each runs over 128 numbers that are in the first cache.  Without
 * patches it is summed up while it is unpacked.
 *-------------------------------------------------------------------------
 */
#include "column_num.h"

/* Take bytes off [*pp, end): NULL when there are not so many. */
static const uint8_t *
take(const uint8_t **pp, const uint8_t *end, size_t bytes)
{
	const uint8_t *p = *pp;

	if ((size_t) (end - p) < bytes)
		return NULL;
	*pp = p + bytes;
	return p;
}

static bool
get_zigzag(const uint8_t **pp, const uint8_t *end, uint64_t *vp)
{
	if (!flowi_get_varint(pp, end, vp))
		return false;
	*vp = (uint64_t) flowi_unzigzag(*vp);
	return true;
}

/* ----------------------------------------------------------------- frames */

static FlowStatus
open_frames(FlowNumReader *r, const uint8_t *p)
{
	uint32_t n = r->n;

	r->nframes = (n + FLOW_FRAME - 1) / FLOW_FRAME;
	if (p == r->end)
		return FLOW_CORRUPT;
	r->base_bytes = *p & 15;
	r->step_bytes = *p++ >> 4;
	if (r->base_bytes > 8 || r->step_bytes > 8 ||
		!get_zigzag(&p, r->end, &r->base) ||
		!get_zigzag(&p, r->end, &r->step) ||
		!flowi_get_varint32(&p, r->end, &r->npatches) || r->npatches > n)
		return FLOW_CORRUPT;
	r->position_bytes = n <= 1u << 8 ? 1 : n <= 1u << 16 ? 2 : 3;
	r->patch_bytes = 0;
	if (r->npatches > 0)
	{
		if (p == r->end || *p < 1 || *p > 8)
			return FLOW_CORRUPT;
		r->patch_bytes = *p++;
	}
	if (!(r->widths = take(&p, r->end, r->nframes)) ||
		!(r->bases = take(&p, r->end, (size_t) r->nframes * r->base_bytes)) ||
		!(r->steps = take(&p, r->end, (size_t) r->nframes * r->step_bytes)) ||
		!(r->positions =
			  take(&p, r->end, (size_t) r->npatches * r->position_bytes)) ||
		!(r->patches = take(&p, r->end, (size_t) r->npatches * r->patch_bytes)))
		return FLOW_CORRUPT;
	r->packed = p;
	r->at_frame = 0;
	r->at_offset = 0;
	r->at_patch = 0;
	r->window_frame = UINT32_MAX;
	r->asked_frame = UINT32_MAX;
	return FLOW_OK;
}

/* Where the packed numbers of a frame are; NULL: not within the sequence. */
static const uint8_t *
find_frame(FlowNumReader *r, uint32_t frame)
{
	uint32_t at = r->at_frame;
	size_t offset = r->at_offset;
	uint32_t rows = FLOW_MIN(r->n - frame * FLOW_FRAME, FLOW_FRAME);
	unsigned width = r->widths[frame] & 0x7f;

	if (frame < at)
		at = 0, offset = 0;
	for (; at < frame; at++)
		offset += (r->widths[at] & 0x7f) * (size_t) (FLOW_FRAME / 8);
	r->at_frame = at;
	r->at_offset = offset;
	if (width > 64 || offset + flowi_bitpack_bytes(rows, width) >
						  (size_t) (r->end - r->packed))
		return NULL;
	return r->packed + offset;
}

static uint32_t
patch_position(const FlowNumReader *r, uint32_t i)
{
	const uint8_t *p = r->positions + (size_t) i * r->position_bytes;

	return (uint32_t) flowi_num_get_bytes(p, r->position_bytes);
}

/* The first patch at or behind a position. */
static uint32_t
find_patch(const FlowNumReader *r, uint32_t position)
{
	uint32_t lo = 0;
	uint32_t hi = r->npatches;

	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (patch_position(r, mid) < position)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * The first patch at or behind a position.  Where the last reader ended is
 * tried first: frames are read one after the other.
 */
static uint32_t
next_patch(FlowNumReader *r, uint32_t position)
{
	uint32_t i = r->at_patch;

	if ((i > 0 && patch_position(r, i - 1) >= position) ||
		(i < r->npatches && patch_position(r, i) < position))
		i = r->at_patch = find_patch(r, position);
	return i;
}

/* Put the patches of numbers from .. to - 1, the first of which is i, over v,
 * which begins at from. */
static void
patch(FlowNumReader *r, uint32_t i, uint32_t from, uint32_t to, uint64_t *v)
{
	for (; i < r->npatches; i++)
	{
		uint32_t position = patch_position(r, i);
		const uint8_t *p = r->patches + (size_t) i * r->patch_bytes;

		if (position < from || position >= to)
			break;
		v[position - from] =
			(uint64_t) flowi_unzigzag(flowi_num_get_bytes(p, r->patch_bytes));
	}
	r->at_patch = i;
}

/* Are there patches of numbers from .. to - 1, and which is the first? */
static inline bool
has_patch(FlowNumReader *r, uint32_t from, uint32_t to, uint32_t *ip)
{
	if (r->npatches == 0)
		return false;
	*ip = next_patch(r, from);
	return *ip < r->npatches && patch_position(r, *ip) < to;
}

static void
add_line(uint64_t *v, uint32_t n, uint64_t base, uint64_t step)
{
	if (step != 0)
		for (uint32_t i = 0; i < n; i++)
			v[i] += base + i * step;
	else if (n == FLOW_FRAME) /* a constant, for the compiler */
		for (uint32_t i = 0; i < FLOW_FRAME; i++)
			v[i] += base;
	else
		for (uint32_t i = 0; i < n; i++)
			v[i] += base;
}

/* The first n numbers of a frame into v, of FLOW_FRAME numbers or n rounded up
 * to eight. */
static FlowStatus
read_frame(FlowNumReader *r, uint32_t frame, uint32_t n, uint64_t *v)
{
	const uint8_t *p = find_frame(r, frame);
	unsigned width = r->widths[frame] & 0x7f;
	bool sums = (r->widths[frame] & FLOW_NUM_SUMS) != 0;
	uint32_t first = frame * FLOW_FRAME;
	uint64_t base, step;
	uint32_t i;

	if (p == NULL)
		return FLOW_CORRUPT;
	base =
		r->base + flowi_num_get_bytes(r->bases + (size_t) frame * r->base_bytes,
									  r->base_bytes);
	step =
		r->step + flowi_num_get_bytes(r->steps + (size_t) frame * r->step_bytes,
									  r->step_bytes);
	if (has_patch(r, first, first + n, &i))
	{
		flowi_bitunpack(p, r->end, n, width, v);
		patch(r, i, first, first + n, v);
		if (sums)
			flowi_sum_up(v, n, base, step);
	}
	else if (sums)
		flowi_bitunpack_sums(p, r->end, n, width, base, step, v);
	else
		flowi_bitunpack(p, r->end, n, width, v);
	if (!sums)
		add_line(v, n, base, step);
	return FLOW_OK;
}

/* Numbers skip .. skip + n - 1 of a frame, by way of the window. */
static FlowStatus
read_window(FlowNumReader *r, uint32_t frame, uint32_t skip, uint32_t n,
			int64_t *out)
{
	if (r->window_frame != frame)
	{
		r->window_frame = UINT32_MAX;
		FLOW_TRY(read_frame(r, frame,
							FLOW_MIN(r->n - frame * FLOW_FRAME, FLOW_FRAME),
							r->window));
		r->window_frame = frame;
	}
	memcpy(out, r->window + skip, n * sizeof(*out));
	return FLOW_OK;
}

static FlowStatus
read_frames(FlowNumReader *r, uint32_t first, uint32_t count, int64_t *out)
{
	uint64_t part[FLOW_FRAME];

	while (count > 0)
	{
		uint32_t frame = first / FLOW_FRAME;
		uint32_t skip = first % FLOW_FRAME;
		uint32_t take_n = FLOW_MIN(count, FLOW_FRAME - skip);

		if (take_n == FLOW_FRAME)
			FLOW_TRY(read_frame(r, frame, FLOW_FRAME, (uint64_t *) out));
		else if (r->window)
			FLOW_TRY(read_window(r, frame, skip, take_n, out));
		else
		{
			FLOW_TRY(read_frame(r, frame, skip + take_n, part));
			memcpy(out, part + skip, take_n * sizeof(*out));
		}
		first += take_n;
		out += take_n;
		count -= take_n;
	}
	return FLOW_OK;
}

/* One number of a frame of sums; the second time all of them. */
static FlowStatus
read_one_sum(FlowNumReader *r, uint32_t frame, uint32_t i, int64_t *out)
{
	uint64_t part[FLOW_FRAME];

	if (r->window && r->asked_frame == frame)
		return read_window(r, frame, i, 1, out);
	FLOW_TRY(read_frame(r, frame, i + 1, part));
	*out = (int64_t) part[i];
	r->asked_frame = frame;
	return FLOW_OK;
}

/* One number; of a frame without sums without its neighbours. */
static FlowStatus
read_one(FlowNumReader *r, uint32_t first, int64_t *out)
{
	uint32_t frame = first / FLOW_FRAME;
	uint32_t i = first % FLOW_FRAME;
	const uint8_t *p;
	uint64_t v, base, step;
	uint32_t patch_at;

	if (r->window_frame == frame)
	{
		*out = (int64_t) r->window[i];
		return FLOW_OK;
	}
	if (r->widths[frame] & FLOW_NUM_SUMS)
		return read_one_sum(r, frame, i, out);
	p = find_frame(r, frame);
	if (p == NULL)
		return FLOW_CORRUPT;
	base = flowi_num_get_bytes(r->bases + (size_t) frame * r->base_bytes,
							   r->base_bytes);
	step = flowi_num_get_bytes(r->steps + (size_t) frame * r->step_bytes,
							   r->step_bytes);
	v = flowi_bitpack_get(p, r->end, i, r->widths[frame]);
	if (has_patch(r, first, first + 1, &patch_at))
		patch(r, patch_at, first, first + 1, &v);
	*out = (int64_t) (v + r->base + base + i * (r->step + step));
	return FLOW_OK;
}

/* ----------------------------------------------------------- simple forms */

static FlowStatus
open_line(FlowNumReader *r, const uint8_t *p)
{
	r->step = 0;
	if (!get_zigzag(&p, r->end, &r->base) ||
		(r->simple == FLOW_NUM_LINEAR && !get_zigzag(&p, r->end, &r->step)) ||
		p != r->end)
		return FLOW_CORRUPT;
	return FLOW_OK;
}

static FlowStatus
open_simple(FlowNumReader *r, uint8_t form, const uint8_t *p)
{
	r->simple = form;
	return form == FLOW_NUM_FRAMES ? open_frames(r, p) : open_line(r, p);
}

static FlowStatus
read_simple(FlowNumReader *r, uint32_t first, uint32_t count, int64_t *out)
{
	uint64_t base = r->base + first * r->step;

	if (r->simple == FLOW_NUM_FRAMES)
		return count == 1 ? read_one(r, first, out)
						  : read_frames(r, first, count, out);
	for (uint32_t i = 0; i < count; i++)
		out[i] = (int64_t) (base + i * r->step);
	return FLOW_OK;
}

/* ---------------------------------------------------- runs and dictionary */

/* The first sequence of two, and what stands before it. */
static FlowStatus
open_pair(FlowNumReader *r, const uint8_t *p)
{
	uint32_t bytes;

	if (!flowi_get_varint32(&p, r->end, &r->nvalues) || r->nvalues < 1 ||
		r->nvalues > r->n || !flowi_get_varint32(&p, r->end, &bytes) ||
		!(r->first = take(&p, r->end, bytes)) || p == r->end)
		return FLOW_CORRUPT;
	r->second = p;
	r->expanded = false;
	r->asked = false;
	r->at_run = 0;
	if (r->form == FLOW_NUM_RUNS)
		return FLOW_OK;
	return *p == FLOW_NUM_FRAMES ? open_simple(r, *p, p + 1) : FLOW_CORRUPT;
}

/* A sequence of frames at p; n and end are set. */
static FlowStatus
open_part(FlowNumReader *part, const uint8_t *p)
{
	if (p == part->end || *p != FLOW_NUM_FRAMES)
		return FLOW_CORRUPT;
	return open_simple(part, *p, p + 1);
}

static FlowStatus
read_part(const FlowNumReader *r, const uint8_t *p, const uint8_t *end,
		  int64_t *out)
{
	FlowNumReader part = {.n = r->nvalues, .end = end};

	FLOW_TRY(open_part(&part, p));
	return read_simple(&part, 0, part.n, out);
}

/* Values, and the ends of runs, into the scratch buffer: at the first read. */
static FlowStatus
expand(FlowNumReader *r)
{
	int64_t *values, *ends;
	int64_t last = 0;

	r->scratch->len = 0;
	FLOW_TRY(
		flowi_buf_reserve(r->scratch, (size_t) r->nvalues * 2 * sizeof(*ends)));
	values = (int64_t *) r->scratch->data;
	ends = values + r->nvalues;
	if (r->form == FLOW_NUM_DICTIONARY)
		FLOW_TRY(read_part(r, r->first, r->second, values));
	else
	{
		FLOW_TRY(read_part(r, r->first, r->second, ends));
		FLOW_TRY(read_part(r, r->second, r->end, values));
		for (uint32_t i = 0; i < r->nvalues; i++)
		{
			if (ends[i] <= last)
				return FLOW_CORRUPT;
			last = ends[i];
		}
		if (last != (int64_t) r->n)
			return FLOW_CORRUPT;
	}
	r->expanded = true;
	return FLOW_OK;
}

/* One number of runs that are not expanded: none but the ends before it are
 * read. */
static FlowStatus
read_one_run(FlowNumReader *r, uint32_t number, int64_t *out)
{
	FlowNumReader ends = {.n = r->nvalues, .end = r->second};
	FlowNumReader values = {.n = r->nvalues, .end = r->end};
	int64_t part[FLOW_FRAME];

	FLOW_TRY(open_part(&ends, r->first));
	FLOW_TRY(open_part(&values, r->second));
	for (uint32_t at = 0; at < r->nvalues; at += FLOW_FRAME)
	{
		uint32_t count = FLOW_MIN(r->nvalues - at, FLOW_FRAME);

		FLOW_TRY(read_simple(&ends, at, count, part));
		for (uint32_t i = 0; i < count; i++)
			if (part[i] > (int64_t) number)
				return read_simple(&values, at + i, 1, out);
	}
	return FLOW_CORRUPT;
}

/* The run that a number is of. */
static uint32_t
find_run(FlowNumReader *r, const int64_t *ends, uint32_t number)
{
	uint32_t lo = 0;
	uint32_t hi = r->nvalues - 1;

	if (r->at_run > 0 && ends[r->at_run - 1] <= (int64_t) number)
		lo = r->at_run;
	if (ends[lo] > (int64_t) number)
		return lo;
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (ends[mid] <= (int64_t) number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void
read_runs(FlowNumReader *r, uint32_t first, uint32_t count, int64_t *out)
{
	const int64_t *values = (const int64_t *) r->scratch->data;
	const int64_t *ends = values + r->nvalues;
	uint32_t run = find_run(r, ends, first);
	uint32_t i = 0;

	for (;; run++)
	{
		uint32_t end = (uint32_t) FLOW_MIN(ends[run] - first, (int64_t) count);
		int64_t v = values[run];

		while (i < end)
			out[i++] = v;
		if (i == count)
			break;
	}
	r->at_run = run;
}

/* Places become the values there. */
static FlowStatus
look_up(const FlowNumReader *r, uint32_t count, int64_t *out)
{
	const int64_t *values = (const int64_t *) r->scratch->data;

	for (uint32_t i = 0; i < count; i++)
	{
		if ((uint64_t) out[i] >= r->nvalues)
			return FLOW_CORRUPT;
		out[i] = values[out[i]];
	}
	return FLOW_OK;
}

/* -------------------------------------------------------------------- all */

FlowStatus
flowi_num_open(FlowNumReader *r, FlowBuf *scratch, const uint8_t *p,
			   const uint8_t *end, uint32_t n)
{
	uint8_t form;

	r->n = n;
	r->end = end;
	r->scratch = scratch;
	r->scale = 1;
	r->window = NULL;
	r->window_frame = UINT32_MAX;
	r->asked_frame = UINT32_MAX;
	if (p == end)
		return FLOW_CORRUPT;
	form = *p++;
	if (form & FLOW_NUM_SCALED &&
		(!flowi_get_varint(&p, end, &r->scale) || r->scale < 2 ||
		 !get_zigzag(&p, end, &r->offset)))
		return FLOW_CORRUPT;
	r->form = form & (uint8_t) ~FLOW_NUM_SCALED;
	if (r->form <= FLOW_NUM_FRAMES)
		return open_simple(r, r->form, p);
	return r->form <= FLOW_NUM_DICTIONARY ? open_pair(r, p) : FLOW_CORRUPT;
}

/* Numbers as the form has them, not scaled. */
static FlowStatus
read_form(FlowNumReader *r, uint32_t first, uint32_t count, int64_t *out)
{
	if (r->form <= FLOW_NUM_FRAMES)
		return read_simple(r, first, count, out);
	if (r->form == FLOW_NUM_RUNS && count == 1 && !r->expanded && !r->asked)
	{
		r->asked = true; /* the next one is worth the scratch */
		return read_one_run(r, first, out);
	}
	if (!r->expanded)
		FLOW_TRY(expand(r));
	if (r->form == FLOW_NUM_RUNS)
	{
		read_runs(r, first, count, out);
		return FLOW_OK;
	}
	FLOW_TRY(read_simple(r, first, count, out));
	return look_up(r, count, out);
}

FlowStatus
flowi_num_read(FlowNumReader *r, uint32_t first, uint32_t count, int64_t *out)
{
	FLOW_ASSERT(count > 0 && first < r->n && count <= r->n - first);
	FLOW_TRY(read_form(r, first, count, out));
	for (uint32_t i = 0; r->scale > 1 && i < count; i++)
		out[i] = (int64_t) ((uint64_t) out[i] * r->scale + r->offset);
	return FLOW_OK;
}
