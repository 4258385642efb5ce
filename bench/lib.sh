# shellcheck shell=bash
# What bench/run and bench/tsbs share: two tables of TSBS rows in one private
# server, turns of pgbench, a table of medians.
#
# The script that sources it has set hosts, points, pairs, duration, and
# targets: a line a measure, NAME|least or most|RATIO, the least (greatest)
# FlowDB / heap that is asked for.
# shellcheck disable=SC2034,SC2154 # set for, or by, the others
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

database=bench

columns()
{
    local name
    for name in user system idle nice iowait irq softirq steal guest guest_nice; do
        printf ', usage_%s double precision' "$name"
    done
}

# make_table KIND: a fresh, empty table KIND.  FlowDB's is on a server of its
# own, so that the size of its directory is the table's.
make_table()
{
    if [ "$1" = heap ]; then
        sql -c "SET client_min_messages = error" -c "DROP TABLE IF EXISTS heap" \
            -c "CREATE TABLE heap (hostname text COLLATE \"C\", ts timestamptz$(columns),
                PRIMARY KEY (hostname, ts))"
    else
        sql -c "SET client_min_messages = error" \
            -c "DROP SERVER IF EXISTS bench_flowdb CASCADE" \
            -c "CREATE SERVER bench_flowdb FOREIGN DATA WRAPPER flowdb_fdw" \
            -c "CREATE FOREIGN TABLE flowdb (
                hostname text OPTIONS (role 'key') COLLATE \"C\" NOT NULL,
                ts timestamptz OPTIONS (role 'time') NOT NULL$(columns)) SERVER bench_flowdb"
    fi
}

note() # MEASURE KIND FIGURE
{
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$work/figures"
    say "   $1  $2  $3"
}

# load KIND: COPY from a file in the page cache.
load()
{
    local start wal
    make_table "$1"
    sql -c CHECKPOINT
    wal=$(sql -At -c "SELECT pg_current_wal_insert_lsn()")
    start=$(now_us)
    sql -c "COPY $1 FROM '$work/data.csv' (FORMAT csv, HEADER)"
    note "COPY, rows/s" "$1" $((hosts * points * 1000000 / ($(now_us) - start)))
    note "WAL of the COPY, bytes a row" "$1" "$(sql -At -c "SELECT
        round((pg_current_wal_insert_lsn() - '$wal') / $((hosts * points)), 1)")"
}

# loads PAIRS: in turns; one before that is not counted makes the files of the
# log that all others reuse.
loads()
{
    local kind
    load heap >/dev/null
    rm -f "$work/figures"
    for ((i = 0; i < $1; i++)); do
        for kind in $(turns "$i"); do
            load "$kind"
        done
    done
}

# note_size MEASURE: what is on disk of both tables, in bytes a row.
note_size()
{
    local dir
    dir=$data/flowdb/$(sql -At -c "SELECT (SELECT oid FROM pg_database
        WHERE datname = 'bench') || '-' || (SELECT oid FROM pg_foreign_server)")
    note "$1" heap "$(sql -At -c \
        "SELECT round(pg_total_relation_size('heap')::numeric / $((hosts * points)), 2)")"
    note "$1" flowdb "$(sql -At -c \
        "SELECT round($(du -s -B1 "$dir" | cut -f1)::numeric / $((hosts * points)), 2)")"
}

# compact: until there is nothing left to merge.
compact()
{
    sql -c "SELECT flowdb_flush('bench_flowdb')" >/dev/null
    while [ "$(sql -At -c "SELECT flowdb_compact('bench_flowdb')")" = t ]; do :; done
}

# sizes: of both tables when all is on disk, and after a compaction.
sizes()
{
    sql -c "VACUUM (ANALYZE) heap" -c "SELECT flowdb_flush('bench_flowdb')" >/dev/null
    sql -c CHECKPOINT
    note_size "size after a flush, bytes a row"
    compact
    sleep 2 # the files that it replaced go
    note_size "size after a compaction, bytes a row"
}

