-- Transactions: what is rolled back is gone, and a command sees what earlier
-- commands of its transaction wrote, not what it writes itself.
CREATE SERVER tx FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (k text COLLATE "C", ts bigint, v int, pad text) SERVER tx
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE h (k text COLLATE "C", ts bigint, v int, pad text);

-- Rollback and savepoints.
BEGIN;
INSERT INTO f VALUES ('a', 1, 1);
SELECT k, ts, v FROM f;
ROLLBACK;
SELECT k, ts, v FROM f;
BEGIN;
INSERT INTO f VALUES ('a', 1, 1);
SAVEPOINT s1;
INSERT INTO f VALUES ('a', 1, 2), ('b', 1, 2);
SELECT k, ts, v FROM f ORDER BY k;
SAVEPOINT s2;
INSERT INTO f VALUES ('b', 1, 3), ('c', 1, 3);
SELECT k, ts, v FROM f ORDER BY k;
ROLLBACK TO s2;
SELECT k, ts, v FROM f ORDER BY k;
INSERT INTO f VALUES ('d', 1, 4);
RELEASE s2;
ROLLBACK TO s1;
SELECT k, ts, v FROM f ORDER BY k;
INSERT INTO f VALUES ('e', 1, 5);
COMMIT;
SELECT k, ts, v FROM f ORDER BY k;

-- A failing statement leaves nothing, whether it stands alone or not.
INSERT INTO f SELECT 'x', i, 1 / (50 - i) FROM generate_series(1, 100) i;
SELECT count(*) FROM f WHERE k = 'x';
BEGIN;
INSERT INTO f VALUES ('y', 1, 1);
INSERT INTO f SELECT 'x', i, 1 / (50 - i) FROM generate_series(1, 100) i;
SELECT count(*) FROM f;
ROLLBACK;
SELECT count(*) FROM f WHERE k IN ('x', 'y');
DO $$
BEGIN
  INSERT INTO f VALUES ('p', 1, 1);
  BEGIN
    INSERT INTO f VALUES ('p', 2, 2), ('p', 1, 9);
    INSERT INTO f VALUES (NULL, 3, 3);
  EXCEPTION WHEN not_null_violation THEN
    RAISE NOTICE 'caught: %', (SELECT array_agg(v ORDER BY ts) FROM f WHERE k = 'p');
  END;
  INSERT INTO f VALUES ('p', 4, 4);
END $$;
SELECT k, ts, v FROM f WHERE k = 'p' ORDER BY ts;

-- A statement that reads what it writes.
INSERT INTO f SELECT 'self', i, i FROM generate_series(1, 3000) i;
INSERT INTO f SELECT k, ts + 3000, v FROM f WHERE k = 'self';
SELECT count(*), min(ts), max(ts) FROM f WHERE k = 'self';
BEGIN;
INSERT INTO f SELECT k, ts + 6000, v FROM f WHERE k = 'self';
INSERT INTO f SELECT k, ts, v + 1 FROM f WHERE k = 'self';
INSERT INTO f SELECT k, ts, v + 1 FROM f WHERE k = 'self';
SELECT count(*), min(v), max(v), max(ts) FROM f WHERE k = 'self';
ROLLBACK;
SELECT count(*), min(v), max(v), max(ts) FROM f WHERE k = 'self';
WITH w AS (INSERT INTO f VALUES ('with', 1, 1) RETURNING k)
SELECT w.k, (SELECT count(*) FROM f WHERE k = 'with') FROM w;
SELECT count(*) FROM f WHERE k = 'with';

