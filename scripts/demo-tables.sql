-- The tables of make demo: one FlowDB server, this machine's metrics, TSBS.
CREATE EXTENSION flowdb_fdw;
CREATE SERVER metrics FOREIGN DATA WRAPPER flowdb_fdw;

CREATE FOREIGN TABLE machine_cpu (
    name text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts timestamptz OPTIONS (role 'time') NOT NULL,
    busy_pct double precision,
    system_pct double precision,
    iowait_pct double precision
) SERVER metrics;

CREATE FOREIGN TABLE machine_memory (
    name text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts timestamptz OPTIONS (role 'time') NOT NULL,
    used_bytes double precision,
    available_bytes double precision,
    cached_bytes double precision
) SERVER metrics;

CREATE FOREIGN TABLE machine_disk (
    name text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts timestamptz OPTIONS (role 'time') NOT NULL,
    reads_s double precision,
    writes_s double precision,
    read_bytes_s double precision,
    written_bytes_s double precision
) SERVER metrics;

CREATE FOREIGN TABLE machine_net (
    name text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts timestamptz OPTIONS (role 'time') NOT NULL,
    received_bytes_s double precision,
    sent_bytes_s double precision,
    packets_s double precision
) SERVER metrics;

CREATE FOREIGN TABLE cpu (
    hostname text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts timestamptz OPTIONS (role 'time') NOT NULL,
    usage_user double precision,
    usage_system double precision,
    usage_idle double precision,
    usage_nice double precision,
    usage_iowait double precision,
    usage_irq double precision,
    usage_softirq double precision,
    usage_steal double precision,
    usage_guest double precision,
    usage_guest_nice double precision
) SERVER metrics;

-- The same in PostgreSQL's own storage, and the names of the hosts.
CREATE TABLE cpu_heap (
    hostname text COLLATE "C",
    ts timestamptz,
    usage_user double precision,
    usage_system double precision,
    usage_idle double precision,
    usage_nice double precision,
    usage_iowait double precision,
    usage_irq double precision,
    usage_softirq double precision,
    usage_steal double precision,
    usage_guest double precision,
    usage_guest_nice double precision,
    PRIMARY KEY (hostname, ts)
);
CREATE TABLE hosts (hostname text COLLATE "C" PRIMARY KEY);

-- What is written when the server is killed: each transaction writes to both.
CREATE FOREIGN TABLE payments (
    id bigint OPTIONS (role 'key') NOT NULL,
    amount numeric NOT NULL
) SERVER metrics;
CREATE TABLE payments_heap (id bigint PRIMARY KEY, amount numeric NOT NULL);
