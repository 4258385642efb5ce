/*-------------------------------------------------------------------------
 * column_bytes.c
 *	  Columns of values that are bytes: dictionary, or back to back.
 *
 * Values stand as in a row, with their headers, so that they are used where
 * they lie.  Where each one ends is a sequence of numbers: one is found
 * without adding up the lengths before it, and equal lengths cost nothing.
 * Values that recur are kept once, and a number for each row (Abadi, Madden
 * and Ferreira, Integrating compression and execution in column-oriented
 * database systems, SIGMOD 2006).
 *-------------------------------------------------------------------------
 */
#include <xxhash.h>

#include "column_impl.h"

#define DICTIONARY_MIN_ROWS 16u
#define DICTIONARY_MAX 65536u
#define PART FLOW_FRAME /* numbers that are read at a time */

/* ---------------------------------------------------------------- writing */

/* A sequence of numbers with its bytes before it. */
static FlowStatus
put_ends(FlowColumnWriter *w, const int64_t *ends, uint32_t n, FlowBuf *out)
{
	FlowNumLook look = flowi_num_look(ends, n);
	FlowBuf *bytes = &w->scratch[1];

	bytes->len = 0;
	FLOW_TRY(flowi_num_write(&w->num, ends, n, &look, bytes));
	FLOW_TRY(flowi_buf_varint(out, bytes->len));
	return flowi_buf_append(out, bytes->data, bytes->len);
}

/* Have all values that length, and is none NULL? */
static bool
one_length(const FlowColumn *col, bool nulls)
{
	return col->kind == FLOW_COLUMN_FIXED && !nulls;
}

static FlowStatus
write_plain(FlowColumnWriter *w, const FlowColumn *col,
			const FlowColumnVector *v, uint32_t n, FlowBuf *out)
{
	FlowBuf *ends = &w->scratch[0];
	FlowBuf *heap = &w->scratch[3];
	int64_t *end;

	ends->len = heap->len = 0;
	FLOW_TRY(flowi_buf_reserve(ends, (size_t) n * sizeof(*end)));
	end = (int64_t *) ends->data;
	for (uint32_t i = 0; i < n; i++)
	{
		if (!flowi_column_is_null(v, i))
			FLOW_TRY(flowi_buf_append(heap, v->ptr[i], v->bytes[i]));
		end[i] = (int64_t) heap->len;
	}
	if (!one_length(col, v->any_null))
		FLOW_TRY(put_ends(w, end, n, out));
	return flowi_heap_write(w, heap, out);
}

/* A dictionary in the making. */
typedef struct Dictionary
{
	const FlowColumnVector *v;
	uint32_t *slots; /* number of an entry + 1, or 0 */
	uint32_t mask;
	uint32_t *rows; /* of each entry the row that has it first */
	uint32_t n, most;
	size_t bytes; /* of the entries */
} Dictionary;

/* The entry of a row, a new one if need be; d->most when there are too many. */
static uint32_t
find_entry(Dictionary *d, uint32_t row)
{
	const FlowColumnVector *v = d->v;
	uint32_t bytes = v->bytes[row];
	uint32_t slot = (uint32_t) XXH3_64bits(v->ptr[row], bytes) & d->mask;

	for (; d->slots[slot] != 0; slot = (slot + 1) & d->mask)
	{
		uint32_t entry = d->slots[slot] - 1;
		uint32_t first = d->rows[entry];

		if (v->bytes[first] == bytes &&
			memcmp(v->ptr[first], v->ptr[row], bytes) == 0)
			return entry;
	}
	if (d->n == d->most)
		return d->most;
	d->rows[d->n] = row;
	d->bytes += bytes;
	d->slots[slot] = ++d->n;
	return d->n - 1;
}

/*
 * build_dictionary
 *		Numbers of the rows' entries into scratch 0; *dp: the dictionary, in
 *		scratch 1 and 2, or without entries when it does not pay.
 */
