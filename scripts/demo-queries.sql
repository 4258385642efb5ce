-- What make demo asks.  Times are psql's: with the way to the client and back.
\timing on

\echo '-- This machine, just now: how busy was each cpu, second by second?'
SELECT name, date_trunc('second', ts) AS second, count(*) AS samples,
       round(avg(busy_pct)::numeric, 1) AS busy_pct
FROM machine_cpu WHERE name < 'cpu2' AND ts >= now() - interval '1 hour'
GROUP BY 1, 2 ORDER BY 1, 2;

\echo '-- Its network interfaces and disks, while it was watched'
SELECT name, round(max(received_bytes_s)) AS max_received_bytes_s,
       round(max(sent_bytes_s)) AS max_sent_bytes_s
FROM machine_net GROUP BY name ORDER BY name;
SELECT name, round(max(written_bytes_s)) AS max_written_bytes_s,
       round(avg(writes_s)) AS avg_writes_s
FROM machine_disk GROUP BY name ORDER BY name LIMIT 5;
SELECT pg_size_pretty(used_bytes::bigint) AS used,
       pg_size_pretty(available_bytes::bigint) AS available
FROM machine_memory WHERE name = 'memory' ORDER BY ts DESC LIMIT 1;

\echo '-- TSBS single-groupby-1-1-1: the busiest minutes of one host in one hour'
SELECT date_bin('1 minute', ts, '2016-01-01 00:00:00+00') AS minute,
       max(usage_user)
FROM cpu WHERE hostname = 'host_7' AND ts >= '2016-01-01 01:00:00+00'
      AND ts < '2016-01-01 02:00:00+00'
GROUP BY minute ORDER BY max DESC, minute LIMIT 5;

\timing off
\echo '-- UPDATE and DELETE in a transaction, and back'
BEGIN;
UPDATE cpu SET usage_user = -1 WHERE hostname = 'host_7' AND ts < '2016-01-01 01:00:00+00';
DELETE FROM cpu WHERE hostname IN ('host_1', 'host_2');
SELECT count(*) AS rows, count(*) FILTER (WHERE usage_user < 0) AS changed FROM cpu;
ROLLBACK;
SELECT count(*) AS rows, count(*) FILTER (WHERE usage_user < 0) AS changed FROM cpu;

\echo '-- A row is there once. INSERT of 101 for one that is there, ON CONFLICT DO NOTHING, leaves it:'
BEGIN;
INSERT INTO cpu (hostname, ts, usage_user) VALUES ('host_7', '2016-01-01 01:00:00+00', 101)
ON CONFLICT DO NOTHING;
SELECT hostname, ts, usage_user FROM cpu
WHERE hostname = 'host_7' AND ts = '2016-01-01 01:00:00+00';
\echo '-- and a plain INSERT, of 102, replaces it:'
INSERT INTO cpu (hostname, ts, usage_user) VALUES ('host_7', '2016-01-01 01:00:00+00', 102);
SELECT hostname, ts, usage_user FROM cpu
WHERE hostname = 'host_7' AND ts = '2016-01-01 01:00:00+00';
ROLLBACK;

\echo '-- A table whose rows live for one second'
CREATE FOREIGN TABLE sessions (
    id bigint OPTIONS (role 'key') NOT NULL,
    started timestamptz OPTIONS (role 'time') NOT NULL
) SERVER metrics OPTIONS (ttl '1 second');
INSERT INTO sessions SELECT i, clock_timestamp() FROM generate_series(1, 5) i;
SELECT count(*) AS at_once FROM sessions;
SELECT pg_sleep(1.1) \g /dev/null
SELECT count(*) AS a_second_later FROM sessions;

-- A plan's lines are long: no frame around them.
\pset format unaligned
\pset tuples_only on
\echo '-- What the engine is asked for: EXPLAIN of one host, one hour'
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
SELECT * FROM cpu WHERE hostname = 'host_7' AND ts >= '2016-01-01 01:00:00+00'
      AND ts < '2016-01-01 02:00:00+00';

\echo
\echo '-- Three hosts at once: three ranges, in their order, without a sort'
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
SELECT * FROM cpu WHERE hostname IN ('host_7', 'host_42', 'host_300')
      AND ts >= '2016-01-01 01:00:00+00' AND ts < '2016-01-01 02:00:00+00'
ORDER BY hostname, ts;
