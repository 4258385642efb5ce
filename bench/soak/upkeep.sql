DELETE FROM control WHERE ts < now() - :ttl * interval '1 s';
SELECT flowdb_maintenance('soak', '100 ms');
SELECT flowdb_gc('soak');
SELECT count(*) FROM measures;