static FlowStatus
build_dictionary(FlowColumnWriter *w, const FlowColumnVector *v, uint32_t n,
				 Dictionary *dp)
{
	Dictionary d = {.v = v, .most = FLOW_MIN(n / 4, DICTIONARY_MAX)};
	uint32_t slots = 64;
	size_t plain = 0;
	int64_t *ids;

	dp->n = 0;
	while (slots < d.most * 2)
		slots *= 2;
	for (int i = 0; i < 3; i++)
		w->scratch[i].len = 0;
	FLOW_TRY(flowi_buf_reserve(&w->scratch[0], (size_t) n * sizeof(*ids)));
	FLOW_TRY(flowi_buf_reserve(&w->scratch[1], slots * sizeof(*d.slots)));
	FLOW_TRY(flowi_buf_reserve(&w->scratch[2], d.most * sizeof(*d.rows)));
	ids = (int64_t *) w->scratch[0].data;
	d.slots = (uint32_t *) w->scratch[1].data;
	d.rows = (uint32_t *) w->scratch[2].data;
	d.mask = slots - 1;
	memset(d.slots, 0, slots * sizeof(*d.slots));
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t entry;

		if (flowi_column_is_null(v, i))
			continue;
		entry = find_entry(&d, i);
		if (entry == d.most)
			return FLOW_OK;
		ids[i] = entry;
		plain += v->bytes[i];
	}
	if (d.bytes + (size_t) n * flowi_bits(d.n) / 8 < plain - plain / 4)
		*dp = d;
	return FLOW_OK;
}

static FlowStatus
write_dictionary(FlowColumnWriter *w, const FlowColumn *col,
				 const Dictionary *d, uint32_t n, FlowBuf *out)
{
	FlowBuf *ends = &w->scratch[2];
	FlowBuf *heap = &w->scratch[3];
	const FlowColumnVector *v = d->v;
	int64_t *ids = (int64_t *) w->scratch[0].data;
	FlowNumLook look;

	heap->len = 0;
	for (uint32_t i = 0; i < d->n; i++)
		FLOW_TRY(
			flowi_buf_append(heap, v->ptr[d->rows[i]], v->bytes[d->rows[i]]));
	FLOW_TRY(flowi_buf_varint(out, d->n));
	if (!one_length(col, false))
	{
		int64_t *end;
		int64_t at = 0;

		/* behind the rows that are still to be read; 8: to align it */
		ends->len = d->n * sizeof(*d->rows);
		FLOW_TRY(flowi_buf_reserve(ends, 8 + d->n * sizeof(*end)));
		end = (int64_t *) (ends->data + FLOW_ALIGN8(ends->len));
		for (uint32_t i = 0; i < d->n; i++)
			end[i] = at += v->bytes[((uint32_t *) ends->data)[i]];
		FLOW_TRY(put_ends(w, end, d->n, out));
	}
	FLOW_TRY(flowi_heap_write(w, heap, out));
	if (v->any_null)
		flowi_num_fill(ids, v->null, n);
	look = flowi_num_look(ids, n);
	return flowi_num_write(&w->num, ids, n, &look, out);
}

FlowStatus
flowi_bytes_write(FlowColumnWriter *w, const FlowColumn *col,
				  const FlowColumnVector *v, uint32_t n, uint8_t *encodingp,
				  FlowBuf *out)
{
	Dictionary d = {0};

	if (n >= DICTIONARY_MIN_ROWS)
		FLOW_TRY(build_dictionary(w, v, n, &d));
	*encodingp = d.n > 0 ? FLOW_CHUNK_DICTIONARY : FLOW_CHUNK_PLAIN;
	return d.n > 0 ? write_dictionary(w, col, &d, n, out)
				   : write_plain(w, col, v, n, out);
}

/* ---------------------------------------------------------------- reading */

