-- Cursors: forth and back, held over the end of a transaction, over rows
-- that change meanwhile.
CREATE SERVER cur FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (k text COLLATE "C", ts bigint, v int) SERVER cur
  OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO t SELECT 'k' || i / 4, i, i FROM generate_series(0, 11) i;
SELECT flowdb_flush('cur');
INSERT INTO t SELECT 'k' || i / 4, i, i FROM generate_series(12, 19) i;

-- NO SCROLL: forward only.
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT * FROM t ORDER BY k, ts;
FETCH 2 FROM c;
MOVE 3 IN c;
FETCH NEXT FROM c;
FETCH ALL FROM c;
FETCH NEXT FROM c;
SAVEPOINT s;
FETCH BACKWARD 1 FROM c;
\echo :SQLSTATE
ROLLBACK TO s;
CLOSE c;

-- SCROLL: all directions.
DECLARE c SCROLL CURSOR FOR SELECT * FROM t ORDER BY k, ts;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH PRIOR FROM c;
FETCH FIRST FROM c;
FETCH LAST FROM c;
FETCH ABSOLUTE 10 FROM c;
FETCH RELATIVE -3 FROM c;
FETCH RELATIVE 0 FROM c;
FETCH ABSOLUTE -2 FROM c;
FETCH ABSOLUTE 100 FROM c;
FETCH BACKWARD 2 FROM c;
MOVE BACKWARD ALL IN c;
FETCH 1 FROM c;
FETCH BACKWARD ALL FROM c;
CLOSE c;
DECLARE c SCROLL CURSOR FOR SELECT v FROM t WHERE k = 'k2' ORDER BY ts DESC;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH ALL FROM c;
FETCH BACKWARD ALL FROM c;
CLOSE c;
-- two of them, taking turns
DECLARE a SCROLL CURSOR FOR SELECT v FROM t WHERE k = 'k0' ORDER BY ts;
DECLARE b SCROLL CURSOR FOR SELECT v FROM t WHERE k = 'k4' ORDER BY ts;
FETCH 1 FROM a;
FETCH 2 FROM b;
FETCH 2 FROM a;
FETCH BACKWARD 1 FROM b;
FETCH BACKWARD 1 FROM a;
FETCH ALL FROM b;
COMMIT;
FETCH 1 FROM a;
\echo :SQLSTATE

-- Held: as they were when the transaction ended.
BEGIN;
DECLARE h SCROLL CURSOR WITH HOLD FOR SELECT * FROM t WHERE ts < 6 ORDER BY k, ts;
FETCH 2 FROM h;
DECLARE gone CURSOR WITH HOLD FOR SELECT * FROM t;
CLOSE gone;
INSERT INTO t VALUES ('k0', 5, 500);
COMMIT;
DELETE FROM t WHERE k = 'k0' AND ts = 2;
UPDATE t SET v = -1 WHERE k = 'k1';
FETCH ALL FROM h;
FETCH FIRST FROM h;
SELECT flowdb_flush('cur');
SELECT flowdb_compact('cur') IS NOT NULL AS compacted;
FETCH LAST FROM h;
FETCH PRIOR FROM h;
CLOSE h;
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT * FROM t;
ROLLBACK;
FETCH 1 FROM h;
\echo :SQLSTATE
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT v / (v - 7) FROM t WHERE k = 'k1' ORDER BY ts;
INSERT INTO t VALUES ('held', 1, 1);
UPDATE t SET v = 7 WHERE k = 'k1';
COMMIT;
SELECT count(*) FROM t WHERE k = 'held';
FETCH ALL FROM h;
CLOSE h;

-- Rows that change below an open cursor: it does not see it.
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT * FROM t WHERE k IN ('k2', 'k3') ORDER BY k, ts;
FETCH 2 FROM c;
INSERT INTO t VALUES ('k2', 100, 100), ('k2', 10, -10);
DELETE FROM t WHERE k = 'k3';
UPDATE t SET ts = ts + 1000 WHERE k = 'k2' AND ts = 9;
FETCH ALL FROM c;
SELECT flowdb_delete_range('t', 'k2', 'k3');
FETCH BACKWARD ALL FROM c;
SELECT * FROM t WHERE k IN ('k2', 'k3');
CLOSE c;
ROLLBACK;
SELECT count(*), sum(v) FROM t WHERE k IN ('k2', 'k3');
-- nor what a savepoint takes back
BEGIN;
INSERT INTO t VALUES ('sp', 1, 1);
SAVEPOINT s;
INSERT INTO t VALUES ('sp', 2, 2);
DECLARE c CURSOR FOR SELECT * FROM t WHERE k = 'sp' ORDER BY ts;
FETCH 1 FROM c;
ROLLBACK TO s;
FETCH 1 FROM c;
\echo :SQLSTATE
ROLLBACK;
BEGIN;
INSERT INTO t VALUES ('sp', 1, 1), ('sp', 2, 2);
DECLARE c CURSOR FOR SELECT * FROM t WHERE k = 'sp' ORDER BY ts;
SAVEPOINT s;
FETCH 1 FROM c;
INSERT INTO t VALUES ('sp', 3, 3);
ROLLBACK TO s;
FETCH ALL FROM c;
COMMIT;

-- A cursor that inserts through a function into what it reads comes to an end.
CREATE FUNCTION again(t) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO t VALUES ($1.k, $1.ts + 5000, $1.v);
  RETURN $1.v;
END $$;
BEGIN;
DECLARE c CURSOR FOR SELECT again(t) FROM t WHERE k = 'k4' ORDER BY ts;
FETCH ALL FROM c;
SELECT count(*) FROM t WHERE k = 'k4';
ROLLBACK;

-- PL/pgSQL's.
CREATE FUNCTION sum_cursor(OUT n int, OUT total bigint) LANGUAGE plpgsql AS $$
DECLARE
  c SCROLL CURSOR (key text) FOR SELECT v FROM t WHERE k = key ORDER BY ts;
  x int;
BEGIN
  n := 0;
  total := 0;
  OPEN c('k3');
  LOOP
    FETCH c INTO x;
    EXIT WHEN NOT FOUND;
    n := n + 1;
    total := total + x;
  END LOOP;
  MOVE FIRST FROM c;
  FETCH RELATIVE 1 FROM c INTO x;
  total := total * 1000 + x;
  CLOSE c;
END $$;
SELECT * FROM sum_cursor();
CREATE FUNCTION give(refcursor) RETURNS refcursor LANGUAGE plpgsql AS $$
BEGIN
  OPEN $1 FOR SELECT v FROM t WHERE k = 'k4' ORDER BY ts;
  RETURN $1;
END $$;
BEGIN;
SELECT give('mine');
FETCH ALL FROM mine;
COMMIT;

-- There is no current row to name: by key and time it works.
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM t WHERE k = 'k0';
FETCH 1 FROM c;
SAVEPOINT s;
UPDATE t SET v = 0 WHERE CURRENT OF c;
\echo :SQLSTATE
ROLLBACK TO s;
DELETE FROM t WHERE CURRENT OF c;
\echo :SQLSTATE
ROLLBACK;
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT k, ts FROM t WHERE k = 'k0' FOR UPDATE LOOP
    UPDATE t SET v = v + 1000 WHERE k = r.k AND ts = r.ts;
  END LOOP;
END $$;
SELECT * FROM t WHERE k = 'k0' ORDER BY ts;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT v FROM t WHERE k = 'k0' FOR UPDATE;
\echo :SQLSTATE
ROLLBACK;

DROP FUNCTION again, sum_cursor, give;
DROP SERVER cur CASCADE;
