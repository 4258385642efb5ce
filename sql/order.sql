-- Order: a scan returns rows by key and time, in both directions.
SET timezone = 'UTC';
CREATE SERVER ord FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (host text COLLATE "C", ts timestamptz, v int) SERVER ord
  OPTIONS (key_columns 'host', time_column 'ts');
INSERT INTO f SELECT 'host_' || i % 10, '2024-01-01'::timestamptz + i * interval '1 min', i
  FROM generate_series(0, 1999) i;
SELECT flowdb_flush('ord');
INSERT INTO f SELECT 'host_' || i % 10, '2024-01-01'::timestamptz + i * interval '1 min', -i
  FROM generate_series(1000, 2999) i;
CREATE TABLE h AS SELECT * FROM f;

-- By key and time.
EXPLAIN (COSTS OFF) SELECT * FROM f ORDER BY host, ts;
EXPLAIN (COSTS OFF) SELECT * FROM f ORDER BY host DESC, ts DESC;
EXPLAIN (COSTS OFF) SELECT * FROM f ORDER BY host DESC NULLS LAST, ts DESC NULLS LAST;
EXPLAIN (COSTS OFF) SELECT * FROM f ORDER BY host;
EXPLAIN (COSTS OFF) SELECT * FROM f ORDER BY host, ts DESC LIMIT 5;
EXPLAIN (COSTS OFF) SELECT * FROM f ORDER BY host, ts, v;
EXPLAIN (COSTS OFF) SELECT * FROM f ORDER BY ts;
EXPLAIN (COSTS OFF) SELECT * FROM f ORDER BY host COLLATE "en-x-icu";
SELECT bool_and(ok) FROM (SELECT (host, ts) > (lag(host) OVER w, lag(ts) OVER w) AS ok
  FROM (SELECT row_number() OVER () AS n, * FROM (SELECT * FROM f ORDER BY host, ts) x) y WINDOW w AS (ORDER BY n)) z;
SELECT bool_and(ok) FROM (SELECT (host, ts) < (lag(host) OVER w, lag(ts) OVER w) AS ok
  FROM (SELECT row_number() OVER () AS n, * FROM (SELECT * FROM f ORDER BY host DESC, ts DESC) x) y WINDOW w AS (ORDER BY n)) z;
SELECT array_agg(x) = (SELECT array_agg(y) FROM (SELECT * FROM h ORDER BY host DESC, ts DESC) y)
  FROM (SELECT * FROM f ORDER BY host DESC, ts DESC) x;

-- By time within one key.
EXPLAIN (COSTS OFF) SELECT * FROM f WHERE host = 'host_3' ORDER BY ts;
EXPLAIN (COSTS OFF) SELECT * FROM f WHERE host = 'host_3' ORDER BY ts DESC LIMIT 1;
EXPLAIN (COSTS OFF) SELECT * FROM f WHERE host = 'host_3' ORDER BY host, ts DESC LIMIT 1;
SELECT * FROM f WHERE host = 'host_3' ORDER BY ts DESC LIMIT 1;
SELECT * FROM f WHERE host = 'host_3' AND ts < '2024-01-01 17:00' ORDER BY ts DESC LIMIT 3;
SELECT * FROM f WHERE host = 'host_3' AND ts >= '2024-01-01 16:33' ORDER BY ts LIMIT 3;
SELECT * FROM f WHERE host > 'host_3' ORDER BY host, ts LIMIT 2;
SELECT * FROM f WHERE host < 'host_3' ORDER BY host DESC, ts DESC LIMIT 2;
SELECT * FROM f WHERE host ^@ 'host_3' ORDER BY ts DESC LIMIT 2 OFFSET 298;
SELECT * FROM f WHERE host = 'host_3' AND v % 100 = 3 ORDER BY ts DESC LIMIT 1;
SELECT * FROM f WHERE host = 'nobody' ORDER BY ts DESC LIMIT 1;
SELECT * FROM f ORDER BY host LIMIT 0;

