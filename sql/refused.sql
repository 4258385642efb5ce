-- What PostgreSQL itself bars on every foreign table, each with its SQLSTATE,
-- and right behind it the way round that works.  The README has the list.
CREATE SERVER ref FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int, note text) SERVER ref
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE h (k text COLLATE "C", ts bigint, v int, note text);
INSERT INTO t VALUES ('a', 1, 1, 'one'), ('a', 2, 2, 'two'), ('b', 1, 3, 'three');
INSERT INTO h VALUES ('a', 1, 10, 'ten'), ('c', 1, 30, 'thirty');
\set VERBOSITY sqlstate

-- Keys and unique constraints: the roles are the key; one row a (key, time).
CREATE FOREIGN TABLE bad (k text PRIMARY KEY, ts bigint) SERVER ref;
CREATE FOREIGN TABLE bad (k text UNIQUE, ts bigint) SERVER ref;
CREATE FOREIGN TABLE bad (k text, ts bigint, PRIMARY KEY (k, ts)) SERVER ref;
CREATE FOREIGN TABLE bad (k text, EXCLUDE (k WITH =)) SERVER ref;
ALTER FOREIGN TABLE t ADD PRIMARY KEY (k, ts);
ALTER FOREIGN TABLE t ADD UNIQUE (v);
INSERT INTO t VALUES ('a', 1, 1, 'one');
SELECT count(*) FROM t;

-- Foreign keys, to it and from it: a trigger that looks.
CREATE FOREIGN TABLE bad (k text REFERENCES pg_class, ts bigint) SERVER ref;
CREATE TABLE bad (k text REFERENCES t);
ALTER FOREIGN TABLE t ADD FOREIGN KEY (v) REFERENCES h;
CREATE FUNCTION must_be_there() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM h WHERE h.k = NEW.k) THEN
    RAISE foreign_key_violation;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER must_be_there BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION must_be_there();
INSERT INTO t VALUES ('nope', 1);
INSERT INTO t VALUES ('c', 1, 30, 'thirty');
DROP TRIGGER must_be_there ON t;

-- Indexes: by key and time it is sorted already; a second table for another order.
CREATE INDEX ON t (v);
CREATE UNIQUE INDEX ON t (k, ts);
REINDEX TABLE t;
CLUSTER t USING t_pkey;
CREATE FOREIGN TABLE t_by_v (v bigint, k text COLLATE "C", ts bigint) SERVER ref OPTIONS (key_columns 'v,k', time_column 'ts');
CREATE FUNCTION keep_by_v() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO t_by_v VALUES (NEW.v, NEW.k, NEW.ts);
  RETURN NULL;
END $$;
CREATE TRIGGER keep_by_v AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION keep_by_v();
INSERT INTO t VALUES ('i', 1, 77);
SELECT * FROM t_by_v WHERE v = 77;
DROP TRIGGER keep_by_v ON t;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM t;
CREATE INDEX ON mv (v);
DROP MATERIALIZED VIEW mv;
CREATE STATISTICS st ON k, v FROM t;

-- ON CONFLICT with a target: a plain INSERT is that update; without a target it works.
INSERT INTO t VALUES ('a', 1, 5) ON CONFLICT (k, ts) DO NOTHING;
INSERT INTO t VALUES ('a', 1, 5) ON CONFLICT (k, ts) DO UPDATE SET v = excluded.v;
INSERT INTO t VALUES ('a', 1, 5) ON CONFLICT ON CONSTRAINT t_pkey DO NOTHING;
INSERT INTO t VALUES ('a', 1, 5, 'kept out') ON CONFLICT DO NOTHING;
SELECT v, note FROM t WHERE k = 'a' AND ts = 1;
INSERT INTO t VALUES ('a', 1, 5, 'replaced');
SELECT v, note FROM t WHERE k = 'a' AND ts = 1;
INSERT INTO t SELECT n.k, n.ts, n.v + coalesce(o.v, 0), n.note
  FROM (VALUES ('a', 1::bigint, 100, 'added'), ('a', 9, 100, 'added')) n(k, ts, v, note) LEFT JOIN t o USING (k, ts);
SELECT * FROM t WHERE k = 'a' ORDER BY ts;

-- MERGE: an UPDATE and an INSERT, or the INSERT alone.
MERGE INTO t USING h ON t.k = h.k AND t.ts = h.ts
  WHEN MATCHED THEN UPDATE SET v = h.v WHEN NOT MATCHED THEN INSERT VALUES (h.k, h.ts, h.v);
WITH u AS (UPDATE t SET v = h.v FROM h WHERE t.k = h.k AND t.ts = h.ts RETURNING t.k, t.ts)
  INSERT INTO t SELECT * FROM h WHERE (k, ts) NOT IN (SELECT k, ts FROM u);
SELECT * FROM t WHERE (k, ts) IN (SELECT k, ts FROM h) ORDER BY k;
MERGE INTO h USING t ON t.k = h.k AND t.ts = h.ts WHEN MATCHED THEN UPDATE SET note = 'merged';
SELECT * FROM h ORDER BY k;

-- COPY TO: of a query.
COPY t TO stdout;
COPY t (k) TO stdout;
COPY (SELECT k, ts FROM t WHERE k = 'b') TO stdout;

-- LOCK TABLE: an advisory lock, a table beside it, or the rows.
BEGIN;
LOCK TABLE t IN EXCLUSIVE MODE;
ROLLBACK;
BEGIN;
SELECT pg_advisory_xact_lock('t'::regclass::oid::bigint);
LOCK TABLE h IN EXCLUSIVE MODE;
SELECT k, ts FROM t WHERE k = 'b' FOR UPDATE;
COMMIT;

