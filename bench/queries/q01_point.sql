-- Q1 point: one row by (hostname, ts)
\set h random(0, :hosts - 1)
\set n random(0, :points - 1)
select * from @T@ where hostname = ('host_' || :h)::text and ts = to_timestamp(1451606400 + :n * 10);
