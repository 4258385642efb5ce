-- Q8 TSBS high-cpu-all: rows with usage_user > 90, all hosts, 12 h
\set s least(29843, greatest(0, :points * 10 - 43210))
select * from @T@ where usage_user > 90.0 and ts >= to_timestamp(1451606400 + :s) and ts < to_timestamp(1451606400 + :s + 43200);
