-- Q5 TSBS double-groupby-1: avg(usage_user) per host and hour, 12 h, all hosts
\set s least(29843, greatest(0, :points * 10 - 43210))
with cpu_avg as (select @HOUR@ as hour, hostname, avg(usage_user) as mean_usage_user from @T@ where ts >= to_timestamp(1451606400 + :s) and ts < to_timestamp(1451606400 + :s + 43200) group by 1, 2) select hour, hostname, mean_usage_user from cpu_avg order by hour, hostname;
