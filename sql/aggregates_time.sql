-- Buckets of time in the engine: all units in zones of every kind, beside a
-- heap twin.
SET timezone = 'UTC';
CREATE SERVER aggt FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE fz (k int, ts timestamptz, v int) SERVER aggt OPTIONS (key_columns 'k', time_column 'ts', store 'z');
CREATE FOREIGN TABLE fw (k int, ts timestamp, v int) SERVER aggt OPTIONS (key_columns 'k', time_column 'ts', store 'w');
CREATE TABLE hz (LIKE fz);
CREATE TABLE hw (LIKE fw);

-- Times near clock changes of many zones (St. John's at one minute past
-- midnight, Lord Howe by half an hour, Apia and Kwajalein lost a day, Amsterdam
-- by seconds, Monrovia and Kathmandu by odd minutes), and between these.
CREATE TABLE changes (at timestamptz);
INSERT INTO changes VALUES ('1883-11-18 17:00'), ('1895-01-01 00:00'), ('1919-03-31 03:00'), ('1937-06-30 22:40'), ('1940-05-15 22:40'),
  ('1969-10-01 12:00'), ('1972-01-07 00:44'), ('1986-01-01 00:00'), ('1988-10-30 02:31'), ('1993-08-21 12:00'), ('1985-10-26 15:00'),
  ('2006-10-29 02:31'), ('2007-03-11 03:31'), ('2007-03-11 07:00'), ('2011-11-06 02:31'), ('2011-12-30 10:00'), ('2016-10-30 01:00'),
  ('2023-03-12 07:00'), ('2023-04-01 15:00'), ('2023-09-30 15:30'), ('2023-10-29 01:00'), ('2024-03-31 01:00'), ('2037-03-29 01:00'),
  ('2038-01-19 03:14:07'), ('2087-04-13 03:00'), ('0099-12-31'), ('2000-12-31 23:59:59.999999'), ('1999-12-31 12:00'), ('2400-01-01 BC');
INSERT INTO hz
  SELECT i % 5, at + (i - 40) * interval '83 min 17.000123 sec', i FROM changes, generate_series(0, 79) i UNION ALL
  SELECT i % 5, at + (i - 40) * interval '30.5 sec', i FROM changes, generate_series(0, 79) i UNION ALL
  SELECT i % 5, '1850-01-01'::timestamptz + i * interval '47 days 5:07:11', i FROM generate_series(1, 2000) i UNION ALL
  SELECT 1, 'infinity', 1 UNION ALL SELECT 2, '-infinity', 2;
DELETE FROM hz a USING hz b WHERE (a.k, a.ts) = (b.k, b.ts) AND a.ctid > b.ctid;
INSERT INTO hw SELECT k, ts AT TIME ZONE 'UTC', v FROM hz;
INSERT INTO fz SELECT * FROM hz;
INSERT INTO fw SELECT * FROM hw;

