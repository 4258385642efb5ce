\set id random(1, :devices)
BEGIN;
DELETE FROM devices WHERE id = :id;
INSERT INTO devices VALUES (:id, 0, clock_timestamp(), md5(:id::text));
COMMIT;
