-- Q2b single host, 1 hour, every column
\set h random(0, :hosts - 1)
\set s random(0, greatest(0, :points * 10 - 3610))
select * from @T@ where hostname = ('host_' || :h)::text and ts >= to_timestamp(1451606400 + :s) and ts < to_timestamp(1451606400 + :s + 3600);
