# shellcheck shell=bash
# shellcheck disable=SC2154 # work, groups, logs and told are run-tests'
# Used by run-tests, after lib.sh: jobs that run beside each other in lanes,
# and are told in the order of their groups.
#
# A job is a function, run in a process of its own that leads a process group.
# It counts with "result" and tells by "tell"; what it says otherwise goes to
# a log.  Everything that runs is noted in $groups (see run), so that a signal,
# or the guard, can end it.

jobs=()                  # "GROUPS|FUNCTION ARGUMENTS...", in the order they start
order=()                 # groups in the order they are told
declare -A pending=()    # group: how many of its jobs have not ended
declare -A job_of_pid=() # what runs
declare -A tell_fd=()    # group: what was told of it so far ends here
telling=0                # index into order: whose turn it is
guard=                   # pid of start_guard's process

# result RC NAME [SECONDS]: one test's outcome, counted and printed.
result()
{
    local word="ok    "
    [ "$1" = 0 ] || word="FAILED"
    echo "$word  $2" >>"$work/results"
    say "$word  $2${3:+  ($3 s)}"
}

# count WORD: results so far that are "ok" or "FAILED".
count()
{
    grep -cs "^$1 " "$work/results" || true
}

# tell GROUP: standard input, whole, in the place of GROUP.
tell()
{
    local text
    text=$(cat)
    [ -n "$text" ] || return 0
    {
        flock 9
        printf '%s\n' "$text" >>"$told/$1"
    } 9>>"$told/.lock"
}

# add_job "GROUPS" FUNCTION ARGUMENTS...: to be run by run_jobs.
add_job()
{
    local fd group groups_of_job=$1
    shift
    jobs+=("$groups_of_job|$(printf '%q ' "$@")")
    for group in $groups_of_job; do
        if [ -z "${pending[$group]:-}" ]; then
            order+=("$group")
            : >"$told/$group"
            exec {fd}<"$told/$group"
            tell_fd[$group]=$fd
        fi
        pending[$group]=$((${pending[$group]:-0} + 1))
    done
}

start_job() # NUMBER
{
    local words=${jobs[$1]#*|} fd
    set -m
    (
        set +m
        for fd in "${tell_fd[@]}"; do
            exec {fd}<&-
        done
        eval "$words"
    ) >"$logs/job.$1.log" 2>&1 </dev/null 3>&- 4>&- 5>&- &
    job_of_pid[$!]=$1
    : >"$groups/job.$!"
    set +m
}

# end_job PID: of one that is not there any more.
end_job()
{
    local rc=0 number=${job_of_pid[$1]} group
    wait "$1" || rc=$?
    rm -f "$groups/job.$1"
    unset "job_of_pid[$1]"
    for group in ${jobs[$number]%%|*}; do
        pending[$group]=$((${pending[$group]} - 1))
        # Tests that fail are no error of the job's.
        [ "$rc" = 0 ] || {
            result 1 "$group: ${jobs[$number]#*|}ended with $rc"
            tail -n 40 "$logs/job.$number.log" | sed 's/^/    /'
        } | tell "$group"
    done
    [ "$rc" != 0 ] || [ -s "$logs/job.$number.log" ] || rm -f "$logs/job.$number.log"
}

# What is new of the group whose turn it is.
tell_news()
{
    local group
    while [ "$telling" -lt ${#order[@]} ]; do
        group=${order[$telling]}
        if [ "${heading:-}" != "$group" ]; then
            say "== $group"
            heading=$group
        fi
        cat <&"${tell_fd[$group]}"
        [ "${pending[$group]}" = 0 ] || return 0
        # It may have said something between the two.
        cat <&"${tell_fd[$group]}"
        telling=$((telling + 1))
    done
}

# run_jobs LANES: so many at a time, until all have ended.
run_jobs()
{
    local next=0 pid
    while :; do
        for pid in "${!job_of_pid[@]}"; do
            kill -0 "$pid" 2>/dev/null || end_job "$pid"
        done
        while [ ${#job_of_pid[@]} -lt "$1" ] && [ "$next" -lt ${#jobs[@]} ]; do
            start_job "$next"
            next=$((next + 1))
        done
        tell_news
        [ ${#job_of_pid[@]} -gt 0 ] || break
        sleep 0.3
    done
}

# tell_rest: what had its turn still to come, when we are stopped.
tell_rest()
{
    local group
    for group in "${order[@]:$telling}"; do
        [ -s "$told/$group" ] || continue
        [ "${heading:-}" = "$group" ] || say "== $group"
        cat <&"${tell_fd[$group]}"
    done
}

# start_guard: a process that removes everything when we are gone without
# having done so, as after SIGKILL.  It is in a process group of its own, and
# our end is the end of the pipe that it reads.
start_guard()
{
    mkfifo "$work/guard"
    set -m
    (
        trap '' INT TERM HUP
        cat >/dev/null
        remove_work
    ) <"$work/guard" >/dev/null 2>&1 3>&- 4>&- &
    guard=$!
    set +m
    exec 5>"$work/guard"
    rm "$work/guard"
}

# end_guard: nothing is to be removed.
end_guard()
{
    [ -z "$guard" ] || kill -KILL -- "-$guard" 2>/dev/null || true
}
