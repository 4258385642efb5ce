\set host random(0, :hosts - 1)
SELECT * FROM measures WHERE host = 'host_' || :host ORDER BY ts DESC LIMIT 1;
