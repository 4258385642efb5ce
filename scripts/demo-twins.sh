# shellcheck shell=bash
# The demo's million rows, in a FlowDB table and in its heap twin: what it
# takes to load them, what they take on disk, how long the same questions take.
# Sourced by scripts/demo, after demo-lib.sh.

tsbs_columns="hostname, ts, usage_user, usage_system, usage_idle, usage_nice, usage_iowait, usage_irq,
    usage_softirq, usage_steal, usage_guest, usage_guest_nice"

wal_position()
{
    value "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
}

# load TABLE: COPY of the generated file; what it took goes to $work/load.
load()
{
    local loader start us wal shown=0
    sql -c CHECKPOINT
    wal=$(wal_position)
    start=$(now_us)
    sql -c "COPY $1 ($tsbs_columns) FROM STDIN (FORMAT csv, HEADER)" <"$work/cpu.csv" &
    loader=$!
    while sleep 0.05 && kill -0 "$loader" 2>/dev/null; do
        us=$(($(now_us) - start))
        [ $((us / 2000000)) -gt "$shown" ] || continue
        shown=$((us / 2000000))
        sql -At -c "SELECT '   ... ' || tuples_processed || ' rows' FROM pg_stat_progress_copy"
    done
    wait "$loader"
    us=$(($(now_us) - start))
    echo "$us $(($(wal_position) - wal))" >"$work/load.$1"
    say "   $1: $((us / 1000)) ms"
}

megabytes()
{
    awk -v bytes="$1" 'BEGIN { printf "%.1f", bytes / 1048576 }'
}

# twin_line WHAT HEAP FLOWDB: and how many times as much the heap needs.
twin_line()
{
    awk -v what="$1" -v heap="$2" -v flowdb="$3" 'BEGIN {
        times = ""
        if (flowdb > 0)
            times = sprintf(heap / flowdb < 10 ? "%.1f" : "%.0f", heap / flowdb)
        printf "   %-50s %10s %10s %8s\n", what, heap, flowdb, times }'
}

twin_head()
{
    printf '   %-50s %10s %10s %8s\n' "$1" heap FlowDB heap/Fl.
}

load_twins()
{
    local heap_us heap_wal flow_us flow_wal
    load cpu_heap
    load cpu
    read -r heap_us heap_wal <"$work/load.cpu_heap"
    read -r flow_us flow_wal <"$work/load.cpu"
    waiting sql -c "VACUUM (ANALYZE) cpu_heap" \
        -c "SELECT flowdb_flush('metrics')" -c CHECKPOINT >/dev/null
    twin_head "what it took, and takes"
    twin_line "COPY, ms" $((heap_us / 1000)) $((flow_us / 1000))
    twin_line "write-ahead log of it, MB" "$(megabytes "$heap_wal")" "$(megabytes "$flow_wal")"
    twin_line "on disk, with its index, MB" \
        "$(megabytes "$(value "SELECT pg_total_relation_size('cpu_heap')")")" \
        "$(megabytes "$(value "SELECT sum(file_bytes) FROM flowdb_stores WHERE 'cpu'::regclass = ANY (tables)")")"
}

# milliseconds QUERY QUERY: of each the median of nine, taken in turns, after
# one that warms the caches.
milliseconds()
{
    local turn times
    times=$({
        echo '\o /dev/null'
        printf '%s\n' "$1" "$2" '\timing on'
        for ((turn = 0; turn < 9; turn++)); do printf '%s\n' "$1" "$2"; done
    } | sql -f - | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
    awk 'NR % 2 == 1' <<<"$times" | sort -g | sed -n 5p
    awk 'NR % 2 == 0' <<<"$times" | sort -g | sed -n 5p
}

# compare_twins FILE: each question of it to both; a line "-- TITLE" goes
# before each, and @T@ is the table.
compare_twins()
{
    local title query times
    twin_head "milliseconds with planning, the median of 9"
    while read -r title; do
        read -r query
        [ "$(value "SELECT md5(array_agg(q::text ORDER BY q::text)::text) FROM (${query//@T@/cpu_heap}) q")" = \
            "$(value "SELECT md5(array_agg(q::text ORDER BY q::text)::text) FROM (${query//@T@/cpu}) q")" ] ||
            die "two answers to: ${query//@T@/cpu}"
        times=$(milliseconds "${query//@T@/cpu_heap};" "${query//@T@/cpu};")
        # shellcheck disable=SC2086 # two words
        twin_line "${title#-- }" $times
    done < <(grep . "$1")
    say "   (Both gave the same rows.)"
}
