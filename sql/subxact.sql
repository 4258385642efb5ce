-- Subtransactions: exception blocks, nested savepoints, procedures that
-- commit and roll back, deferred constraints of a heap table beside it.
CREATE SERVER sub FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int CHECK (v >= 0), note text)
  SERVER sub OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE h (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int CHECK (v >= 0), note text,
  PRIMARY KEY (k, ts));

-- Rows that are in only one of the two.
CREATE FUNCTION differ() RETURNS TABLE (side text, k text, ts bigint, v int, note text) LANGUAGE sql AS $$
  (SELECT 'flowdb', * FROM (TABLE f EXCEPT ALL TABLE h) a) UNION ALL
  (SELECT 'heap', * FROM (TABLE h EXCEPT ALL TABLE f) b)
$$;

-- One exception block after the other: each keeps or loses what is its own.
DO $$
BEGIN
  FOR i IN 1 .. 60 LOOP
    BEGIN
      INSERT INTO f VALUES ('loop', i, i, 'first');
      INSERT INTO h VALUES ('loop', i, i, 'first');
      IF i % 3 = 0 THEN
        UPDATE f SET note = 'second' WHERE k = 'loop' AND ts = i;
        UPDATE h SET note = 'second' WHERE k = 'loop' AND ts = i;
      END IF;
      IF i % 5 = 0 THEN
        RAISE EXCEPTION 'undo %', i;
      END IF;
      IF i % 7 = 0 THEN
        DELETE FROM f WHERE k = 'loop' AND ts = i - 1;
        DELETE FROM h WHERE k = 'loop' AND ts = i - 1;
      END IF;
    EXCEPTION WHEN raise_exception THEN
      INSERT INTO f VALUES ('undone', i, 0, SQLERRM);
      INSERT INTO h VALUES ('undone', i, 0, SQLERRM);
    END;
  END LOOP;
END $$;
SELECT * FROM differ();
SELECT k, count(*), sum(v), count(*) FILTER (WHERE note = 'second') AS second FROM f GROUP BY k ORDER BY k;

