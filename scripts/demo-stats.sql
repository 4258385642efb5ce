-- The last question of make demo.
\echo '-- flowdb_stores'
SELECT tables, records, sstables, pg_size_pretty(file_bytes) AS on_disk,
       round(raw_bytes::numeric / nullif(file_bytes, 0), 1) AS compressed
FROM flowdb_stores WHERE records > 0 ORDER BY records DESC;
\echo '-- flowdb_stats, some of its columns; counters begin with the start of the server'
\x on
SELECT server, state, records_written, records_read, records_expired, sstables,
       pg_size_pretty(sstable_bytes) AS on_disk, flushes, flush_failures, merges,
       pg_size_pretty(memtable_bytes) AS memtables,
       pg_size_pretty(cache_bytes) AS cached, cache_hits, cache_misses, query_p50_us, query_p99_us
FROM flowdb_stats;
