-- Q3 TSBS single-groupby-1-1-1: max(usage_user) a minute, 1 host, 1 hour
\set h random(0, :hosts - 1)
\set s random(0, greatest(0, :points * 10 - 3610))
select @MINUTE@ as minute, max(usage_user) from @T@ where hostname = ('host_' || :h)::text and ts >= to_timestamp(1451606400 + :s) and ts < to_timestamp(1451606400 + :s + 3600) group by minute order by minute;
