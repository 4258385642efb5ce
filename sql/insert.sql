-- Writing rows: INSERT in its forms, COPY FROM, constraints, types.
SET timezone = 'UTC';
CREATE SERVER ins FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (
    host text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts timestamptz OPTIONS (role 'time') NOT NULL,
    v int DEFAULT 7 CHECK (v < 1000),
    note text,
    twice int GENERATED ALWAYS AS (v * 2) STORED
) SERVER ins;

INSERT INTO t VALUES ('a', '2024-01-01', 1, 'one');
INSERT INTO t (host, ts) VALUES ('a', '2024-01-02'), ('b', '2024-01-01');
INSERT INTO t (host, ts, v) SELECT 'c', '2024-01-01'::timestamptz + i * interval '1 s', i
  FROM generate_series(1, 250) i;
SELECT * FROM t WHERE host < 'c' ORDER BY host, ts;
SELECT count(*), min(ts), max(ts), sum(v), sum(twice) FROM t WHERE host = 'c';

-- One (key, time) is one row: the last write wins.
INSERT INTO t VALUES ('a', '2024-01-01', 2, 'two');
INSERT INTO t VALUES ('a', '2024-01-01', 3, 'three'), ('a', '2024-01-01', 4, 'four');
SELECT * FROM t WHERE host = 'a' ORDER BY ts;

-- RETURNING, triggers, WITH, views.
INSERT INTO t (host, ts) VALUES ('r', '2024-01-01'), ('r', '2024-01-02') RETURNING host, ts, v, twice;
WITH new AS (INSERT INTO t VALUES ('w', '2024-01-01', 5) RETURNING *)
SELECT host, twice FROM new;
CREATE FUNCTION upper_note() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.note := upper(NEW.note); RETURN NEW; END $$;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE NOTICE '% % % %', TG_WHEN, TG_LEVEL, NEW.host, NEW.note; RETURN NULL; END $$;
CREATE TRIGGER before BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION upper_note();
CREATE TRIGGER after AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell();
INSERT INTO t VALUES ('x', '2024-01-01', 5, 'abc'), ('x', '2024-01-02', 6, 'def');
DROP TRIGGER before ON t;
DROP TRIGGER after ON t;
SELECT * FROM t WHERE host = 'x' ORDER BY ts;
CREATE VIEW small AS SELECT host, ts, v FROM t WHERE v < 10 WITH CHECK OPTION;
INSERT INTO small VALUES ('view', '2024-01-01', 9);
INSERT INTO small VALUES ('view', '2024-01-02', 10);
\echo :SQLSTATE
SELECT count(*) FROM small WHERE host = 'view';

-- Constraints are enforced, in single rows, batches and COPY.
INSERT INTO t VALUES (NULL, '2024-01-01');
\echo :SQLSTATE
INSERT INTO t VALUES ('a', NULL);
INSERT INTO t VALUES ('a', '2024-01-03', 1000);
\echo :SQLSTATE
INSERT INTO t SELECT 'bad', '2024-01-01'::timestamptz + i * interval '1 s', i
  FROM generate_series(900, 1100) i;
COPY t (host, ts, v) FROM stdin;
bad	2024-01-01	1
bad	2024-01-02	1001
\.
SELECT count(*) FROM t WHERE host = 'bad';
INSERT INTO t VALUES ('a', '294270-01-01');
\echo :SQLSTATE
INSERT INTO t VALUES ('inf', 'infinity'), ('inf', '-infinity'), ('inf', '4713-01-01 BC'), ('inf', '294246-01-01');
SELECT host, ts FROM t WHERE host = 'inf' ORDER BY ts;
SELECT host, ts FROM t WHERE host = 'inf' AND ts > '294270-01-01';
SELECT host, ts FROM t WHERE host = 'inf' AND ts <= '294270-01-01' ORDER BY ts;
SELECT host, ts FROM t WHERE host = 'inf' AND ts < 'infinity' AND ts > '-infinity' ORDER BY ts;

-- Key and time are never NULL, whatever the table says.
CREATE FOREIGN TABLE lax (key text, ts bigint, v int) SERVER ins;
INSERT INTO lax VALUES (NULL, 1, 1);
\echo :SQLSTATE
INSERT INTO lax VALUES ('a', NULL, 1);
INSERT INTO lax (ts) VALUES (1);
INSERT INTO lax VALUES ('', 1, 1), (repeat('k', 65535), 1, 2);
INSERT INTO lax VALUES (repeat('k', 65536), 1, 3);
\echo :SQLSTATE
SELECT length(key), ts, v FROM lax ORDER BY key;
SELECT v FROM lax WHERE key = repeat('k', 65535);
SELECT v FROM lax WHERE key = repeat('k', 65536);
SELECT v FROM lax WHERE key < repeat('k', 65536) COLLATE "C" ORDER BY v;
SELECT v FROM lax WHERE key > repeat('k', 65536) COLLATE "C";

-- COPY, with columns left out, and into a partitioned table.
COPY t (host, ts, v, note) FROM stdin (FORMAT csv);
copy,2024-01-01,1,"a,b"
copy,2024-01-02,,
copy,2024-01-03,3,
\.
COPY t (host, ts) FROM stdin WHERE ts > '2024-01-04';
copy	2024-01-04
copy	2024-01-05
\.
SELECT * FROM t WHERE host = 'copy' ORDER BY ts;
CREATE TABLE parted (host text COLLATE "C" NOT NULL, ts timestamptz NOT NULL, v int)
  PARTITION BY RANGE (ts);
