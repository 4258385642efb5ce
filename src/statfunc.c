/*-------------------------------------------------------------------------
 * statfunc.c
 *	  Functions callable from SQL that tell about servers: their counters,
 *	  and the same as metrics.
 *
 * Who is neither a member of pg_monitor nor may use a server learns nothing
 * about it but its name, which pg_foreign_server tells anybody (rights.h).
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"

#include "statrow.h"

PG_FUNCTION_INFO_V1(flowdb_server_stats);
PG_FUNCTION_INFO_V1(flowdb_metrics);

/* Columns of the function, see flowdb_fdw--1.0.sql */
#define SERVER_COLUMNS FLOWDB_STAT_COLUMNS

/* failing: flushes fail, see trouble.c */
static const char *
state_name(FlowdbDbState state, bool failing)
{
	switch (state)
	{
		case FLOWDB_DB_CLOSED:
			return "closed";
		case FLOWDB_DB_OPEN:
			return failing ? "failing" : "open";
		case FLOWDB_DB_BROKEN:
			return "broken";
		default:
			return "absent";
	}
}

static void
put_write_stats(FlowdbStatRow *row, const FlowStats *s)
{
	flowdb_stat_count(row, s->records_written);
	flowdb_stat_count(row, s->bytes_written);
	flowdb_stat_count(row, s->records_read);
	flowdb_stat_count(row, s->records_expired);
	flowdb_stat_count(row, s->memtable_records);
	flowdb_stat_count(row, s->memtable_bytes);
	flowdb_stat_int(row, s->frozen_memtables);
	flowdb_stat_int(row, s->stores);
	flowdb_stat_int(row, s->sstables);
	flowdb_stat_count(row, s->sstable_bytes);
	flowdb_stat_count(row, s->sstable_raw_bytes);
	flowdb_stat_count(row, s->sstable_records);
	flowdb_stat_count(row, s->range_tombstones);
	flowdb_stat_count(row, s->obsolete_files);
}

static void
put_work_stats(FlowdbStatRow *row, const FlowStats *s)
{
	flowdb_stat_count(row, s->flushes);
	flowdb_stat_count(row, s->flush_failures);
	flowdb_stat_count(row, s->merges);
	flowdb_stat_count(row, s->merge_failures);
	flowdb_stat_count(row, s->sstables_merged);
	flowdb_stat_count(row, s->sstables_made);
	flowdb_stat_count(row, s->merge_rows);
	flowdb_stat_count(row, s->merge_bytes_read);
	flowdb_stat_count(row, s->merge_bytes_written);
	flowdb_stat_put(row, Float8GetDatum((double) s->merge_time_us / 1000.0));
	flowdb_stat_count(row, s->gc_runs);
	flowdb_stat_count(row, s->purged);
	flowdb_stat_put(row, LSNGetDatum((XLogRecPtr) s->flushed_pos));
	flowdb_stat_count(row, s->unresolved_txns);
	flowdb_stat_count(row, s->cache_bytes);
	flowdb_stat_count(row, s->cache_capacity);
	flowdb_stat_count(row, s->cache_hits);
	flowdb_stat_count(row, s->cache_misses);
	flowdb_stat_count(row, s->buffer_bytes);
	flowdb_stat_count(row, s->buffer_capacity);
	flowdb_stat_count(row, s->meta_bytes);
	flowdb_stat_count(row, s->meta_capacity);
}

static void
put_times(FlowdbStatRow *row, const FlowStats *s)
{
	for (int i = 0; i < FLOW_LATENCY_KINDS; i++)
	{
		if (s->latency[i].count == 0)
		{
			flowdb_stat_null(row);
			flowdb_stat_null(row);
			continue;
		}
		flowdb_stat_int(row, s->latency[i].p50_us);
		flowdb_stat_int(row, s->latency[i].p99_us);
	}
	flowdb_stat_moment(row, s->loaded_at);
	flowdb_stat_moment(row, s->last_flush_at);
	flowdb_stat_moment(row, s->last_merge_at);
	flowdb_stat_moment(row, s->last_gc_at);
}

static void
put_server(ReturnSetInfo *rsinfo, const FlowdbStatServer *server)
{
	FlowdbStatRow row;
	FlowStats s;
	FlowError error;
	const char *reason = server->reason;
	bool failing;

	failing = server->db != NULL && flow_flush_error(server->db, &error) > 0;
	if (failing)
		reason =
			error.message[0] ? error.message : flow_status_name(error.status);
	flowdb_stat_begin(&row, rsinfo);
	flowdb_stat_name(&row, server->name);
	if (server->sight >= FLOWDB_SEE_USE && server->db != NULL)
	{
		flow_stats(server->db, &s);
		put_write_stats(&row, &s);
		put_work_stats(&row, &s);
		put_times(&row, &s);
		Assert(row.n == SERVER_COLUMNS - 2);
	}
	row.n = SERVER_COLUMNS - 2;
	if (server->sight >= FLOWDB_SEE_USE)
		flowdb_stat_text(&row, state_name(server->state, failing));
	/* it may name files */
	if (server->sight >= FLOWDB_SEE_MONITOR && reason[0])
	{
		row.n = SERVER_COLUMNS - 1;
		flowdb_stat_text(&row, reason);
	}
	row.n = SERVER_COLUMNS;
	flowdb_stat_end(&row);
}

/*
 * flowdb_server_stats()
 *		A row for each FlowDB server of the current database.
 */
Datum
flowdb_server_stats(PG_FUNCTION_ARGS)
{
	return flowdb_stat_rows(fcinfo, put_server);
}

/*
 * flowdb_metrics()
 *		The same in Prometheus' text format.
 */
Datum
flowdb_metrics(PG_FUNCTION_ARGS)
{
	const char **names;
	FlowStats *stats;
	List *servers;
	ListCell *lc;
	size_t n = 0;
	char *metrics;
	text *result;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for function flowdb_metrics"),
						errdetail("Only roles with privileges of the role "
								  "\"pg_monitor\" may see FlowDB's metrics.")));
	servers = flowdb_stat_servers();
	names = palloc(sizeof(*names) * (list_length(servers) + 1));
	stats = palloc(sizeof(*stats) * (list_length(servers) + 1));
	foreach (lc, servers)
	{
		const FlowdbStatServer *server = lfirst(lc);

		if (server->db == NULL)
			continue;
		names[n] = server->name;
		flow_stats(server->db, &stats[n++]);
	}
	flowdb_report(flow_metrics_text(flowdb_env(), names, stats, n, &metrics));
	result = cstring_to_text(metrics);
	flowdb_env()->free(flowdb_env(), metrics);
	PG_RETURN_TEXT_P(result);
}
