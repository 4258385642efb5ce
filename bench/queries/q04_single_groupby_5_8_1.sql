-- Q4 TSBS single-groupby-5-8-1: max of 5 metrics a minute, 8 hosts, 1 hour
\set h1 random(0, :hosts * 1 / 8 - 1)
\set h2 random(:hosts * 1 / 8, :hosts * 2 / 8 - 1)
\set h3 random(:hosts * 2 / 8, :hosts * 3 / 8 - 1)
\set h4 random(:hosts * 3 / 8, :hosts * 4 / 8 - 1)
\set h5 random(:hosts * 4 / 8, :hosts * 5 / 8 - 1)
\set h6 random(:hosts * 5 / 8, :hosts * 6 / 8 - 1)
\set h7 random(:hosts * 6 / 8, :hosts * 7 / 8 - 1)
\set h8 random(:hosts * 7 / 8, :hosts - 1)
\set s random(0, greatest(0, :points * 10 - 3610))
select @MINUTE@ as minute, max(usage_user), max(usage_system), max(usage_idle), max(usage_nice), max(usage_iowait) from @T@ where hostname in (('host_' || :h1)::text, ('host_' || :h2)::text, ('host_' || :h3)::text, ('host_' || :h4)::text, ('host_' || :h5)::text, ('host_' || :h6)::text, ('host_' || :h7)::text, ('host_' || :h8)::text) and ts >= to_timestamp(1451606400 + :s) and ts < to_timestamp(1451606400 + :s + 3600) group by minute order by minute;
