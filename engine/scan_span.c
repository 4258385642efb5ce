/*-------------------------------------------------------------------------
 * scan_span.c
 *	  Rows of a scan that are counted by what an SSTable's index says of them.
 *
 * An entry of the index stands for the rows of a block, or of a segment of
 * blocks: how many versions, from which identity to which one, the bounds of
 * their times and expiry, and whether each of them is a row of an identity of
 * its own.  When all of them are within the scan's bounds, live, visible to
 * everybody, and no other source has anything in between, that is all that
 * there is to say of them for who only counts; the block is not read.
 *
 * Such entries are those of "small materialized aggregates" (G. Moerkotte,
 * VLDB 1998).
 *
 * Keeps: S3, S8.
 *-------------------------------------------------------------------------
 */
#include "scan.h"

void
flowi_scan_span_set(FlowScan *s)
{
	const FlowScanSpec *spec = &s->spec;

	s->spans = spec->spans && spec->keys_only && !spec->reverse &&
			   spec->limit == 0 && spec->nfilters == 0 && spec->ncolumns == 0;
}

/* Are all the versions rows of the scan, as far as one SSTable tells?  Where
 * its transactions are not settled there are no marks. */
static bool
all_rows(const FlowScan *s, const FlowSstMark *mark)
{
	return mark->plain && flowi_tombs_empty(&s->tombs) &&
		   (s->spec.now == INT64_MIN || mark->expire_min > s->spec.now) &&
		   mark->ts_min >= s->ts_lo && mark->ts_max <= s->ts_hi &&
		   !flowi_scan_behind(s, mark->last_key, mark->last_bytes);
}

/* Does the next source begin behind the last identity? */
static bool
alone(FlowScan *s, const FlowSstMark *mark)
{
	const FlowMergeSource *second = flowi_merge_second(&s->merge);

	return second == NULL ||
		   flowi_identity_cmp(mark->last_key, mark->last_bytes, mark->last_ts,
							  second->cur->key, second->cur->key_bytes,
							  second->cur->ts) < 0;
}

static void
count_rows(FlowScan *s, const FlowSstMark *mark)
{
	FlowVector *vec = &s->vec;

	if (vec->span_rows == 0)
	{
		vec->span_ts_min = mark->ts_min;
		vec->span_ts_max = mark->ts_max;
	}
	vec->span_ts_min = FLOW_MIN(vec->span_ts_min, mark->ts_min);
	vec->span_ts_max = FLOW_MAX(vec->span_ts_max, mark->ts_max);
	vec->span_rows += mark->rows;
	s->stats.rows += mark->rows;
	s->stats.rows_sst += mark->rows;
	s->stats.blocks_spanned += mark->blocks;
}

FlowStatus
flowi_scan_span_take(FlowScan *s, FlowSource *top, const FlowSstMark *mark,
					 bool *takenp)
{
	*takenp = false;
	if (!all_rows(s, mark) || !alone(s, mark))
		return FLOW_OK;
	s->pos_key.len = 0;
	FLOW_TRY(flowi_buf_append(&s->pos_key, mark->last_key, mark->last_bytes));
	s->has_pos = true;
	s->pos_ts = mark->last_ts;
	s->resolved = true;
	s->row_key = NULL;
	s->steps = 0;
	s->hidden_run = 0;
	count_rows(s, mark);
	flowi_sst_iter_pass(top->base.it);
	*takenp = true;
	return FLOW_OK;
}
