# shellcheck shell=bash
# What the steps of the demo have in common: telling, waiting, asking, killing.
# Sourced by scripts/demo, after lib.sh.

step()
{
    printf '\n== %s\n' "$*"
}

# waiting COMMAND...: a line every 2 s for whatever takes that long.  The
# command is not tested here, so that set -e works inside of it.
ticker=
waiting()
{
    local start=$SECONDS
    (
        while sleep 2; do
            echo "   ... $((SECONDS - start)) s"
        done
    ) &
    ticker=$!
    "$@"
    stop_ticker
}

stop_ticker()
{
    [ -n "$ticker" ] || return 0
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    ticker=
}

# One value, or rows of values with blanks between.
value()
{
    sql -At -F ' ' -c "$1"
}

# kill_server: SIGKILL to the postmaster and everything below it.
kill_server()
{
    local postmaster pid pids try
    postmaster=$(head -n 1 "$data/postmaster.pid")
    # A stopped postmaster starts no process that we would miss.
    kill -STOP "$postmaster"
    pids=$(descendants "$postmaster")
    for pid in $pids; do
        [ ! -s "/proc/$pid/exe" ] ||
            printf '   %-8s %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" | sed 's/ *$//')"
    done
    # shellcheck disable=SC2086 # a list
    kill -KILL $pids
    for pid in $pids; do
        while [ -n "$(readlink "/proc/$pid/exe" || true)" ]; do sleep 0.1; done
    done
    # Dead is not gone: a lock file counts as long as there is a zombie.  Where
    # process 1 takes no care of orphans (containers) that is for ever.
    for ((try = 0; try < 50; try++)); do
        [ -e "/proc/$postmaster" ] || return 0
        sleep 0.1
    done
    rm -f "$data/postmaster.pid" "$work"/.s.PGSQL.*.lock
}