/* Is that a value of the kind, with the header it must have? */
static bool
value_ok(const FlowColumn *col, const uint8_t *p, size_t bytes)
{
	const uint8_t *end = p + bytes;
	uint32_t n;

	if (col->kind == FLOW_COLUMN_FIXED)
		return bytes == col->bytes;
	if (bytes == 0 || bytes > FLOW_MAX_VALUE)
		return false;
	if (col->kind == FLOW_COLUMN_PACKED && (*p & 1))
		return *p >> 1 == bytes;
	if (col->kind != FLOW_COLUMN_STRING && *p++ != 0)
		return false;
	return flowi_get_varint32(&p, end, &n) && (size_t) (end - p) == n;
}

/* What put_ends has written. */
static bool
open_ends(FlowColumnReader *r, const uint8_t **pp, const uint8_t *end)
{
	uint32_t bytes;

	if (!flowi_get_varint32(pp, end, &bytes) || bytes > (size_t) (end - *pp))
		return false;
	r->ends = *pp;
	*pp += bytes;
	r->ends_end = *pp;
	return true;
}

FlowStatus
flowi_bytes_open(FlowColumnReader *r, const uint8_t *p, const uint8_t *end)
{
	bool same = one_length(&r->col, r->stats.nulls > 0);

	r->ready = false;
	switch (r->encoding)
	{
		case FLOW_CHUNK_ONE:
			r->heap = p;
			r->heap_bytes = (size_t) (end - p);
			return value_ok(&r->col, p, r->heap_bytes) ? FLOW_OK : FLOW_CORRUPT;
		case FLOW_CHUNK_PLAIN:
			if (!same)
			{
				if (!open_ends(r, &p, end))
					return FLOW_CORRUPT;
				FLOW_TRY(flowi_num_open(&r->num, &r->runs, r->ends, r->ends_end,
										r->n));
			}
			if (!flowi_heap_open(r, &p, end) || p != end)
				return FLOW_CORRUPT;
			return same && r->raw_bytes != (size_t) r->n * r->col.bytes
					   ? FLOW_CORRUPT
					   : FLOW_OK;
		case FLOW_CHUNK_DICTIONARY:
			if (!flowi_get_varint32(&p, end, &r->nentries) ||
				r->nentries == 0 || r->nentries > r->n ||
				(!one_length(&r->col, false) && !open_ends(r, &p, end)) ||
				!flowi_heap_open(r, &p, end))
				return FLOW_CORRUPT;
			return flowi_num_open(&r->num, &r->runs, p, end, r->n);
		default:
			return FLOW_CORRUPT;
	}
}

/* The entries' ends into the table: at the first read. */
static FlowStatus
load_dictionary(FlowColumnReader *r)
{
	FlowNumReader part;
	int64_t last = 0;
	int64_t *ends;

	FLOW_TRY(flowi_heap_need(r, 0, r->raw_bytes));
	r->table.len = 0;
	FLOW_TRY(flowi_buf_reserve(&r->table, r->nentries * sizeof(*ends)));
	ends = (int64_t *) r->table.data;
	if (one_length(&r->col, false))
		for (uint32_t i = 0; i < r->nentries; i++)
			ends[i] = ((int64_t) i + 1) * r->col.bytes;
	else
	{
		/* the runs of r->num come later */
		FLOW_TRY(
			flowi_num_open(&part, &r->runs, r->ends, r->ends_end, r->nentries));
		FLOW_TRY(flowi_num_read(&part, 0, r->nentries, ends));
	}
	for (uint32_t i = 0; i < r->nentries; i++)
	{
		if (ends[i] < last || (uint64_t) ends[i] > r->raw_bytes ||
			!value_ok(&r->col, r->heap + last, (size_t) (ends[i] - last)))
			return FLOW_CORRUPT;
		last = ends[i];
	}
	r->ready = true;
	return FLOW_OK;
}

