-- COPY: formats, options, errors half-way, partitions, and out again.
SET timezone = 'UTC';
CREATE SERVER cp FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (k text COLLATE "C" NOT NULL, ts timestamptz NOT NULL, v int DEFAULT 7 CHECK (v < 1000),
    note text, twice int GENERATED ALWAYS AS (v * 2) STORED)
  SERVER cp OPTIONS (key_columns 'k', time_column 'ts');

-- Text: escapes, NULLs, defaults, columns in any order.
COPY t FROM stdin;
a	2024-01-01	1	one
a	2024-01-02	\N	\N
a\tb	2024-01-01 12:00+01	3	back\\slash\nnew line\x41
	2024-01-01	4	the key is empty
\.
COPY t (note, ts, k) FROM stdin;
default	2024-01-03	a
\.
SELECT * FROM t ORDER BY k, ts;
COPY t (k, ts, v) FROM stdin WITH (DELIMITER '|', NULL 'none');
d|2024-01-01|none
d|2024-01-02|5
\.
SELECT k, v, note FROM t WHERE k = 'd' ORDER BY ts;

-- CSV: quotes, header, empty and NULL.
COPY t (k, ts, note) FROM stdin WITH (FORMAT csv, HEADER);
key,time,"note, as it is"
csv,2024-01-01,"quoted ""word"", and
a second line"
csv,2024-01-02,
csv,2024-01-03,""
\.
COPY t (k, ts, note) FROM stdin WITH (FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\', NULL 'NIL',
  FORCE_NULL (note));
csv;2024-01-04;'it\'s'
csv;2024-01-05;'NIL'
\.
COPY t (k, ts, note) FROM stdin WITH (FORMAT csv, HEADER match);
k,ts,remark
\.
COPY t (k, ts, note) FROM stdin WITH (FORMAT csv, FORCE_NOT_NULL (note), ENCODING 'latin1');
csv,2024-01-06,
\.
SELECT ts, note, note IS NULL AS is_null FROM t WHERE k = 'csv' ORDER BY ts;

-- WHERE, and what is not for the rows.
COPY t (k, ts, v) FROM stdin WHERE v % 2 = 0 AND k <> 'x';
w	2024-01-01	1
w	2024-01-02	2
x	2024-01-03	2
\.
SELECT k, v FROM t WHERE k IN ('w', 'x');
DO $$ BEGIN
  COPY t FROM '/dev/null' WITH (FREEZE);
EXCEPTION WHEN object_not_in_prerequisite_state OR feature_not_supported THEN
  RAISE NOTICE 'COPY FREEZE is refused'; -- by core, in words of each version
END $$;
\copy t (twice) FROM /dev/null
\copy t (nope) FROM /dev/null

-- Out: a query. The table itself is not for COPY TO.
COPY t TO stdout;
\echo :SQLSTATE
COPY (SELECT k, ts, v, note FROM t WHERE k < 'b' ORDER BY k, ts) TO stdout;
COPY (SELECT k, ts, v, note FROM t WHERE k < 'b' ORDER BY k, ts) TO stdout WITH (FORMAT csv, HEADER, FORCE_QUOTE *);
COPY (INSERT INTO t (k, ts, v) VALUES ('ret', '2024-01-01', 1), ('ret', '2024-01-02', 2) RETURNING k, v, twice) TO stdout;

-- Binary, out and in again.
SELECT setting || '/flowdb_regress_copy.bin' AS file FROM pg_settings WHERE name = 'data_directory' \gset
COPY (SELECT 'bin', ts + i * interval '1 us', i, repeat('x', i) FROM (SELECT min(ts) FROM t) m(ts), generate_series(1, 999) i)
  TO :'file' WITH (FORMAT binary);
COPY t FROM :'file' WITH (FORMAT binary);
SELECT count(*), sum(v), sum(length(note)), sum(twice), min(ts), max(ts) FROM t WHERE k = 'bin';
COPY t (k, v) FROM :'file' WITH (FORMAT binary);
\echo :SQLSTATE

-- An error half-way: nothing of it is there, however much had gone in.
COPY t (k, ts, v) FROM stdin;
bad	2024-01-01	1
bad	2024-01-02	2
bad	2024-01-03	three
\.
COPY t (k, ts, v) FROM stdin;
bad	2024-01-01	1
bad	2024-01-02	1000
\.
COPY t (k, ts, v) FROM stdin;
bad	2024-01-01	1
bad	\N	2
\.
COPY t (k, ts, v) FROM stdin;
bad	2024-01-01	1
bad	294277-01-01	2
\.
COPY t (k, ts, v) FROM stdin;
bad	2024-01-01	1
bad	2024-01-02
\.
SET flowdb.transaction_buffer = '64kB';
COPY (SELECT 'bad' || i % 7, '2024-01-01'::timestamptz + i * interval '1 s', CASE WHEN i = 20000 THEN 1000 ELSE 1 END,
  repeat('y', 20) FROM generate_series(1, 20000) i) TO :'file';
