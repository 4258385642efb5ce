-- 100 rows; whoever comes within the same 50 ms replaces them
\set first random(0, :hosts - 100)
INSERT INTO measures SELECT 'host_' || g, date_bin('50 ms', clock_timestamp(), '2020-01-01'),
    random() * 100, random() * 100, random() * 100, random() * 100, 'batch ' || :first
FROM generate_series(:first, :first + 99) g;
