\set id random(1, :devices)
SELECT n, at, note FROM devices WHERE id = :id;
