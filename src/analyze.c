/*-------------------------------------------------------------------------
 * analyze.c
 *	  ANALYZE: a sample of the rows.
 *
 * Blocks cannot be drawn at random from a merge of sources, so all rows are
 * read, keys only costing next to nothing, and a reservoir keeps some of
 * them: each row has the same chance.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/sampling.h"
#include "utils/snapmgr.h"

#include "fdw.h"

/* What is drawn from, and into what. */
typedef struct Sample
{
	Relation rel;
	FlowdbDecoder *decoder;
	HeapTuple *rows;
	int wanted;
	int nrows;
	double seen;
	double skip; /* rows to pass by before the next one is taken; -1: draw */
	ReservoirStateData reservoir;
	Datum *values;
	bool *isnull;
} Sample;

static HeapTuple
make_row(Sample *s, const FlowVector *vec, uint32 row)
{
	TupleDesc desc = RelationGetDescr(s->rel);

	memset(s->isnull, true, sizeof(bool) * (Size) desc->natts);
	flowdb_decode(s->decoder, vec, row, s->values, s->isnull);
	return heap_form_tuple(desc, s->values, s->isnull);
}

/* Algorithm Z, as core's own sampling: the first rows fill the reservoir,
 * later ones replace a random one, fewer and fewer of them. */
static void
take_row(Sample *s, const FlowVector *vec, uint32 row)
{
	int at;

	s->seen += 1;
	if (s->nrows < s->wanted)
	{
		s->rows[s->nrows++] = make_row(s, vec, row);
		return;
	}
	if (s->skip < 0)
		s->skip = reservoir_get_next_S(&s->reservoir, s->seen - 1, s->wanted);
	if (s->skip > 0)
	{
		s->skip -= 1;
		return;
	}
	s->skip = -1;
	at = (int) (s->wanted * sampler_random_fract(&s->reservoir.randstate));
	heap_freetuple(s->rows[at]);
	s->rows[at] = make_row(s, vec, row);
}

static void
read_all(Sample *s, FlowScan *scan)
{
	const FlowVector *vec;
	FlowStatus st;

	for (;;)
	{
		FLOWDB_VACUUM_DELAY();
		st = flow_scan_next(scan, 0, &vec);
		if (st == FLOW_INTERRUPTED)
			continue;
		flowdb_decoder_report(s->decoder, st);
		if (st != FLOW_OK)
			break;
		for (uint32 row = 0; row < vec->nrows; row++)
			take_row(s, vec, row);
	}
}

static void
sample_store(Sample *s, const FlowdbTable *table, FlowDb *db, uint32 store_id)
{
	Snapshot snapshot = RegisterSnapshot(GetTransactionSnapshot());
	FlowScanSpec spec = {.store_id = store_id,
						 .now = flowdb_statement_now(),
						 .visible = flowdb_visible,
						 .visible_arg = snapshot,
						 .own = flowdb_xact_buffer(table->serverid),
						 .own_cid = snapshot->curcid,
						 .no_fill_cache = true};
	FlowScan *volatile scan = NULL;

	flowdb_decoder_want(s->decoder, &spec);
	flowdb_announce_reader();
	PG_TRY();
	{
		FlowScan *opened;

		flowdb_try(flow_scan_open(db, &spec, &opened));
		scan = opened;
		read_all(s, opened);
	}
	PG_FINALLY();
	{
		flow_scan_close(scan);
	}
	PG_END_TRY();
	UnregisterSnapshot(snapshot);
}

static int
acquire_sample(Relation rel, int elevel, HeapTuple *rows, int targrows,
			   double *totalrows, double *totaldeadrows)
{
	FlowdbTable *table = flowdb_table_get(rel);
	FlowDb *db = flowdb_database(table->serverid);
	FlowdbLayout *layout = flowdb_layout_read(rel, table, db);
	int natts = RelationGetDescr(rel)->natts;
	Sample s = {.rel = rel, .rows = rows, .wanted = targrows, .skip = -1};

	if (layout->exists && targrows > 0)
	{
		Bitmapset *all =
			bms_add_range(NULL, 1 - FirstLowInvalidHeapAttributeNumber,
						  natts - FirstLowInvalidHeapAttributeNumber);

		s.decoder = flowdb_decoder_create(rel, table, layout, all);
		s.values = palloc0(sizeof(Datum) * (Size) natts);
		s.isnull = palloc(sizeof(bool) * (Size) natts);
		reservoir_init_selection_state(&s.reservoir, targrows);
		sample_store(&s, table, db, layout->store_id);
	}
	*totalrows = s.seen;
	*totaldeadrows = 0;
	ereport(elevel, (errmsg("\"%s\": %.0f rows, %d rows in sample",
							RelationGetRelationName(rel), s.seen, s.nrows)));
	return s.nrows;
}

bool
flowdbAnalyzeForeignTable(Relation rel, AcquireSampleRowsFunc *func,
						  BlockNumber *totalpages)
{
	FlowdbTable *table = flowdb_table_get(rel);
	FlowDb *db = flowdb_database(table->serverid);
	FlowStoreStats stats = {0};
	uint32 store_id;

	flowdb_refuse_serializable();
	store_id = flowdb_store_id(db, table->store);
	if (store_id != 0)
		flow_store_stats(db, store_id, &stats);
	*func = acquire_sample;
	*totalpages = (BlockNumber) Min(stats.bytes / BLCKSZ + 1, 1000000000);
	return true;
}
