-- Predicates: which are pushed into the engine, and that the rows are those
-- of a heap table, from memory and from SSTables.
SET timezone = 'UTC';
CREATE SERVER sel FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (host text COLLATE "C", ts timestamptz, v int, s text) SERVER sel
  OPTIONS (key_columns 'host', time_column 'ts', store 'f');
CREATE TABLE h (host text COLLATE "C", ts timestamptz, v int, s text);
INSERT INTO h SELECT 'host_' || i % 20, '2024-01-01'::timestamptz + i * interval '10 s', i, 'v' || i
  FROM generate_series(0, 1999) i;
INSERT INTO h VALUES ('', '2024-01-01', -1, NULL), ('héllo', '2024-01-01', -2, 'é'),
  ('host_', '2024-01-01', -3, ''), ('host%1', '2024-01-01', -4, '%'), ('HOST_1', '2024-01-01', -5, ''),
  ('host_1\x', '2024-01-01', -6, '\'), ('zz', 'infinity', -7, ''), ('zz', '-infinity', -8, '');
INSERT INTO f SELECT * FROM h;

-- What a predicate does: what is pushed, how many rows, differences to h.
CREATE FUNCTION try(pred text, OUT plan text, OUT rows bigint, OUT differ bigint)
LANGUAGE plpgsql AS $$
BEGIN
  plan := plan_of('SELECT * FROM f WHERE ' || pred);
  EXECUTE 'SELECT count(*) FROM f WHERE ' || pred INTO rows;
  SELECT c.differ INTO differ FROM compare_queries('SELECT * FROM f WHERE ' || pred, 'SELECT * FROM h WHERE ' || pred) c;
END $$;

CREATE TABLE preds (id serial, pred text);
INSERT INTO preds (pred) VALUES
  -- the key
  ('true'),
  ($$host = 'host_7'$$),
  ($$'host_7' = host$$),
  ($$host = 'nobody'$$),
  ($$host = ''$$),
  ($$host = NULL$$),
  ($$host = 'host_7' AND host = 'host_8'$$),
  ($$host > 'host_7'$$),
  ($$host >= 'host_7'$$),
  ($$'host_7' > host$$),
  ($$host <= 'host_1'$$),
  ($$host BETWEEN 'host_12' AND 'host_15'$$),
  ($$host BETWEEN 'host_15' AND 'host_12'$$),
  ($$host > 'host_12' AND host > 'host_13' AND host < 'host_5' AND host <= 'host_4'$$),
  ($$host <> 'host_7'$$),
  ($$host = 'a' OR host = 'host_7'$$),
  ($$host IN ('host_3', 'host_4')$$),
  -- prefixes
  ($$host ^@ 'host_1'$$),
  ($$starts_with(host, 'host_1')$$),
  ($$host ^@ ''$$),
  ($$host LIKE 'host\_1%'$$),
  ($$host LIKE 'host_1%'$$),
  ($$host LIKE 'host\_1%5'$$),
  ($$host LIKE 'host\_7'$$),
  ($$host LIKE '%7'$$),
  ($$host LIKE 'host\%%'$$),
  ($$host LIKE 'host\_1\\%'$$),
  ($$host LIKE 'hé%'$$),
  ($$host LIKE ''$$),
  ($$host LIKE NULL$$),
  ($$host NOT LIKE 'host%'$$),
  ($$host ILIKE 'host\_1'$$),
  -- time
  ($$ts = '2024-01-01 00:10'$$),
  ($$ts > '2024-01-01 05:00'$$),
  ($$ts >= '2024-01-01 05:00'$$),
  ($$ts < '2024-01-01 00:00:10'$$),
  ($$ts <= '2024-01-01 00:00:10'$$),
  ($$'2024-01-01 00:00:10' >= ts$$),
  ($$ts BETWEEN '2024-01-01 01:00' AND '2024-01-01 02:00'$$),
  ($$ts > '2024-01-01 02:00' AND ts < '2024-01-01 01:00'$$),
  ($$ts = 'infinity'$$),
  ($$ts < 'infinity' AND ts > '2024-01-01 05:33'$$),
  ($$ts > 'infinity'$$),
  ($$ts < '-infinity'$$),
  ($$ts > '294270-01-01'$$),
  ($$ts >= timestamp '2024-01-01 05:33'$$),
  ($$ts >= date '2024-01-02'$$),
  ($$ts > now() - interval '100 years' AND ts < now() + interval '1 day'$$),
  ($$ts IS NOT NULL AND host IS NOT NULL$$),
  ($$ts IS NULL$$),
  -- both, and others
  ($$host = 'host_7' AND ts >= '2024-01-01 01:00' AND ts < '2024-01-01 02:00'$$),
  ($$host = 'host_7' AND ts = '2024-01-01 00:01:10'$$),
  ($$host = 'host_7' AND v > 1000$$),
  ($$v = 1234$$),
  ($$s IS NULL$$),
  ($$host = s$$),
  ($$host = upper('host_1')$$),
  ($$host = 'host_' || (random() * 0)::int$$),
  ($$host > 'host_7' COLLATE "POSIX"$$),
  ($$host > 'host_7' COLLATE "en-x-icu"$$),
  ($$host = 'host_7' COLLATE "en-x-icu"$$),
  ($$host LIKE 'host\_7%' COLLATE "en-x-icu"$$);
\pset format unaligned
SELECT pred, (try(pred)).* FROM preds ORDER BY id;

-- The same from SSTables, and from both.
SELECT flowdb_flush('sel');
SELECT p.pred, t.rows, t.differ FROM preds p, try(p.pred) t WHERE t.differ <> 0;
INSERT INTO f SELECT host, ts, v + 10000, 'new' FROM h WHERE v % 3 = 0;
UPDATE h SET v = v + 10000, s = 'new' WHERE v % 3 = 0;
INSERT INTO h SELECT 'host_' || i % 30, '2024-01-02'::timestamptz + i * interval '10 s', i, 'v' || i
  FROM generate_series(0, 999) i;
INSERT INTO f SELECT * FROM h WHERE ts >= '2024-01-02' AND ts <> 'infinity';
SELECT p.pred, t.rows, t.differ FROM preds p, try(p.pred) t WHERE t.differ <> 0;
SELECT flowdb_flush('sel');
SELECT p.pred, t.rows, t.differ FROM preds p, try(p.pred) t WHERE t.differ <> 0;
\pset format aligned

-- Columns: each alone, none, the whole row, expressions, aggregates.
SELECT host FROM f WHERE v = 700;
SELECT ts FROM f WHERE v = 700;
SELECT v FROM f WHERE host = 'host_0' AND ts = '2024-01-01 01:56:40';
SELECT f FROM f WHERE v = 700;
SELECT count(*) FROM f;
SELECT host, count(*), min(ts), max(ts), sum(v), max(s) FROM f
  WHERE host ^@ 'host_2' GROUP BY host ORDER BY host;
SELECT tableoid::regclass, v FROM f WHERE v = 700;
SELECT count(*) FROM f a JOIN f b USING (host, ts) WHERE a.v = b.v;

-- A key under another collation: equality and prefixes are pushed.
CREATE COLLATION nondet (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FOREIGN TABLE icu (k text COLLATE "en-x-icu", n text COLLATE nondet, v int) SERVER sel
  OPTIONS (key_columns 'k');
INSERT INTO icu VALUES ('a', 'x', 1), ('B', 'X', 2), ('c', 'y', 3);
EXPLAIN (COSTS OFF) SELECT * FROM icu WHERE k = 'a';
EXPLAIN (COSTS OFF) SELECT * FROM icu WHERE k ^@ 'a';
EXPLAIN (COSTS OFF) SELECT * FROM icu WHERE k < 'b';
EXPLAIN (COSTS OFF) SELECT * FROM icu ORDER BY k;
SELECT k FROM icu WHERE k < 'b' ORDER BY k;
SELECT k FROM icu WHERE k <= 'B' ORDER BY k;
CREATE FOREIGN TABLE nd (k text COLLATE nondet, v int) SERVER sel OPTIONS (key_columns 'k');
INSERT INTO nd VALUES ('a', 1), ('A', 2), ('b', 3);
EXPLAIN (COSTS OFF) SELECT * FROM nd WHERE k = 'a';
SELECT * FROM nd WHERE k = 'a' ORDER BY v;

-- Time of bigint, key of varchar and of a domain.
CREATE DOMAIN hostname AS varchar(20);
CREATE FOREIGN TABLE big (k hostname COLLATE "C", ts bigint, v int) SERVER sel OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO big SELECT 'k' || i % 3, i, i FROM generate_series(-10, 10) i;
INSERT INTO big VALUES ('max', 9223372036854775807, 1), ('min', -9223372036854775808, 2);
EXPLAIN (COSTS OFF) SELECT * FROM big WHERE k = 'k1' AND ts > 5 AND ts < 9::int2 AND ts <= 9::int8;
SELECT * FROM big WHERE k = 'k1' AND ts > 5 AND ts < 9::int2 AND ts <= 9::int8;
SELECT * FROM big WHERE ts > 9223372036854775806;
SELECT * FROM big WHERE ts > 9223372036854775807;
SELECT * FROM big WHERE ts < -9223372036854775807;
SELECT * FROM big WHERE ts < -9223372036854775808;
SELECT * FROM big WHERE ts > 9.5 AND ts < 11.5;
SELECT count(*) FROM big WHERE k >= 'k1' AND k < 'k2';

-- EXPLAIN in all formats.
SELECT explain($$SELECT v FROM f WHERE host = 'host_1' ORDER BY ts DESC$$, ', FORMAT json');
SELECT explain($$SELECT v FROM f WHERE host = 'host_1'$$, ', FORMAT yaml, VERBOSE');
EXPLAIN (COSTS OFF, VERBOSE) SELECT v FROM f WHERE host = 'host_1' AND v > 5;
EXPLAIN (COSTS OFF, VERBOSE) INSERT INTO f VALUES ('a', now());
CREATE FUNCTION analyze_labels(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN SELECT explain(query, ', ANALYZE, TIMING OFF, SUMMARY OFF') LOOP
    RETURN NEXT regexp_replace(line, '\d+', 'N', 'g');
  END LOOP;
END $$;
SELECT analyze_labels($$SELECT * FROM f WHERE host = 'host_1'$$);
DROP SERVER sel CASCADE;
DROP FUNCTION try, analyze_labels;
DROP TABLE h, preds;
