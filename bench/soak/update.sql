\set id random(1, :devices)
UPDATE devices SET n = n + 1, at = clock_timestamp() WHERE id = :id;