-- A function that the statement calls writes under later command ids.
CREATE FUNCTION put(i int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO f VALUES ('fn', i, i);
  RETURN (SELECT count(*) FROM f WHERE k = 'fn');
END $$;
SELECT i, put(i), (SELECT count(*) FROM f WHERE k = 'fn') AS outer_sees FROM generate_series(1, 3) i;
INSERT INTO f SELECT 'fn2', i, put(i)::int FROM generate_series(4, 6) i;
SELECT k, ts, v FROM f WHERE k ^@ 'fn' ORDER BY k, ts;

-- The same with the buffer handed over early, many times.
SET flowdb.transaction_buffer = '64kB';
BEGIN;
INSERT INTO f SELECT 'big', i, i, repeat('x', 100) FROM generate_series(1, 20000) i;
INSERT INTO h SELECT 'big', i, i, repeat('x', 100) FROM generate_series(1, 20000) i;
SELECT count(*), sum(v) FROM f WHERE k = 'big';
SAVEPOINT s;
INSERT INTO f SELECT k, ts, v + 1, pad FROM f WHERE k = 'big';
SELECT count(*), sum(v) FROM f WHERE k = 'big';
SAVEPOINT s2;
INSERT INTO f SELECT 'big2', ts, v, pad FROM f WHERE k = 'big';
SELECT count(*), sum(v) FROM f WHERE k ^@ 'big';
RELEASE s2;
ROLLBACK TO s;
SELECT count(*), sum(v) FROM f WHERE k ^@ 'big';
INSERT INTO f SELECT k, ts + 20000, v, pad FROM f WHERE k = 'big';
INSERT INTO h SELECT k, ts + 20000, v, pad FROM h WHERE k = 'big';
COMMIT;
SELECT count(*), sum(v) FROM f WHERE k = 'big';
SELECT count(*) FROM ((SELECT * FROM f WHERE k = 'big' EXCEPT TABLE h)
  UNION ALL (TABLE h EXCEPT SELECT * FROM f WHERE k = 'big')) d;
BEGIN;
INSERT INTO f SELECT 'gone', i, i, repeat('x', 100) FROM generate_series(1, 20000) i;
ROLLBACK;
SELECT count(*) FROM f WHERE k = 'gone';
INSERT INTO f SELECT 'gone', i, 1 / (19999 - i), repeat('x', 100) FROM generate_series(1, 20000) i;
SELECT count(*) FROM f WHERE k = 'gone';
SELECT flowdb_flush('tx');
SELECT count(*), sum(v) FROM f WHERE k = 'big';
SELECT count(*) FROM f WHERE k = 'gone';
RESET flowdb.transaction_buffer;

-- A flush inside a transaction that has written changes nothing.
BEGIN;
INSERT INTO f VALUES ('flush', 1, 1);
SELECT flowdb_flush('tx');
SELECT k, v FROM f WHERE k = 'flush';
ROLLBACK;
SELECT k, v FROM f WHERE k = 'flush';

-- Heap and FlowDB stand and fall together.
BEGIN;
INSERT INTO f VALUES ('both', 1, 1);
INSERT INTO h VALUES ('both', 1, 1);
ROLLBACK;
SELECT (SELECT count(*) FROM f WHERE k = 'both'), (SELECT count(*) FROM h WHERE k = 'both');

-- A snapshot taken before others' writes is kept.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM f WHERE k = 'e';
INSERT INTO f VALUES ('rr', 1, 1);
SELECT count(*) FROM f WHERE k = 'rr';
COMMIT;
BEGIN READ ONLY;
INSERT INTO f VALUES ('ro', 1, 1);
\echo :SQLSTATE
ROLLBACK;
BEGIN;
INSERT INTO f VALUES ('2pc', 1, 1);
PREPARE TRANSACTION 'flowdb';
\echo :SQLSTATE
ROLLBACK;
SELECT count(*) FROM f WHERE k = '2pc';

-- The first write of a store rolled back: the next one begins it again.
CREATE FOREIGN TABLE fresh (key text, v int) SERVER tx;
BEGIN;
INSERT INTO fresh VALUES ('a', 1);
ROLLBACK;
SELECT * FROM fresh;
INSERT INTO fresh VALUES ('b', 2);
SELECT * FROM fresh;
BEGIN;
CREATE FOREIGN TABLE temporary (key text, v int) SERVER tx;
INSERT INTO temporary VALUES ('a', 1);
SELECT * FROM temporary;
ROLLBACK;
DROP FUNCTION put;
DROP TABLE h;
DROP SERVER tx CASCADE;