-- What the statement itself raises is caught as well.
CREATE FUNCTION try(stmt text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE stmt;
  RETURN 'fine';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END $$;
BEGIN;
SELECT try($$INSERT INTO f VALUES ('c', 1, 1, 'ok')$$), try($$INSERT INTO f VALUES ('c', 2, -1, 'check')$$),
  try($$INSERT INTO f VALUES ('c', NULL, 1, 'time')$$), try($$INSERT INTO f VALUES ('c', 3, 1 / 0, 'zero')$$),
  try($$UPDATE f SET v = -v - 1 WHERE k = 'c'$$), try($$UPDATE f SET v = 5 WHERE k = 'c'$$),
  try($$SELECT v / (v - 5) FROM f WHERE k = 'c'$$), try($$DELETE FROM f WHERE 1 / (v - 5) > 0 AND k = 'c'$$);
SELECT * FROM f WHERE k = 'c';
COMMIT;
SELECT * FROM f WHERE k = 'c';

-- Savepoints in each other, released and rolled back in all ways.
BEGIN;
INSERT INTO f VALUES ('s', 0, 0, 'top');
SAVEPOINT a;
INSERT INTO f VALUES ('s', 1, 1, 'a');
SAVEPOINT b;
UPDATE f SET note = note || '+b' WHERE k = 's';
SAVEPOINT c;
DELETE FROM f WHERE k = 's' AND ts = 0;
INSERT INTO f VALUES ('s', 2, 2, 'c');
SELECT ts, v, note FROM f WHERE k = 's' ORDER BY ts;
ROLLBACK TO c;
SELECT ts, v, note FROM f WHERE k = 's' ORDER BY ts;
RELEASE c;
SAVEPOINT c;
SAVEPOINT c;
INSERT INTO f VALUES ('s', 3, 3, 'inner c');
RELEASE c;
INSERT INTO f VALUES ('s', 4, 4, 'outer c');
ROLLBACK TO c;
SELECT ts, v, note FROM f WHERE k = 's' ORDER BY ts;
RELEASE b;
SAVEPOINT d;
UPDATE f SET k = 's2', note = 'moved' WHERE k = 's' AND ts = 1;
ROLLBACK TO d;
UPDATE f SET ts = ts + 10 WHERE k = 's' AND ts = 1;
SELECT k, ts, v, note FROM f WHERE k IN ('s', 's2') ORDER BY k, ts;
ROLLBACK TO a;
SELECT ts, v, note FROM f WHERE k = 's' ORDER BY ts;
SAVEPOINT broken;
SELECT 1 / 0;
SELECT * FROM f;
\echo :SQLSTATE
ROLLBACK TO broken;
SELECT ts, v, note FROM f WHERE k = 's' ORDER BY ts;
COMMIT;
SELECT ts, v, note FROM f WHERE k = 's' ORDER BY ts;

-- Deep, and many.
CREATE FUNCTION nest(depth int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF depth = 0 THEN RETURN; END IF;
  INSERT INTO f VALUES ('nest', depth, depth, 'down');
  BEGIN
    PERFORM nest(depth - 1);
    IF depth % 10 = 5 THEN RAISE EXCEPTION 'undo %', depth; END IF;
    UPDATE f SET note = 'up' WHERE k = 'nest' AND ts = depth;
  EXCEPTION WHEN raise_exception THEN
    UPDATE f SET note = SQLERRM WHERE k = 'nest' AND ts = depth;
  END;
END $$;
SELECT nest(48);
SELECT ts, note FROM f WHERE k = 'nest' AND note <> 'down' ORDER BY ts;
SELECT count(*) FROM f WHERE k = 'nest';
DO $$
BEGIN
  FOR i IN 1 .. 500 LOOP
    BEGIN
      INSERT INTO f VALUES ('many', i % 50, i, '');
      IF i % 2 = 0 THEN RAISE EXCEPTION ''; END IF;
    EXCEPTION WHEN raise_exception THEN
    END;
  END LOOP;
END $$;
SELECT count(*), min(v), max(v), sum(v) FROM f WHERE k = 'many';

-- Procedures: COMMIT and ROLLBACK in a loop over a cursor of the same table.
INSERT INTO f SELECT 'src', i, i, '' FROM generate_series(1, 30) i;
CREATE PROCEDURE walk() LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT ts, v FROM f WHERE k = 'src' ORDER BY ts LOOP
    INSERT INTO f VALUES ('dst', r.ts, r.v * 10, 'walk');
    UPDATE f SET note = 'seen' WHERE k = 'src' AND ts = r.ts;
    IF r.ts % 4 = 0 THEN
      ROLLBACK;
    ELSIF r.ts % 2 = 0 THEN
      COMMIT;
    END IF;
  END LOOP;
END $$;
CALL walk();
SELECT string_agg(ts::text, ' ' ORDER BY ts) FROM f WHERE k = 'dst';
SELECT string_agg(ts::text, ' ' ORDER BY ts) FROM f WHERE k = 'src' AND note = 'seen';
CREATE PROCEDURE one(x int) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO f VALUES ('proc', x, x, 'before');
  COMMIT;
  INSERT INTO f VALUES ('proc', x + 1, x, 'lost');
  ROLLBACK;
  BEGIN
    INSERT INTO f VALUES ('proc', x + 2, x, 'caught');
    PERFORM 1 / 0;
  EXCEPTION WHEN division_by_zero THEN
    INSERT INTO f VALUES ('proc', x + 3, x, 'handler');
  END;
  COMMIT AND CHAIN;
  INSERT INTO f VALUES ('proc', x + 4, x, 'chain');
END $$;
CALL one(1);
SELECT ts, note FROM f WHERE k = 'proc' ORDER BY ts;
BEGIN;
CALL one(10);
\echo :SQLSTATE
ROLLBACK;
SELECT count(*) FROM f WHERE k = 'proc' AND ts >= 10;

-- A constraint of the heap that is checked at COMMIT takes the rows with it.
CREATE TABLE d (k text PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE p (k text PRIMARY KEY);
CREATE TABLE e (k text REFERENCES p DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO f VALUES ('def', 1, 1, '');
INSERT INTO d VALUES ('x'), ('x');
SELECT count(*) FROM f WHERE k = 'def';
COMMIT;
\echo :SQLSTATE
SELECT count(*) FROM f WHERE k = 'def';
BEGIN;
INSERT INTO e VALUES ('y');
INSERT INTO f VALUES ('def', 2, 2, '');
SAVEPOINT s;
SET CONSTRAINTS ALL IMMEDIATE;
\echo :SQLSTATE
ROLLBACK TO s;
INSERT INTO p VALUES ('y');
COMMIT;
SELECT ts FROM f WHERE k = 'def';
-- A deferred trigger that writes here, at COMMIT.
CREATE FUNCTION d_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO f VALUES ('log', (SELECT count(*) FROM f WHERE k = 'log'), 0, NEW.k);
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER d_log AFTER INSERT ON d DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION d_log();
BEGIN;
INSERT INTO d VALUES ('p'), ('q');
SELECT count(*) FROM f WHERE k = 'log';
COMMIT;
SELECT ts, note FROM f WHERE k = 'log' ORDER BY ts;
BEGIN;
INSERT INTO d VALUES ('r'), ('r');
COMMIT;
SELECT ts, note FROM f WHERE k = 'log' ORDER BY ts;

DROP TABLE d, e, p;
DROP FUNCTION d_log, nest, try, differ;
DROP PROCEDURE walk, one;
DROP SERVER sub CASCADE;
DROP TABLE h;
