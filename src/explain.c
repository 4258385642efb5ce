/*-------------------------------------------------------------------------
 * explain.c
 *	  What EXPLAIN says about scans and writes of ours.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "agg.h"
#include "compat.h"

/* A store named after its table's oid says nothing new: only if VERBOSE. */
void
flowdb_explain_store(const FlowdbTable *table, ExplainState *es)
{
	char by_oid[16];

	snprintf(by_oid, sizeof(by_oid), "%u", table->relid);
	if (es->verbose || strcmp(table->store, by_oid) != 0)
		ExplainPropertyText("FlowDB Store", table->store, es);
}

static void
explain_clauses(const char *label, List *clauses, List *context, bool prefix,
				ExplainState *es)
{
	if (clauses != NIL)
		ExplainPropertyText(
			label,
			deparse_expression((Node *) make_ands_explicit(clauses), context,
							   prefix, false),
			es);
}

/* The pushed clauses; in structured formats also by what they bound. */
void
flowdb_explain_clauses(const ForeignScan *plan, List *clauses, List *context,
					   ExplainState *es)
{
	List *shape = list_nth(plan->fdw_private, FLOWDB_SCAN_QUALS);
	bool prefix = FLOWDB_EXPLAINS_TABLES(es) || es->verbose;
	int nbounds = list_length(shape) / 3;
	List *bounds = list_truncate(list_copy(clauses), nbounds);
	List *keys = NIL;
	List *times = NIL;
	int q = 0;
	ListCell *lc;

	explain_clauses("FlowDB Bounds", bounds, context, prefix, es);
	explain_clauses("FlowDB Filter", list_copy_tail(clauses, nbounds), context,
					prefix, es);
	if (es->format == EXPLAIN_FORMAT_TEXT)
		return;
	foreach (lc, bounds)
		if (list_nth_int(shape, 3 * q++) == FLOWDB_TARGET_TIME)
			times = lappend(times, lfirst(lc));
		else
			keys = lappend(keys, lfirst(lc));
	explain_clauses("FlowDB Key Bounds", keys, context, prefix, es);
	explain_clauses("FlowDB Time Bounds", times, context, prefix, es);
}

static void
explain_counter(const char *label, uint64 value, ExplainState *es)
{
	ExplainPropertyInteger(label, NULL, (int64) value, es);
}

static void
explain_counters(const FlowdbScanState *state, const FlowScanStats *s,
				 ExplainState *es)
{
	explain_counter("Ranges", state->nranges, es);
	explain_counter("SSTables Read", s->ssts_read, es);
	explain_counter("SSTables Skipped by Key",
					s->ssts_skipped - s->ssts_skipped_time, es);
	explain_counter("SSTables Skipped by Time", s->ssts_skipped_time, es);
	explain_counter("SSTables Skipped by Bloom Filter", s->ssts_bloom, es);
	explain_counter("Blocks Read", s->blocks_read, es);
	explain_counter("Blocks Cached", s->cache_hits, es);
	explain_counter("Blocks Skipped by Time", s->blocks_skipped, es);
	explain_counter("Blocks from Metadata", s->blocks_spanned, es);
	explain_counter("Rows from Memory", s->rows_memtable, es);
	explain_counter("Rows from SSTables", s->rows_sst, es);
	explain_counter("Rows from Transaction", s->rows_own, es);
	explain_counter("Versions Hidden", s->versions_hidden, es);
	if (state->nfilters > 0)
		explain_counter("Rows Ruled Out by Blocks", s->rows_skipped, es);
}

/* As "Rows Removed by Filter": of one loop. */
static void
explain_removed(uint64 rows, const Instrumentation *instrument,
				ExplainState *es)
{
	double loops = instrument ? instrument->nloops : 1;

	if (rows > 0 || es->format != EXPLAIN_FORMAT_TEXT)
		ExplainPropertyFloat("Rows Removed by FlowDB Filter", NULL,
							 loops > 0 ? (double) rows / loops : 0, 0, es);
}

/* Counters of the executed scan, all loops together. */
void
flowdb_explain_stats(ForeignScanState *node, FlowdbScanState *state,
					 ExplainState *es)
{
	FlowScanStats s;
	const char *spanned = "";

	/* workers that do not share a scan tell nobody what they have read */
	if (!state->started && node->ss.ps.worker_instrument)
		return;
	flowdb_scan_stats(state, &s);
	if (state->nfilters > 0)
		explain_removed(s.rows_filtered, node->ss.ps.instrument, es);
	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		explain_counters(state, &s, es);
		return;
	}
	if (s.blocks_spanned > 0)
		spanned = psprintf(", from metadata " UINT64_FORMAT, s.blocks_spanned);
	if (state->nranges != 1)
		explain_counter("FlowDB Ranges", state->nranges, es);
	ExplainPropertyText(
		"FlowDB Reads",
		psprintf("SSTables " UINT64_FORMAT " (skipped by key " UINT64_FORMAT
				 ", by time " UINT64_FORMAT ", by bloom filter " UINT64_FORMAT
				 "), blocks " UINT64_FORMAT " (cached " UINT64_FORMAT
				 ", skipped by time " UINT64_FORMAT "%s)",
				 s.ssts_read, s.ssts_skipped - s.ssts_skipped_time,
				 s.ssts_skipped_time, s.ssts_bloom, s.blocks_read, s.cache_hits,
				 s.blocks_skipped, spanned),
		es);
	ExplainPropertyText(
		"FlowDB Rows",
		psprintf("memory " UINT64_FORMAT ", SSTables " UINT64_FORMAT
				 ", transaction " UINT64_FORMAT ", hidden " UINT64_FORMAT,
				 s.rows_memtable, s.rows_sst, s.rows_own, s.versions_hidden),
		es);
	if (s.rows_skipped > 0)
		explain_counter("FlowDB Rows Ruled Out by Blocks", s.rows_skipped, es);
}

void
flowdbExplainForeignScan(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	FlowdbScanState *state = node->fdw_state;
	int flags = linitial_int(list_nth(plan->fdw_private, FLOWDB_SCAN_FLAGS));

	if (flowdb_agg_is(node))
	{
		flowdb_agg_explain(node, es);
		return;
	}
	flowdb_explain_store(state->table, es);
	flowdb_explain_clauses(
		plan, plan->fdw_recheck_quals,
		set_deparse_context_plan(es->deparse_cxt, (Plan *) plan, NIL), es);
	if (flags & FLOWDB_SCAN_REVERSE)
		ExplainPropertyText("Direction", "backward", es);
	if (flags & FLOWDB_SCAN_COLLATION)
		ExplainPropertyText("Not pushed", "collation", es);
	if (es->analyze && state->db)
		flowdb_explain_stats(node, state, es);
}

void
flowdbExplainForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo,
						   List *fdw_private, int subplan_index,
						   ExplainState *es)
{
	flowdb_explain_store(flowdb_table_get(rinfo->ri_RelationDesc), es);
}