COPY t FROM :'file';
\echo :SQLSTATE
SELECT count(*) FROM t WHERE k LIKE 'bad%';
BEGIN;
INSERT INTO t VALUES ('before', '2024-01-01', 1);
SAVEPOINT s;
COPY t FROM :'file';
ROLLBACK TO s;
SELECT count(*) FROM t WHERE k LIKE 'bad%';
COPY (SELECT 'good' || i % 7, '2024-01-01'::timestamptz + i * interval '1 s', 1, repeat('y', 20)
  FROM generate_series(1, 20000) i) TO :'file';
COPY t FROM :'file';
SELECT count(*), sum(v) FROM t WHERE k LIKE 'good%';
COMMIT;
SELECT k LIKE 'good%' AS good, count(*) FROM t WHERE k LIKE 'good%' OR k = 'before' GROUP BY 1 ORDER BY 1;
RESET flowdb.transaction_buffer;

-- The same key and time twice: the last line counts.
COPY t (k, ts, v) FROM stdin;
twice	2024-01-01	1
twice	2024-01-01	2
twice	2024-01-02	3
twice	2024-01-01	4
\.
SELECT ts, v FROM t WHERE k = 'twice' ORDER BY ts;

-- Or the first one, or none at all, as the table wishes.
ALTER FOREIGN TABLE t OPTIONS (ADD on_duplicate 'ignore');
COPY t (k, ts, v) FROM stdin;
twice	2024-01-01	5
twice	2024-01-03	6
twice	2024-01-03	7
\.
SELECT ts, v FROM t WHERE k = 'twice' ORDER BY ts;
ALTER FOREIGN TABLE t OPTIONS (SET on_duplicate 'error');
COPY t (k, ts, v) FROM stdin;
twice	2024-01-04	8
twice	2024-01-03	9
\.
COPY t (k, ts, v) FROM stdin;
twice	2024-01-05	8
twice	2024-01-05	9
\.
COPY t (k, ts, v) FROM stdin;
twice	2024-01-06	10
\.
SELECT ts, v FROM t WHERE k = 'twice' ORDER BY ts;
ALTER FOREIGN TABLE t OPTIONS (DROP on_duplicate);

-- Triggers of the rows, and of the statement.
CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_LEVEL = 'STATEMENT' THEN
    RAISE NOTICE '% %', TG_WHEN, TG_OP;
    RETURN NULL;
  END IF;
  IF NEW.v = 13 THEN RETURN NULL; END IF;
  NEW.note := 'by trigger';
  RETURN NEW;
END $$;
CREATE TRIGGER tg_row BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tg();
CREATE TRIGGER tg_stmt AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION tg();
COPY t (k, ts, v) FROM stdin;
trig	2024-01-01	12
trig	2024-01-01 01:00	13
trig	2024-01-02	14
\.
SELECT v, note, twice FROM t WHERE k = 'trig' ORDER BY v;
DROP TRIGGER tg_row ON t;
DROP TRIGGER tg_stmt ON t;
DROP FUNCTION tg;

-- Partitions: FlowDB beside a heap, other columns' order.
CREATE TABLE p (k text COLLATE "C" NOT NULL, ts bigint NOT NULL, v int) PARTITION BY RANGE (ts);
CREATE TABLE p_heap PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE FOREIGN TABLE p_flow PARTITION OF p FOR VALUES FROM (100) TO (200) SERVER cp
  OPTIONS (key_columns 'k', time_column 'ts');
CREATE FOREIGN TABLE p_other (v int, junk text, ts bigint NOT NULL, k text COLLATE "C" NOT NULL) SERVER cp
  OPTIONS (key_columns 'k', time_column 'ts');
ALTER FOREIGN TABLE p_other DROP COLUMN junk;
ALTER TABLE p ATTACH PARTITION p_other FOR VALUES FROM (200) TO (300);
COPY p FROM stdin;
a	50	1
a	150	2
a	250	3
b	250	4
b	150	5
b	50	6
\.
SELECT tableoid::regclass, * FROM p ORDER BY k, ts;
COPY p FROM stdin;
c	50	1
c	150	2
c	250	3
c	350	4
\.
COPY p_flow FROM stdin;
c	150	2
c	250	2
\.
SELECT count(*) FROM p WHERE k = 'c';
COPY (SELECT 'many', i, i FROM generate_series(0, 299) i ORDER BY i % 7, i) TO :'file';
COPY p FROM :'file';
SELECT tableoid::regclass, count(*), sum(v) FROM p WHERE k = 'many' GROUP BY 1 ORDER BY 1;
COPY (SELECT * FROM p WHERE k = 'a' ORDER BY ts) TO stdout;

COPY (SELECT) TO :'file';
DROP TABLE p;
DROP SERVER cp CASCADE;