CREATE FOREIGN TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')
  SERVER ins OPTIONS (key_columns 'host', time_column 'ts');
CREATE FOREIGN TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')
  SERVER ins OPTIONS (key_columns 'host', time_column 'ts');
COPY parted FROM stdin;
a	2024-01-05	1
a	2024-02-05	2
\.
INSERT INTO parted SELECT 'b', '2024-01-20'::timestamptz + i * interval '1 day', i
  FROM generate_series(0, 19) i;
SELECT tableoid::regclass, count(*), sum(v) FROM parted GROUP BY 1 ORDER BY 1;
INSERT INTO parted VALUES ('a', '2024-03-05', 3);
\echo :SQLSTATE
INSERT INTO parted_1 VALUES ('a', '2024-02-10', 3);
\echo :SQLSTATE
COPY parted_1 FROM stdin;
a	2024-02-11	3
\.
INSERT INTO parted VALUES ('a', '2024-01-05', 9) ON CONFLICT DO NOTHING;
SELECT * FROM parted WHERE host = 'a' ORDER BY ts;
EXPLAIN (COSTS OFF) SELECT * FROM parted WHERE host = 'a' AND ts = '2024-02-05';

-- Values of any type.
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN posint AS int CHECK (value > 0);
CREATE FOREIGN TABLE types (
    id text OPTIONS (role 'key') COLLATE "C",
    b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric,
    c char(3), vc varchar(5), tx text, nm name, by bytea, ch "char",
    d date, t time, tz timetz, ts timestamp, tstz timestamptz, iv interval,
    u uuid, ip inet, p point, j json, jb jsonb, ia int[], ta text[][], m mood, pr pair,
    po posint, r int4range, ov oidvector, bits varbit, x xml, tsv tsvector, tsq tsquery
) SERVER ins;
CREATE TABLE types_heap (LIKE types);
INSERT INTO types_heap VALUES ('1', true, -2, 3, 1::int8 << 40, 1.5, -2.25, 123.4500,
    'ab', 'vwxyz', 'text', 'name', '\xdeadbeef', 'c', '2024-02-29', '12:34:56.789',
    '12:34:56+02', '2024-02-29 12:00', '2024-02-29 12:00+00', '1 year 2 mons 3 days 04:05:06',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.1.2.0/24', '(1.5,-2)', '{"a": 1}',
    '{"a": [1, 2, {"b": null}]}', '{1,NULL,3}', '{{a,b},{c,d}}', 'happy', '(1,"x y")',
    5, '[1,10)', '1 2 3', '10101', '<a/>', 'a:1 b:2', 'a & b');
INSERT INTO types_heap (id) VALUES ('null');
INSERT INTO types_heap (id, b, u, tx, ia, pr) VALUES
    ('long', false, NULL, repeat('long ', 10000), array_fill(7, ARRAY[5000]), ROW(1, repeat('y', 5000))),
    ('126', NULL, NULL, repeat('s', 126), NULL, NULL), ('127', NULL, NULL, repeat('s', 127), '{}', NULL),
    ('empty', NULL, NULL, '', '{}', ROW(NULL, NULL));
INSERT INTO types SELECT * FROM types_heap;
\x on
SELECT * FROM types WHERE id = '1';
\x off
SELECT id, length(tx), array_length(ia, 1), (pr).a, length((pr).b), b FROM types ORDER BY id;
SELECT count(*) FROM types f JOIN types_heap h USING (id) WHERE (f.*)::text = (h.*)::text;
SELECT flowdb_flush('ins');
SELECT count(*) FROM types f JOIN types_heap h USING (id) WHERE (f.*)::text = (h.*)::text;
SELECT ov[1], p[0], u, r @> 5 AS r, tsv @@ tsq AS match FROM types WHERE id = '1';

-- A row has at most 16 MiB.
INSERT INTO types (id, tx) VALUES ('big', repeat('x', 16 * 1024 * 1024 - 20));
SELECT id, length(tx) FROM types WHERE id = 'big';
INSERT INTO types (id, tx) VALUES ('bigger', repeat('x', 16 * 1024 * 1024));
\echo :SQLSTATE

-- Several key columns, with what needs escaping.
CREATE FOREIGN TABLE multi (a bytea, b text COLLATE "C", ts bigint, v int) SERVER ins
  OPTIONS (key_columns 'a,b', time_column 'ts');
INSERT INTO multi VALUES ('\x', '', 1, 1), ('\x00', '', 1, 2), ('\x0001', 'x', 1, 3), ('\x00ff', 'x', 1, 4),
  ('\x01', 'x', 1, 5), ('\xff', 'y', 1, 6), ('\xffff', '', 1, 7), ('\x', 'b', 1, 8), ('\x00', 'b', 1, 9);
SELECT * FROM multi ORDER BY a, b;
EXPLAIN (COSTS OFF) SELECT * FROM multi ORDER BY a, b;
SELECT v FROM multi WHERE a = '\x00';
SELECT v FROM multi WHERE a = '\x00' AND b > '';
SELECT v FROM multi WHERE a > '\x00' ORDER BY v;
SELECT v FROM multi WHERE a >= '\x00' AND a < '\xff' ORDER BY v;
SELECT v FROM multi WHERE a <= '\x00' ORDER BY v;
SELECT v FROM multi WHERE a = '\x' AND b ^@ 'b';
INSERT INTO multi VALUES ('\x61', NULL, 1, 1);
DROP SERVER ins CASCADE;
