/*-------------------------------------------------------------------------
 * query.c
 *	  The query family: builders of bounds, and scans row by row.
 *-------------------------------------------------------------------------
 */
#include "scan.h"

/* The first vectors of a scan by rows are short, so that who wants a few rows
 * does not pay for a thousand. */
#define FIRST_ROWS 16

void
flow_spec_key_range(FlowScanSpec *spec, const void *lo, size_t lo_bytes,
					const void *hi, size_t hi_bytes)
{
	spec->key_lo = (FlowKeyBound){FLOW_INCLUSIVE, lo, lo_bytes};
	spec->key_hi = (FlowKeyBound){FLOW_INCLUSIVE, hi, hi_bytes};
}

void
flow_spec_time_range(FlowScanSpec *spec, int64_t lo, int64_t hi)
{
	spec->ts_lo = (FlowTimeBound){FLOW_INCLUSIVE, lo};
	spec->ts_hi = (FlowTimeBound){FLOW_INCLUSIVE, hi};
}

void
flow_spec_prefix(FlowScanSpec *spec, const void *prefix, size_t prefix_bytes,
				 void *scratch)
{
	flow_prefix_bounds(prefix, prefix_bytes, &spec->key_lo, &spec->key_hi,
					   scratch);
}

FlowStatus
flow_scan_row(FlowScan *s, FlowRecord *rowp)
{
	uint32_t i;

	/* a scan that begins has no rows, so what row_at was does not matter */
	if (s->row_at >= s->vec.nrows)
	{
		uint64_t want = FLOW_MAX(s->stats.rows, FIRST_ROWS);
		const FlowVector *vec;

		FLOW_TRY(flow_scan_next(s, (uint32_t) FLOW_MIN(want, FLOW_VECTOR_ROWS),
								&vec));
		s->row_at = 0;
	}
	i = s->row_at++;
	*rowp = (FlowRecord){.key = s->vec.key[i],
						 .key_bytes = s->vec.key_bytes[i],
						 .ts = s->vec.ts[i],
						 .expire_at = s->vec.expire_at[i],
						 .value = s->vec.value[i],
						 .value_bytes = s->vec.value_bytes[i]};
	return FLOW_OK;
}
