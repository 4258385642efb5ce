\set device random(1, :devices)
\set x random(0, 1000000)
INSERT INTO events VALUES ('device_' || :device, clock_timestamp(), :x / 1000.0, 'event ' || :x);