CREATE FUNCTION differ(what text, tables text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  query text := 'SELECT ' || what || ', count(*), sum(v), min(ts) FROM %s GROUP BY ' || what;
  line text;
BEGIN
  EXECUTE 'EXPLAIN (COSTS OFF) ' || format(query, 'f' || tables) INTO line;
  IF line !~ 'Foreign Scan' THEN
    RAISE WARNING 'not in the engine: %', what;
  END IF;
  RETURN (SELECT c.differ FROM compare_queries(format(query, 'f' || tables), format(query, 'h' || tables)) c);
END $$;

CREATE TABLE zones (zone text);
INSERT INTO zones VALUES ('UTC'), ('America/New_York'), ('America/St_Johns'), ('Australia/Lord_Howe'), ('Pacific/Apia'), ('Pacific/Kwajalein'),
  ('Europe/Amsterdam'), ('Africa/Monrovia'), ('Asia/Kathmandu'), ('Europe/London'), ('-03:30'), ('FOO4:17BAR3:02,M3.2.0/2:13,M11.1.0/0:07');
CREATE TABLE units (unit text);
INSERT INTO units VALUES ('microseconds'), ('milliseconds'), ('second'), ('minute'), ('HOUR'), ('hours'), ('day'), ('week'), ('month'), ('qtr'),
  ('year'), ('decade'), ('century'), ('millennium');
DO $$
DECLARE
  z text;
  u text;
  n int;
BEGIN
  FOR z IN TABLE zones LOOP
    EXECUTE format('SET timezone = %L', z);
    FOR u IN SELECT unit FROM units WHERE unit !~ '(seconds|hours|qtr)' LOOP
      n := differ(format('k, date_trunc(%L, ts)', u), 'z');
      IF n > 0 THEN
        RAISE WARNING '% in %: % differ', u, z, n;
      END IF;
    END LOOP;
  END LOOP;
END $$;
SET timezone = 'America/St_Johns';
SELECT unit, differ(format('date_trunc(%L, ts)', unit), 'z') AS tz, differ(format('date_trunc(%L, ts)', unit), 'w') AS plain,
  differ(format('k, date_trunc(%L, ts)', unit), 'w') AS by_key FROM units;
CREATE TABLE strides (stride text);
INSERT INTO strides VALUES ('1 microsecond'), ('7 ms'), ('1 sec'), ('13 min 0.5 sec'), ('1 hour'), ('25 hours'), ('1 day'), ('7 days'),
  ('10000 days'), ('2 days -1 hour'), ('100000 days');
SELECT stride, differ(format('flowdb_time_bucket(%L, ts)', stride), 'z') AS tz, differ(format('k, flowdb_time_bucket(%L, ts)', stride), 'w') AS plain
  FROM strides;
SELECT stride, origin, differ(format('date_bin(%L, ts, %L)', stride, origin), 'z') AS tz,
  differ(format('k, date_bin(%L, ts, %L)', stride, origin), 'w') AS plain
  FROM strides, (VALUES ('2001-01-01'), ('1700-05-07 03:04:05'), ('3000-01-01')) o(origin)
  WHERE stride NOT LIKE '%0000 days';

-- A cursor has the time zone in which it was fetched from first, for keys that
-- it comes to later too.
CREATE FOREIGN TABLE fc (k int, ts timestamptz) SERVER aggt OPTIONS (key_columns 'k', time_column 'ts', store 'c');
INSERT INTO fc SELECT k, '2024-01-01 00:00+00'::timestamptz + i * interval '6 hours' FROM generate_series(1, 3) k, generate_series(0, 7) i;
BEGIN;
SET LOCAL timezone = 'America/New_York';
DECLARE c CURSOR FOR SELECT k, date_trunc('day', ts) AT TIME ZONE 'UTC' AS day, count(*) FROM fc GROUP BY k, date_trunc('day', ts);
FETCH 1 FROM c;
SET LOCAL timezone = 'Asia/Kathmandu';
FETCH 4 FROM c;
SET LOCAL timezone = 'UTC';
FETCH ALL FROM c;
ROLLBACK;

-- Dates and numbers have only flowdb_time_bucket.
CREATE FOREIGN TABLE fd (k int, ts date, v int) SERVER aggt OPTIONS (key_columns 'k', time_column 'ts', store 'd');
CREATE FOREIGN TABLE fb (k int, ts bigint, v int) SERVER aggt OPTIONS (key_columns 'k', time_column 'ts', store 'b');
CREATE TABLE hd (LIKE fd);
CREATE TABLE hb (LIKE fb);
INSERT INTO hd SELECT DISTINCT ON (k, ts::date) k, ts::date, v FROM hw WHERE ts < '3000-01-01';
INSERT INTO hb SELECT k, extract(epoch FROM ts)::bigint * 1000000, v FROM hz WHERE isfinite(ts) AND ts > '1900-01-01' AND ts < '2030-01-01';
INSERT INTO hb VALUES (1, 9223372036854775807, 1), (2, -8000000000000000000, 2), (3, 0, 3), (4, -1, 4);
DELETE FROM hb a USING hb b WHERE (a.k, a.ts) = (b.k, b.ts) AND a.ctid > b.ctid;
INSERT INTO fd SELECT * FROM hd;
INSERT INTO fb SELECT * FROM hb;
SELECT stride, CASE WHEN stride ~ '[0-9] days?$' THEN differ(format('flowdb_time_bucket(%L, ts)', stride), 'd') END AS date,
  differ(format('k, flowdb_time_bucket(%L, ts)', stride), 'b') AS number FROM strides;
SELECT differ('ts', 'z'), differ('ts, k', 'w'), differ('k, ts', 'd'), differ('ts', 'b');

-- What the function is called with may come later, or be NULL.
PREPARE buckets(text, interval, timestamptz) AS
  SELECT date_trunc($1, ts) AS b, count(*) FROM fz WHERE ts BETWEEN '2023-10-01' AND '2023-11-30' GROUP BY b ORDER BY b;
PREPARE bins(interval, timestamptz) AS
  SELECT date_bin($1, ts, $2) AS b, count(*) FROM fz WHERE ts BETWEEN '2023-10-01' AND '2023-11-30' GROUP BY b ORDER BY b;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE bins('1 day', '2001-01-01');
EXECUTE buckets('month', NULL, NULL);
EXECUTE buckets(NULL, NULL, NULL);
EXECUTE buckets('fortnight', NULL, NULL);
EXECUTE bins('10 days', '2023-10-01');
EXECUTE bins(NULL, '2023-10-01');
EXECUTE bins('1 month', '2023-10-01');
EXECUTE bins('0', '2023-10-01');
EXECUTE bins('1 day', 'infinity');
RESET plan_cache_mode;
-- A unit is looked at when there is a row, as in a heap.
SELECT date_trunc('fortnight', ts), count(*) FROM fz WHERE k = 77 GROUP BY 1;
SELECT flowdb_time_bucket('1 month', ts), count(*) FROM fz GROUP BY 1;
SELECT flowdb_time_bucket('1 hour', ts), count(*) FROM fd GROUP BY 1;
SELECT date_trunc('millennium', ts), count(*) FROM fz WHERE ts < '2000-01-01 BC' GROUP BY 1;
-- Not for the engine: another zone, other casts, two buckets.
SELECT differ('date_trunc(''day'', ts, ''Asia/Tokyo'')', 'z'), differ('ts::date', 'w'),
  differ('date_trunc(''day'', ts), date_trunc(''hour'', ts)', 'w'), differ('date_trunc(''day'', ts + ''1 hour'')', 'w');

-- flowdb_time_bucket itself.
SELECT s, t, flowdb_time_bucket(s, t) AS tz, flowdb_time_bucket(s, t AT TIME ZONE 'UTC') AS plain
  FROM (VALUES ('1 week'::interval), ('1 day'), ('90 min'), ('0.25 sec')) a(s),
       (VALUES ('2024-03-31 12:34:56.789+00'::timestamptz), ('1969-12-31 23:59:59+00'), ('infinity')) b(t);
SELECT date_bin('7 days', d::timestamp, '2000-01-03')::date = flowdb_time_bucket('7 days', d) AS same, count(*)
  FROM generate_series('1900-01-01'::timestamp, '2100-01-01', '1 day') g(t), date(t) d GROUP BY 1;
SELECT flowdb_time_bucket('1 hour', 0::bigint), flowdb_time_bucket('1 week', 946857599999999), flowdb_time_bucket('1 week', 946857600000000);
SELECT flowdb_time_bucket('1 day', '4714-11-24 00:00 BC'::timestamp), flowdb_time_bucket('1 day', '5874897-12-31'::date),
  flowdb_time_bucket('1 day', '-infinity'::date), flowdb_time_bucket(NULL, now());
SELECT flowdb_time_bucket('3 days', '4714-11-24 00:00 BC'::timestamp);
SELECT flowdb_time_bucket('3 days', '4714-11-24 BC'::date);
SELECT flowdb_time_bucket('1 day', (-9223372036854775807)::bigint);
SELECT flowdb_time_bucket('1 hour', '2024-01-01'::date);
SELECT flowdb_time_bucket('1 mon', now());
SELECT flowdb_time_bucket('-1 day', now());
SELECT flowdb_time_bucket('200000000 days', now());
DROP SERVER aggt CASCADE;
DROP TABLE hz, hw, hd, hb, changes, zones, units, strides;
DROP FUNCTION differ;
