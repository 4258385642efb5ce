-- Filters of value columns beside all that a scan may be: lookups, joins,
-- columns that came later, rows that hide others, barriers, partitions.
CREATE SERVER vscan FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (k int, ts bigint, v int, d float8, n numeric) SERVER vscan
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE h (k int, ts bigint, v int, d float8, n numeric);
INSERT INTO h SELECT i % 10, i, CASE WHEN i % 7 > 0 THEN i % 13 - 5 END, CASE WHEN i % 5 > 0 THEN i / 9.0 END, i / 10.0
  FROM generate_series(1, 1500) i;
INSERT INTO f SELECT * FROM h;
SELECT flowdb_flush('vscan');
INSERT INTO f SELECT * FROM h WHERE ts > 1400;
CREATE FUNCTION rows_of(tab text, pred text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE format('SELECT count(*) || '':'' || coalesce(md5(string_agg(ts::text, '','' ORDER BY ts)), '''') FROM %s WHERE %s',
    tab, pred) INTO result;
  RETURN result;
END $$;

-- One row by key and time; what filters it out, and what is counted.
SELECT k, ts, v FROM f WHERE k = 7 AND ts = 17 AND v = -1;
SELECT k, ts, v FROM f WHERE k = 7 AND ts = 17 AND v <> -1;
SELECT e FROM explain($$SELECT k FROM f WHERE k = 7 AND ts = 17 AND v IS NULL$$, ', ANALYZE, TIMING OFF, SUMMARY OFF') e WHERE e !~ 'FlowDB R';
SELECT e FROM explain($$SELECT k FROM f WHERE v > 1 AND n < 1$$, ', ANALYZE, TIMING OFF, SUMMARY OFF') e WHERE e !~ 'FlowDB R';
-- What the least and greatest values of its blocks rule out is not looked at.
SELECT e FROM explain($$SELECT k FROM f WHERE v > 1000 AND ts < 1000$$, ', ANALYZE, TIMING OFF, SUMMARY OFF') e WHERE e !~ 'FlowDB R(eads|ows:)';
SELECT e FROM explain($$SELECT k FROM f WHERE v > 1$$, ', VERBOSE') e WHERE e !~ 'Store';
SELECT explain($$SELECT k FROM f WHERE k = 3 AND v > 1 AND n < 1$$, ', FORMAT yaml');
SELECT explain($$UPDATE f SET v = 1 WHERE d > 5$$);

-- Values of an outer relation, where key and time bound the scan too.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT explain($$SELECT * FROM (VALUES (3, 0), (4, 7)) o (k, v), LATERAL (SELECT count(*) FROM f WHERE f.k = o.k AND v > o.v) x$$);
SELECT * FROM (VALUES (3, 0), (4, 7), (5, NULL), (6, -1)) o (k, v), LATERAL (SELECT count(*) FROM f WHERE f.k = o.k AND v > o.v) x
EXCEPT SELECT * FROM (VALUES (3, 0), (4, 7), (5, NULL), (6, -1)) o (k, v), LATERAL (SELECT count(*) FROM h f WHERE f.k = o.k AND v > o.v) x;
SELECT count(*) FROM f, h WHERE f.k = h.k AND f.ts = h.ts AND f.v = h.v AND h.ts < 100;
SELECT count(*) FROM h f, h WHERE f.k = h.k AND f.ts = h.ts AND f.v = h.v AND h.ts < 100;
RESET enable_hashjoin;
RESET enable_mergejoin;

-- A column that older rows do not have, with a default and without.
ALTER FOREIGN TABLE f ADD COLUMN new4 int DEFAULT 42, ADD COLUMN nothing int, ADD COLUMN late float8 DEFAULT 'NaN';
ALTER TABLE h ADD COLUMN new4 int DEFAULT 42, ADD COLUMN nothing int, ADD COLUMN late float8 DEFAULT 'NaN';
CREATE TABLE more_preds (pred text);
INSERT INTO more_preds VALUES ('new4 = 42'), ('new4 <> 42'), ('new4 IS NULL'), ('new4 IS NOT NULL'), ('nothing IS NULL'), ('nothing IS NOT NULL'),
  ('nothing = 1'), ('nothing <> 1'), ('nothing IN (1, 2)'), ('nothing IS NULL AND new4 > 1'), ('late > 5'), ('late <= 5'), ('late IN (1, ''NaN'')');
SELECT pred, rows_of('f', pred) = rows_of('h', pred) AS same, split_part(rows_of('f', pred), ':', 1) AS rows FROM more_preds;
INSERT INTO f (k, ts, new4, nothing, late) VALUES (1, 9001, 1, 1, 1), (1, 9002, NULL, NULL, NULL), (1, 9003, 42, 2, 'infinity');
INSERT INTO h (k, ts, new4, nothing, late) VALUES (1, 9001, 1, 1, 1), (1, 9002, NULL, NULL, NULL), (1, 9003, 42, 2, 'infinity');
SELECT pred, rows_of('f', pred) = rows_of('h', pred) AS same, split_part(rows_of('f', pred), ':', 1) AS rows FROM more_preds;
SELECT flowdb_flush('vscan');
SELECT pred FROM more_preds WHERE rows_of('f', pred) <> rows_of('h', pred);
-- And one that is of a transaction which is rolled back.
BEGIN;
ALTER FOREIGN TABLE f ADD COLUMN never int DEFAULT 5;
SELECT count(*) FROM f WHERE never = 5;
ROLLBACK;
-- Before there is a store, every column is of no row.
CREATE FOREIGN TABLE empty (k int, v int) SERVER vscan OPTIONS (key_columns 'k');
SELECT count(*) FROM empty WHERE v IS NULL;

-- Expired, deleted and replaced rows do not come back when what hides them is
-- filtered out.
CREATE FOREIGN TABLE life (k int, ts bigint, v int, until timestamptz) SERVER vscan
  OPTIONS (key_columns 'k', time_column 'ts', expire_column 'until');
INSERT INTO life VALUES (1, 1, 100, 'infinity'), (1, 2, 100, 'infinity'), (1, 3, 100, 'infinity'), (1, 4, 5, 'infinity');
SELECT flowdb_flush('vscan');
INSERT INTO life VALUES (1, 1, 5, 'infinity'), (1, 2, 5, '2001-01-01'), (1, 4, 100, 'infinity');
DELETE FROM life WHERE ts = 3;
SELECT * FROM life WHERE v > 50;
SELECT flowdb_flush('vscan');
SELECT * FROM life WHERE v > 50;
SELECT * FROM life WHERE v < 50;
SELECT flowdb_compact('vscan');
SELECT * FROM life WHERE v > 50;

-- Rows that move onto places whose own rows are still to come.
CREATE FOREIGN TABLE moving (k int, ts bigint, v int, w int) SERVER vscan OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO moving SELECT 1, i, i % 3, i FROM generate_series(1, 9) i;
UPDATE moving SET ts = ts + 1 WHERE v > 0;
SELECT * FROM moving ORDER BY ts;

-- A barrier: what is below it goes first, and what may leak nothing may pass.
CREATE FUNCTION vtell(i int) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE 'told %', i; RETURN true; END $$;
CREATE VIEW barrier WITH (security_barrier) AS SELECT k, ts, v, w FROM moving WHERE w < 3;
SELECT * FROM barrier WHERE vtell(v) AND v = 1;
SELECT explain($$SELECT * FROM barrier WHERE vtell(v) AND v = 1$$);
CREATE VIEW barrier2 WITH (security_barrier) AS SELECT k, ts, v, w FROM moving WHERE abs(w) < 3;
SELECT explain($$SELECT * FROM barrier2 WHERE v = 1 AND v / 2.0 < 1 AND vtell(v)$$);
SELECT * FROM barrier2 WHERE v = 1 AND vtell(v);

-- Partitions and children with columns at other numbers.
CREATE TABLE parts (k int, ts bigint, v int, w float8) PARTITION BY RANGE (k);
CREATE FOREIGN TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (5) SERVER vscan OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE part2 (w float8, v int, dropped text, ts bigint, k int) SERVER vscan OPTIONS (key_columns 'k', time_column 'ts');
ALTER FOREIGN TABLE part2 DROP COLUMN dropped;
ALTER TABLE parts ATTACH PARTITION part2 FOR VALUES FROM (5) TO (9);
INSERT INTO parts SELECT i % 9, i, i % 5, i / 7.0 FROM generate_series(1, 200) i;
SELECT explain($$SELECT * FROM parts WHERE v = 3 AND w > 20$$);
SELECT count(*), sum(v), sum(ts) FROM parts WHERE v = 3 AND w > 20;
SELECT count(*), sum(i % 5), sum(i) FROM generate_series(1, 200) i WHERE i % 5 = 3 AND i / 7.0 > 20;
UPDATE parts SET v = 77 WHERE w > 25 AND v = 3;
SELECT count(*) FROM parts WHERE v = 77;

-- Columns computed from others are stored.
CREATE FOREIGN TABLE gen (k int, v int, twice int GENERATED ALWAYS AS (v * 2) STORED) SERVER vscan OPTIONS (key_columns 'k');
INSERT INTO gen SELECT i, i FROM generate_series(1, 20) i;
SELECT * FROM gen WHERE twice > 36;

DROP SERVER vscan CASCADE;
DROP FUNCTION rows_of, vtell;
DROP TABLE h, more_preds, parts;