-- WHERE CURRENT OF: the key and the time of the row.
BEGIN;
DECLARE c CURSOR FOR SELECT k, ts FROM t WHERE k = 'b';
FETCH 1 FROM c;
UPDATE t SET v = 0 WHERE CURRENT OF c;
ROLLBACK;
UPDATE t SET v = 33 WHERE k = 'b' AND ts = 1 RETURNING *;

-- Row-level security: a view with a security barrier.
ALTER FOREIGN TABLE t ENABLE ROW LEVEL SECURITY;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t USING (k = current_user);
CREATE VIEW mine WITH (security_barrier) AS SELECT * FROM t WHERE k = 'b' WITH CHECK OPTION;
SELECT * FROM mine;
UPDATE mine SET k = 'c';
INSERT INTO mine VALUES ('c', 5, 5);
DELETE FROM mine WHERE k = 'a';
DROP VIEW mine;

-- Publications: of a heap table that a trigger fills; all tables leaves it out.
CREATE PUBLICATION pub FOR TABLE t;
CREATE TABLE outbox (LIKE t);
CREATE FUNCTION keep_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO outbox VALUES (NEW.*);
  RETURN NULL;
END $$;
CREATE TRIGGER keep_outbox AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION keep_outbox();
INSERT INTO t VALUES ('pub', 1, 1);
SELECT * FROM outbox;
DROP TRIGGER keep_outbox ON t;

-- Triggers: no constraint triggers, no transition tables.
CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE CONSTRAINT TRIGGER bad AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tg();
CREATE TRIGGER bad AFTER INSERT ON t REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION tg();
CREATE TRIGGER bad INSTEAD OF INSERT ON t FOR EACH ROW EXECUTE FUNCTION tg();
CREATE TRIGGER good BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION tg();
CREATE TRIGGER good2 AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION tg();
WITH n AS (INSERT INTO t VALUES ('tr', 1, 1), ('tr', 2, 2) RETURNING *) SELECT sum(v) FROM n;
DROP TRIGGER good ON t;
DROP TRIGGER good2 ON t;

-- VACUUM skips it, which has its own; ANALYZE works.
\set VERBOSITY terse
VACUUM t;
SELECT flowdb_compact('ref', NULL) IS NOT NULL AS compact;
\set VERBOSITY sqlstate

-- System columns: there are none but tableoid.
SELECT ctid FROM t;
SELECT xmin, cmax FROM t;
SELECT k, ts FROM t WHERE ctid = '(0,1)';
SELECT tableoid::regclass, k, ts FROM t WHERE k = 'b';
SELECT * FROM t TABLESAMPLE SYSTEM (10);
SELECT count(*) >= 0 AS sample FROM t WHERE random() < 0.5;

-- Storage, inheritance and the rest of the table's DDL.
ALTER FOREIGN TABLE t SET TABLESPACE pg_default;
ALTER FOREIGN TABLE t SET (fillfactor = 50);
ALTER FOREIGN TABLE t SET LOGGED;
ALTER FOREIGN TABLE t REPLICA IDENTITY FULL;
ALTER FOREIGN TABLE t ALTER v ADD GENERATED ALWAYS AS IDENTITY;
CREATE SEQUENCE seq;
ALTER FOREIGN TABLE t ALTER v SET DEFAULT nextval('seq');
INSERT INTO t (k, ts) VALUES ('seq', 1) RETURNING v;
ALTER FOREIGN TABLE t ALTER v DROP DEFAULT;
CREATE TEMP FOREIGN TABLE bad (k text) SERVER ref;
CREATE UNLOGGED FOREIGN TABLE bad (k text) SERVER ref;
CREATE FOREIGN TABLE bad (k text) PARTITION BY LIST (k) SERVER ref;
CREATE TABLE part (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int) PARTITION BY LIST (k);
CREATE FOREIGN TABLE part_a PARTITION OF part FOR VALUES IN ('a') SERVER ref OPTIONS (key_columns 'k', time_column 'ts');
INSERT INTO part VALUES ('a', 1, 1);
SELECT * FROM part;
-- An UPDATE does not take a row out of a foreign partition: DELETE and INSERT do.
CREATE TABLE part_b PARTITION OF part FOR VALUES IN ('b');
UPDATE part SET k = 'b' WHERE k = 'a';
WITH d AS (DELETE FROM part WHERE k = 'a' RETURNING *) INSERT INTO part SELECT 'b', ts, v FROM d;
SELECT tableoid::regclass, * FROM part;
INSERT INTO part VALUES ('a', 1, 1);
-- A partitioned table with a foreign partition has no unique index.
CREATE UNIQUE INDEX ON part (k, ts);
CREATE INDEX ON part (k);
INSERT INTO part VALUES ('a', 1, 2) ON CONFLICT DO NOTHING;
SELECT * FROM part WHERE k = 'a';

-- SERIALIZABLE; REPEATABLE READ has snapshots, and 40001 where two
-- write the same row.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM t;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 AS rows FROM t;
COMMIT;
-- Two-phase commit of what writes: commit both ends by hand; reading is fine.
BEGIN;
INSERT INTO t VALUES ('2pc', 1, 1);
PREPARE TRANSACTION 'flowdb_refused';
ROLLBACK;
BEGIN;
SELECT count(*) FROM t WHERE k = '2pc';
PREPARE TRANSACTION 'flowdb_refused';
ROLLBACK PREPARED 'flowdb_refused';

\set VERBOSITY default
DROP TABLE part, h, outbox;
DROP FUNCTION must_be_there, keep_by_v, keep_outbox, tg;
DROP SERVER ref CASCADE;
DROP SEQUENCE seq;