/* Values first .. first + count - 1, count at most PART. */
static FlowStatus
read_plain(FlowColumnReader *r, uint32_t first, uint32_t count,
		   const uint8_t *null, const uint8_t **ptr, uint32_t *bytes)
{
	int64_t ends[PART + 1] = {0};
	int64_t *end = ends + 1;

	FLOW_TRY(first == 0 ? flowi_num_read(&r->num, 0, count, end)
						: flowi_num_read(&r->num, first - 1, count + 1, ends));
	if (ends[0] < 0 || end[count - 1] < ends[0] ||
		(uint64_t) end[count - 1] > r->raw_bytes)
		return FLOW_CORRUPT;
	FLOW_TRY(flowi_heap_need(r, (size_t) ends[0], (size_t) end[count - 1]));
	for (uint32_t i = 0; i < count; i++)
	{
		if (end[i] < ends[i] || end[i] > end[count - 1])
			return FLOW_CORRUPT;
		ptr[i] = r->heap + ends[i];
		bytes[i] = (uint32_t) (end[i] - ends[i]);
		if (!null[i] && !value_ok(&r->col, ptr[i], (size_t) (end[i] - ends[i])))
			return FLOW_CORRUPT;
	}
	return FLOW_OK;
}

static FlowStatus
read_entries(FlowColumnReader *r, uint32_t first, uint32_t count,
			 const uint8_t **ptr, uint32_t *bytes)
{
	const int64_t *ends = (const int64_t *) r->table.data;
	int64_t ids[PART];

	FLOW_TRY(flowi_num_read(&r->num, first, count, ids));
	for (uint32_t i = 0; i < count; i++)
	{
		uint64_t id = (uint64_t) ids[i];
		int64_t begin;

		if (id >= r->nentries)
			return FLOW_CORRUPT;
		begin = id == 0 ? 0 : ends[id - 1];
		ptr[i] = r->heap + begin;
		bytes[i] = (uint32_t) (ends[id] - begin);
	}
	return FLOW_OK;
}

static FlowStatus
read_part(FlowColumnReader *r, uint32_t first, uint32_t count,
		  const uint8_t *null, const uint8_t **ptr, uint32_t *bytes)
{
	size_t length = r->col.bytes;

	if (r->encoding == FLOW_CHUNK_DICTIONARY)
		return read_entries(r, first, count, ptr, bytes);
	if (!one_length(&r->col, r->stats.nulls > 0))
		return read_plain(r, first, count, null, ptr, bytes);
	FLOW_TRY(flowi_heap_need(r, first * length, (first + count) * length));
	for (uint32_t i = 0; i < count; i++)
	{
		ptr[i] = r->heap + (first + i) * length;
		bytes[i] = (uint32_t) length;
	}
	return FLOW_OK;
}

static void
read_one(const FlowColumnReader *r, uint32_t count, const uint8_t **ptr,
		 uint32_t *bytes)
{
	for (uint32_t i = 0; i < count; i++)
	{
		ptr[i] = r->heap;
		bytes[i] = (uint32_t) r->heap_bytes;
	}
}

FlowStatus
flowi_bytes_read(FlowColumnReader *r, uint32_t first, uint32_t count,
				 FlowColumnVector *v, uint32_t at)
{
	const uint8_t *null = v->null + at;
	const uint8_t **ptr = v->ptr + at;
	uint32_t *bytes = v->bytes + at;

	if (r->encoding == FLOW_CHUNK_NULLS)
	{
		memset(ptr, 0, count * sizeof(*ptr));
		memset(bytes, 0, count * sizeof(*bytes));
		return FLOW_OK;
	}
	if (r->encoding == FLOW_CHUNK_ONE)
		read_one(r, count, ptr, bytes);
	else
	{
		if (!r->ready && r->encoding == FLOW_CHUNK_DICTIONARY)
			FLOW_TRY(load_dictionary(r));
		for (uint32_t i = 0; i < count; i += PART)
			FLOW_TRY(read_part(r, first + i, FLOW_MIN(count - i, PART),
							   null + i, ptr + i, bytes + i));
	}
	for (uint32_t i = 0; i < count && r->stats.nulls > 0; i++)
	{
		if (!null[i])
			continue;
		ptr[i] = NULL;
		bytes[i] = 0;
	}
	return FLOW_OK;
}
