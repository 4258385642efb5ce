-- Q10 TSBS groupby-orderby-limit: max(usage_user) a minute, ts < X, the last 5 minutes
\set s least(87443, :points * 10)
select @MINUTE@ as minute, max(usage_user) from @T@ where ts < to_timestamp(1451606400 + :s) group by minute order by minute desc limit 5;
