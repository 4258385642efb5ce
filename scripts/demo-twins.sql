-- one row by host and time
SELECT * FROM @T@ WHERE hostname = 'host_7' AND ts = '2016-01-01 01:00:00+00'
-- one host, one hour
SELECT ts, usage_user FROM @T@ WHERE hostname = 'host_7' AND ts >= '2016-01-01 01:00:00+00' AND ts < '2016-01-01 02:00:00+00'
-- the latest row of every host
SELECT b.* FROM hosts t, LATERAL (SELECT * FROM @T@ c WHERE c.hostname = t.hostname ORDER BY ts DESC LIMIT 1) b
-- prefix: 111 hosts named host_7..., ten minutes
SELECT hostname, max(usage_user) FROM @T@ WHERE hostname LIKE 'host\_7%' AND ts >= '2016-01-01 01:00:00+00' AND ts < '2016-01-01 01:10:00+00' GROUP BY hostname
-- avg by host, half an hour of all hosts
SELECT hostname, avg(usage_user) FROM @T@ WHERE ts >= '2016-01-01 01:00:00+00' AND ts < '2016-01-01 01:30:00+00' GROUP BY hostname
-- rows with usage_user > 90 in half an hour
SELECT hostname, ts, usage_user FROM @T@ WHERE usage_user > 90 AND ts >= '2016-01-01 01:00:00+00' AND ts < '2016-01-01 01:30:00+00'
-- count(*) of all rows (the heap counts in parallel)
SELECT count(*) FROM @T@
