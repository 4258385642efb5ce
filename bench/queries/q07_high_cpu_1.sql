-- Q7 TSBS high-cpu-1: rows with usage_user > 90 of one host, 12 h
\set h random(0, :hosts - 1)
\set s random(0, greatest(0, :points * 10 - 43210))
select * from @T@ where usage_user > 90.0 and ts >= to_timestamp(1451606400 + :s) and ts < to_timestamp(1451606400 + :s + 43200) and hostname in (('host_' || :h)::text);
