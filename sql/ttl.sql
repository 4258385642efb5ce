-- Time to live: of a table, of its server, of a row. It counts from a row's time.
SET timezone = 'UTC';
CREATE SCHEMA ttls;
SET search_path = ttls, public;
CREATE SERVER t FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE day (key text, ts timestamptz, v int) SERVER t OPTIONS (ttl '1 day');
INSERT INTO day VALUES ('now', now(), 1), ('old', now() - interval '23 hours', 2);
INSERT INTO day VALUES ('dead', now() - interval '25 hours', 3);
SELECT key FROM day ORDER BY key;
SELECT flowdb_flush('t');
SELECT key FROM day ORDER BY key;
-- Months are 30 days.
CREATE FOREIGN TABLE month (key text, ts timestamptz, v int) SERVER t OPTIONS (ttl '1 month 2 days');
INSERT INTO month VALUES ('in', now() - interval '31 days 23 hours', 1);
INSERT INTO month VALUES ('out', now() - interval '32 days 1 hour', 1);
SELECT key FROM month;
-- Seconds.
CREATE FOREIGN TABLE secs (key text, ts timestamptz, v int) SERVER t OPTIONS (default_ttl_secs '3600');
INSERT INTO secs VALUES ('in', now() - interval '59 minutes', 1);
INSERT INTO secs VALUES ('out', now() - interval '61 minutes', 1);
SELECT key FROM secs;
-- Times at the ends do not wrap.
INSERT INTO day VALUES ('end', 'infinity', 1);
INSERT INTO day VALUES ('start', '-infinity', 1);
SELECT key FROM day ORDER BY key;
CREATE FOREIGN TABLE num (key text, ts bigint, v int) SERVER t OPTIONS (ttl '1 day');
INSERT INTO num VALUES ('end', 9223372036854775807, 1), ('near', 9223372036854775807 - 1000, 2);
INSERT INTO num VALUES ('start', -9223372036854775808, 1);
SELECT key FROM num ORDER BY key;
-- A bigint is microseconds since 1970.
INSERT INTO num SELECT 'now', extract(epoch FROM now())::bigint * 1000000, 1;
INSERT INTO num SELECT 'secs', extract(epoch FROM now())::bigint, 1;
SELECT key FROM num ORDER BY key;

-- The row's own expiry goes first, NULL is none of its own.
CREATE FOREIGN TABLE own (key text, ts timestamptz, v int, expire_at timestamptz) SERVER t
  OPTIONS (ttl '1 day');
INSERT INTO own VALUES ('later', now() - interval '2 days', 1, now() + interval '1 hour');
INSERT INTO own VALUES ('never', now() - interval '2 days', 1, 'infinity');
INSERT INTO own VALUES ('none', now() - interval '1 hour', 1, NULL);
INSERT INTO own VALUES ('none too', now() - interval '2 days', 1, NULL);
INSERT INTO own VALUES ('past', now(), 1, now() - interval '1 hour');
SELECT key, expire_at - ts AS life FROM own WHERE expire_at < 'infinity' AND key = 'none';
SELECT key FROM own ORDER BY key;

-- The server's, for tables without one of their own, at once.
CREATE FOREIGN TABLE plain (key text, ts timestamptz, v int) SERVER t;
CREATE FOREIGN TABLE never (key text, ts timestamptz, v int) SERVER t OPTIONS (ttl 'never');
CREATE FOREIGN TABLE timeless (key text, v int) SERVER t;
INSERT INTO plain VALUES ('before', now() - interval '2 days', 1);
PREPARE put AS INSERT INTO plain VALUES ($1, now() - interval '2 days', 1);
EXECUTE put('prepared');
ALTER SERVER t OPTIONS (ADD default_ttl_secs '86400');
EXECUTE put('prepared 2');
INSERT INTO plain VALUES ('after', now() - interval '2 days', 1);
INSERT INTO never VALUES ('after', now() - interval '2 days', 1);
INSERT INTO timeless VALUES ('after', 1);
INSERT INTO month VALUES ('its own', now() - interval '2 days', 1);
SELECT key FROM plain UNION ALL SELECT 'never ' || key FROM never
  UNION ALL SELECT 'timeless ' || key FROM timeless UNION ALL SELECT 'month ' || key FROM month ORDER BY key;
BEGIN;
ALTER SERVER t OPTIONS (DROP default_ttl_secs);
INSERT INTO plain VALUES ('without', now() - interval '2 days', 1);
ROLLBACK;
INSERT INTO plain VALUES ('with', now() - interval '2 days', 1);
ALTER SERVER t OPTIONS (DROP default_ttl_secs);
INSERT INTO plain VALUES ('without', now() - interval '2 days', 1);
SELECT key FROM plain ORDER BY key;

-- A table's, changed: for rows to come.
ALTER FOREIGN TABLE day OPTIONS (SET ttl '3 days');
INSERT INTO day VALUES ('two days', now() - interval '2 days', 1);
ALTER FOREIGN TABLE day OPTIONS (DROP ttl);
INSERT INTO day VALUES ('any', now() - interval '200 days', 1);
SELECT key FROM day ORDER BY key;
COPY day FROM STDIN;
copied	2001-01-01 00:00:00+00	1
\.
ALTER FOREIGN TABLE day OPTIONS (ADD ttl '1 day');
COPY day FROM STDIN;
copied dead	2001-01-01 00:00:00+00	1
\.
SELECT key FROM day WHERE key LIKE 'copied%';

-- A CREATE is judged as a whole, whatever the order of its columns: no NOTICE.
CREATE FOREIGN TABLE whole (k int OPTIONS (role 'key'), at date OPTIONS (role 'time')) SERVER t OPTIONS (ttl '1 day');
CREATE FOREIGN TABLE turned (at date OPTIONS (role 'time'), k int OPTIONS (role 'key')) SERVER t;
-- Without a time there is nothing to count from.
CREATE FOREIGN TABLE bad (key text, v int) SERVER t OPTIONS (ttl '1 day');
INSERT INTO bad VALUES ('a', 1);
\echo :SQLSTATE
SELECT * FROM bad;
ALTER FOREIGN TABLE bad ADD ts bigint;
SELECT * FROM bad;

-- An expired row makes room for a new one, and comes back by no way.
INSERT INTO secs VALUES ('in', (SELECT ts FROM secs WHERE key = 'in'), 2);
SELECT v FROM secs;
SELECT flowdb_flush('t');
SELECT flowdb_compact('t') IS NOT NULL AS done;
SELECT (SELECT count(*) FROM day) AS day, (SELECT count(*) FROM plain) AS plain, (SELECT count(*) FROM own) AS own;
DEALLOCATE put;
SET client_min_messages = warning;
DROP SCHEMA ttls CASCADE;
DROP SERVER t CASCADE;