-- Aggregates that are a LIMIT 1, and groups by key without a sort.
SELECT explain($$SELECT max(ts) FROM f WHERE host = 'host_5'$$);
SELECT max(ts), min(ts) FROM f WHERE host = 'host_5';
SELECT max(host), min(host) FROM f;
SELECT max(ts) FROM f WHERE host = 'nobody';
SET enable_hashagg = off;
EXPLAIN (COSTS OFF) SELECT host, count(*) FROM f GROUP BY host;
SELECT host, count(*), max(ts) FROM f GROUP BY host ORDER BY host LIMIT 3;
RESET enable_hashagg;
SET enable_incremental_sort = off;
SELECT explain($$SELECT DISTINCT ON (host) host, ts, v FROM f ORDER BY host, ts DESC$$);
RESET enable_incremental_sort;
SELECT DISTINCT ON (host) host, ts, v FROM f ORDER BY host, ts DESC LIMIT 3;

-- Partitions are merged.
CREATE TABLE p (host text COLLATE "C", ts timestamptz, v int) PARTITION BY RANGE (ts);
CREATE FOREIGN TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')
  SERVER ord OPTIONS (key_columns 'host', time_column 'ts');
CREATE FOREIGN TABLE p2 PARTITION OF p FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')
  SERVER ord OPTIONS (key_columns 'host', time_column 'ts');
INSERT INTO p SELECT 'host_' || i % 4, '2024-01-01'::timestamptz + i * interval '1 day', i
  FROM generate_series(0, 59) i;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE host = 'host_1' ORDER BY ts DESC LIMIT 3;
SELECT * FROM p WHERE host = 'host_1' ORDER BY ts DESC LIMIT 3;
EXPLAIN (COSTS OFF) SELECT * FROM p ORDER BY host, ts;
SELECT * FROM p ORDER BY host, ts LIMIT 3;

-- Several key columns.
CREATE FOREIGN TABLE m (region text COLLATE "C", host bytea, ts bigint, v int) SERVER ord
  OPTIONS (key_columns 'region,host', time_column 'ts');
INSERT INTO m SELECT 'r' || i % 3, decode(lpad(to_hex(i % 7), 2, '0'), 'hex'), i, i FROM generate_series(1, 200) i;
EXPLAIN (COSTS OFF) SELECT * FROM m ORDER BY region, host, ts;
EXPLAIN (COSTS OFF) SELECT * FROM m WHERE region = 'r1' ORDER BY host DESC, ts DESC LIMIT 1;
EXPLAIN (COSTS OFF) SELECT * FROM m WHERE region = 'r1' AND host = '\x03' ORDER BY ts;
SET enable_incremental_sort = off;
SELECT explain($$SELECT * FROM m WHERE host = '\x03' ORDER BY region, ts$$);
RESET enable_incremental_sort;
SELECT * FROM m WHERE region = 'r1' ORDER BY host DESC, ts DESC LIMIT 2;
SELECT * FROM m WHERE region = 'r1' AND host = '\x03' ORDER BY ts LIMIT 2;
SELECT * FROM m WHERE region >= 'r1' AND region < 'r2' ORDER BY region, host, ts LIMIT 2;
SELECT * FROM m WHERE region ^@ 'r' AND host = '\x03' ORDER BY region DESC, ts DESC LIMIT 2;
-- For a merge join two key columns that equal each other are one.
CREATE FOREIGN TABLE two (k1 text COLLATE "C", k2 text COLLATE "C", ts bigint) SERVER ord
  OPTIONS (key_columns 'k1,k2', time_column 'ts');
INSERT INTO two SELECT 'a' || i % 2, 'a' || i % 3, i FROM generate_series(1, 12) i;
SELECT count(*) FROM two x LEFT JOIN two y USING (k1, k2, ts) WHERE x.k1 = x.k2;
DROP FOREIGN TABLE two;
-- A collation that cannot be determined is an error of the executor's.
SELECT count(*) FROM f WHERE host = (SELECT 'a'::text COLLATE "POSIX") AND false;
DROP TABLE p;
DROP TABLE h;
DROP SERVER ord CASCADE;
