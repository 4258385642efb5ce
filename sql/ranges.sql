-- Bounds on keys and times of every type, and many ranges in one scan.
SET timezone = 'UTC';
CREATE SERVER rng FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FUNCTION check_type(type text, vals text, consts text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  op text;
  c text;
  role text;
  p text;
  d bigint;
BEGIN
  FOREACH role IN ARRAY ARRAY['key', 'mid', 'time'] LOOP
    CONTINUE WHEN role = 'time' AND type NOT IN ('bigint', 'timestamptz', 'timestamp', 'date');
    EXECUTE format('CREATE FOREIGN TABLE t (a text, x %s, z int, v int) SERVER rng OPTIONS (key_columns %L %s)',
      type || CASE type WHEN 'text' THEN ' COLLATE "C"' ELSE '' END,
      CASE role WHEN 'key' THEN 'x' WHEN 'mid' THEN 'a,x,z' ELSE 'a' END,
      CASE role WHEN 'time' THEN $x$, time_column 'x'$x$ ELSE '' END);
    EXECUTE format('CREATE TEMP TABLE tt AS SELECT ''a''::text AS a, x::%s, 1 AS z, row_number() OVER ()::int AS v FROM unnest(%s) x',
      type || CASE type WHEN 'text' THEN ' COLLATE "C"' ELSE '' END, vals);
    INSERT INTO t SELECT * FROM tt;
    FOREACH c IN ARRAY string_to_array(consts, ';') LOOP
      FOREACH op IN ARRAY ARRAY['<', '<=', '=', '>=', '>', '= ANY'] LOOP
        p := CASE op WHEN '= ANY' THEN format('x = ANY (ARRAY[%1$s, %1$s])', c) ELSE format('x %s %s', op, c) END;
        EXECUTE format('SELECT count(*) FROM ((SELECT v FROM t WHERE a = ''a'' AND %1$s EXCEPT ALL SELECT v FROM tt WHERE %1$s) '
          'UNION ALL (SELECT v FROM tt WHERE %1$s EXCEPT ALL SELECT v FROM t WHERE a = ''a'' AND %1$s)) d', p) INTO d;
        IF d <> 0 THEN
          RETURN NEXT format('%s %s: %s differs by %s', type, role, p, d);
        END IF;
      END LOOP;
    END LOOP;
    EXECUTE 'SELECT count(*) FROM (SELECT row_number() OVER () AS i, v FROM (SELECT v FROM t ORDER BY a, x, z, v) s) o '
      'JOIN (SELECT row_number() OVER (ORDER BY a, x, z, v) AS i, v FROM tt) e USING (i) WHERE o.v <> e.v' INTO d;
    IF d <> 0 THEN
      RETURN NEXT format('%s %s: order differs', type, role);
    END IF;
    DROP TABLE tt;
    DROP FOREIGN TABLE t;
  END LOOP;
END $$;
SELECT check_type('smallint', 'ARRAY[-32768,-1,0,1,32767]',
  '0;1::int2;-1::int8;40000;-40000;32767;-32768;3000000000');
SELECT check_type('int', 'ARRAY[-2147483648,-1,0,1,2147483647]', '0;1::int2;-1::int8;3000000000;-3000000000;2147483647');
SELECT check_type('bigint', 'ARRAY[-9223372036854775808,-1,0,1,9223372036854775807]', '0;1::int2;9223372036854775807;-9223372036854775807 - 1');
SELECT check_type('bool', 'ARRAY[true,false]', 'true;false');
SELECT check_type('uuid', $$ARRAY['00000000-0000-0000-0000-000000000000'::uuid,'80000000-0000-0000-0000-000000000000','ffffffff-ffff-ffff-ffff-ffffffffffff']$$,
  $$'80000000-0000-0000-0000-000000000000'::uuid;'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid$$);
SELECT check_type('date', $$ARRAY['-infinity'::date,'1900-01-01','2024-01-01','2024-01-02','2024-03-31','infinity']$$,
  $$date '2024-01-01';timestamp '2024-01-01 12:00';timestamptz '2024-01-01';date 'infinity';timestamp '-infinity';date '5874897-12-31'$$);
SELECT check_type('timestamp', $$ARRAY['-infinity'::timestamp,'1900-01-01','2024-01-01','2024-03-31 02:30','2024-10-27 02:30','infinity']$$,
  $$date '2024-01-01';timestamp '2024-03-31 02:30';timestamptz '2024-10-27 02:30';timestamptz 'infinity';timestamp '-infinity'$$);
SELECT check_type('timestamptz', $$ARRAY['-infinity'::timestamptz,'1900-01-01','2024-01-01','2024-03-31 02:30','2024-10-27 02:30','infinity']$$,
  $$date '2024-01-01';timestamp '2024-10-27 02:30';timestamptz '2024-03-31 02:30';date 'infinity';timestamptz '-infinity';date '5874897-12-31'$$);
SET timezone = 'Europe/Berlin';
SELECT check_type('timestamp', $$ARRAY['-infinity'::timestamp,'2024-03-31 01:30','2024-03-31 02:30','2024-03-31 03:30','2024-10-27 02:30','2024-10-27 03:00','infinity']$$,
  $$timestamptz '2024-03-31 02:30';timestamptz '2024-10-27 02:30';timestamptz '2024-10-27 02:30+02';timestamptz '2024-10-27 02:00+01';date '2024-03-31'$$);
SELECT check_type('timestamptz', $$ARRAY['2024-03-31 01:30'::timestamptz,'2024-03-31 03:30','2024-10-27 02:30+02','2024-10-27 02:30+01','infinity']$$,
  $$timestamp '2024-03-31 02:30';timestamp '2024-10-27 02:30';date '2024-10-27'$$);
SET timezone = 'UTC';
SELECT check_type('text', $$ARRAY['','a','ab','b',U&'\00e9']$$, $$'a';'';'ab';repeat('b', 70000)$$);
SELECT check_type('bytea', $$ARRAY['\x'::bytea,'\x00','\x0001','\x01','\xff','\xffff']$$, $$'\x00'::bytea;'\xff'::bytea;'\x'::bytea$$);
DROP FUNCTION check_type;

-- A bytea key has patterns too.
CREATE FOREIGN TABLE b (k bytea, v int) SERVER rng OPTIONS (key_columns 'k');
INSERT INTO b VALUES ('\x61', 1), ('\x6162', 2), ('\x6100', 3), ('\x62', 4);
EXPLAIN (COSTS OFF) SELECT v FROM b WHERE k LIKE 'a%'::bytea;
SELECT v FROM b WHERE k LIKE 'a%'::bytea ORDER BY v;
SELECT v FROM b WHERE k IN ('\x61', '\x62') ORDER BY k DESC;

-- A million combinations take no memory, and as many rows as there are.
CREATE FOREIGN TABLE grid (a int, b int, ts bigint, v int) SERVER rng OPTIONS (key_columns 'a,b', time_column 'ts');
INSERT INTO grid SELECT i, i, i, i FROM generate_series(1, 1000) i;
SELECT count(*), sum(v) FROM grid
  WHERE a = ANY (ARRAY(SELECT generate_series(1, 1000))) AND b = ANY (ARRAY(SELECT generate_series(1, 300)));
SELECT v FROM grid
  WHERE a = ANY (ARRAY(SELECT generate_series(1, 1000))) AND b = ANY (ARRAY(SELECT generate_series(1, 1000)))
  ORDER BY a DESC, b DESC, ts DESC LIMIT 2;
BEGIN;
DECLARE c CURSOR FOR SELECT v FROM grid
  WHERE a = ANY (ARRAY(SELECT generate_series(1, 1000))) AND b = ANY (ARRAY(SELECT generate_series(1, 1000)));
FETCH 1 FROM c;
SELECT total_bytes < 500000 AS small FROM pg_backend_memory_contexts WHERE name = 'FlowDB bounds';
COMMIT;
SET statement_timeout = '50ms';
SELECT count(*) FROM grid WHERE a = ANY (ARRAY(SELECT generate_series(-100000, 0)))
  AND b = ANY (ARRAY(SELECT generate_series(-100000, 0)));
RESET statement_timeout;

-- A value takes no more memory than it needs: some MB, whatever the columns.
CREATE FUNCTION bounds_mb() RETURNS bigint LANGUAGE sql AS
  $$SELECT sum(total_bytes)::bigint >> 20 FROM pg_backend_memory_contexts WHERE name = 'FlowDB bounds'$$;
BEGIN;
DECLARE c CURSOR FOR SELECT v FROM grid WHERE a = ANY (ARRAY(SELECT generate_series(1, 100000))) AND b = 1;
FETCH c;
SELECT bounds_mb() < 12 AS little;
CLOSE c;
DECLARE c CURSOR FOR SELECT v FROM b WHERE k = ANY (ARRAY(SELECT int4send(i) FROM generate_series(1, 100000) i UNION ALL SELECT '\x61'));
FETCH c;
SELECT bounds_mb() < 20 AS little;
COMMIT;
DROP FUNCTION bounds_mb;
DROP SERVER rng CASCADE;
