-- Q2 single host, 1 hour, ts + usage_user
\set h random(0, :hosts - 1)
\set s random(0, greatest(0, :points * 10 - 3610))
select ts, usage_user from @T@ where hostname = ('host_' || :h)::text and ts >= to_timestamp(1451606400 + :s) and ts < to_timestamp(1451606400 + :s + 3600);
