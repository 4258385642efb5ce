\set host random(0, :hosts - 1)
SELECT count(*), avg(usage_user), max(usage_idle) FROM measures
WHERE host = 'host_' || :host AND ts >= now() - interval '10 s';
