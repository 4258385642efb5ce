-- The tables of scripts/soak: rows that arrive in batches and expire, single
-- ones beside the same in a heap, and rows that are changed where they are.
CREATE EXTENSION flowdb_fdw;
CREATE SERVER soak FOREIGN DATA WRAPPER flowdb_fdw
    OPTIONS (gc_interval_secs :'gc_secs');

CREATE FOREIGN TABLE measures (
    host text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts timestamptz OPTIONS (role 'time') NOT NULL,
    usage_user double precision,
    usage_system double precision,
    usage_idle double precision,
    usage_iowait double precision,
    note text
) SERVER soak OPTIONS (default_ttl_secs :'ttl');

CREATE FOREIGN TABLE events (
    device text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts timestamptz OPTIONS (role 'time') NOT NULL,
    x double precision,
    note text
) SERVER soak OPTIONS (default_ttl_secs :'ttl');

CREATE TABLE control (
    device text COLLATE "C" NOT NULL,
    ts timestamptz NOT NULL,
    x double precision,
    note text,
    PRIMARY KEY (device, ts)
);

CREATE FOREIGN TABLE devices (
    id bigint OPTIONS (role 'key') NOT NULL,
    n bigint,
    at timestamptz,
    note text
) SERVER soak;

INSERT INTO devices SELECT g, 0, now(), md5(g::text) FROM generate_series(1, :devices) g;