# script FILE KIND: a query for one of the tables, as a file for pgbench; FILE is
# one of bench/queries, without its end, or a path.
script()
{
    local from=$1.sql
    [[ $1 == /* ]] || from=$top/bench/queries/$1.sql
    sed -e "s/@T@/$2/g" \
        -e "s/@MINUTE@/date_bin('1 minute', ts, '2016-01-01 00:00:00+00')/g" \
        -e "s/@HOUR@/date_bin('1 hour', ts, '2016-01-01 00:00:00+00')/g" \
        "$from" >"$work/query.$2.sql"
    echo "$work/query.$2.sql"
}

# pin CPUS: where backends that start from now on run.
pin()
{
    taskset -cp "$1" "$(head -n 1 "$data/postmaster.pid")" >/dev/null
}

# tps FILE KIND CLIENTS SECONDS [SETTINGS]: statements a second.  One client
# and its backend share a processor, but with spread=1: on two, most of the
# time is spent waking each other up, and varies.
spread=0
tps()
{
    local file cpus=$all_cpus
    file=$(script "$1" "$2")
    [ "$3$spread" != 10 ] || cpus=${all_cpus##*[,-]}
    pin "$cpus"
    PGOPTIONS=${5:-} "${as_user[@]}" taskset -c "$cpus" "$bin/pgbench" -h "$work" \
        -U postgres -n -M prepared -D "hosts=$hosts" -D "points=$points" -c "$3" \
        -j "$(($3 < 2 ? 1 : 2))" -T "$4" -f "$file" bench |
        sed -n 's/^tps = \([0-9.]*\).*/\1/p'
    pin "$all_cpus"
}

# turns I: the kinds in the order of pair number I.
turns()
{
    (($1 % 2)) && echo flowdb heap || echo heap flowdb
}

# both MEASURE FILE CLIENTS [SETTINGS]
both()
{
    local kind
    for ((i = 0; i < pairs; i++)); do
        for kind in $(turns "$i"); do
            note "$1" "$kind" "$(tps "$2" "$kind" "$3" "$duration" "${4:-}")"
        done
    done
}

# table WORD: the medians of each measure, those with a target first, and how
# FlowDB compares; WORD heads the targets.
table()
{
    echo "| measure | heap + primary key | FlowDB | FlowDB / heap | $1 | verdict |"
    echo "|---|---:|---:|---:|---:|---|"
    awk '
        function median(list, n, i, j, x) {
            for (i = 2; i <= n; i++) {
                x = list[i]
                for (j = i - 1; j > 0 && list[j] > x; j--) list[j + 1] = list[j]
                list[j + 1] = x
            }
            return (list[int((n + 1) / 2)] + list[int(n / 2) + 1]) / 2
        }
        function round(x) { return sprintf(x < 0.1 ? "%.3f" : x < 10 ? "%.2f" : x < 100 ? "%.1f" : "%d", x) }
        function line(m, i, heap, flow, ratio, known, met, verdict) {
            for (i = 1; i <= n[m, "flowdb"]; i++) {
                heap[i] = figure[m, "heap", i]; flow[i] = figure[m, "flowdb", i]
                ratio[i] = flow[i] / heap[i]
            }
            n[m] = i - 1
            ratio[0] = median(ratio, n[m])
            known = m in kind
            met = kind[m] == "most" ? ratio[0] <= bound[m] : ratio[0] >= bound[m]
            verdict = !known ? "|" : sprintf("%s %s | %s", \
                kind[m] == "most" ? "<=" : ">=", bound[m], met ? "met" : "not met")
            printf "| %s | %s | %s | %s | %s |\n", m, round(median(heap, n[m])),
                round(median(flow, n[m])), sprintf(ratio[0] < 0.1 ? "%.3g" : "%.2f", ratio[0]), verdict
        }
        FNR == NR { split($0, f, "|"); name[++ntargets] = f[1]; kind[f[1]] = f[2]; bound[f[1]] = f[3]; next }
        { split($0, f, "\t"); if (!(f[1] in seen) && !(f[1] in kind)) other[++nothers] = f[1]
          seen[f[1]]; figure[f[1], f[2], ++n[f[1], f[2]]] = f[3] }
        END {
            for (k = 1; k <= ntargets; k++) if (name[k] in seen) line(name[k])
            for (k = 1; k <= nothers; k++) line(other[k])
        }' <(echo "$targets") "$work/figures"
}

make_data() # FORMAT: the rows to load, as bench/gen.c has it
{
    "$work/gen" data "$hosts" "$points" 42 "$1" >"$work/data.csv"
    own_work
}

# begin: build, the data, a server. The figures go to $work/figures.
begin()
{
    at_end remove_work
    "$top/scripts/install-deps"
    find_pg_config
    make_work bench
    data=$work/data

    all_cpus=$(sed -n 's/^Cpus_allowed_list:\s*//p' /proc/self/status)
    load_before=$(cut -d ' ' -f1 /proc/loadavg)

    say "== build"
    copy_postgres
    copy_source
    own_work
    make_in 900 -j "$(nproc)" install
    gcc -O2 -o "$work/gen" "$src/bench/gen.c"
    make_data int

    init_cluster "$data" <<'EOC'
flowdb.shared_memory = '1GB'
flowdb.obsolete_file_retention = 0
shared_buffers = '1GB'
work_mem = '64MB'
max_wal_size = '16GB'
min_wal_size = '2GB'
checkpoint_timeout = '1h'
jit = off
autovacuum = off
EOC
    start_server "$data"
    "${as_user[@]}" "$bin/createdb" -h "$work" -U postgres bench
    sql -c "CREATE EXTENSION flowdb_fdw"
}
