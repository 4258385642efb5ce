# shellcheck shell=bash
# Shared by all scripts: how to tell, to end, to copy the tree; and a private
# copy of PostgreSQL with the extension in it, in a directory of its own that
# is removed again.
#
# For that the caller sets "work" with make_work; everything lives below it,
# owned by an unprivileged user, and every program started there runs from
# there.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export LC_ALL=C TZ=UTC
# A make above us must not talk to the makes below, and no setting of the
# caller's may lead psql to a server that is not ours.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
for variable in ${!PG*}; do
    [ "$variable" = PG_CONFIG ] || unset "$variable"
done

say()
{
    printf '%s\n' "$*"
}

die()
{
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# at_end FUNCTION: is called when we end, also when a signal ends us.
at_end()
{
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # shellcheck disable=SC2064 # the name
    trap "$1" EXIT
}

now_us()
{
    echo "${EPOCHREALTIME/./}"
}

# find_pg_config: sets pg_config.  15 is what we are tested with, so it goes
# before whatever comes first in PATH.
find_pg_config()
{
    pg_config=${PG_CONFIG:-pg_config}
    if [ "$pg_config" = pg_config ] && [ -x /usr/lib/postgresql/15/bin/pg_config ]; then
        pg_config=/usr/lib/postgresql/15/bin/pg_config
    fi
    command -v "$pg_config" >/dev/null || die "no $pg_config: set PG_CONFIG"
}

# make_work NAME: sets work, and as_user, the words before a command that make
# the unprivileged user run it: PostgreSQL refuses to run as root.
make_work()
{
    local base=${TMPDIR:-/tmp} user
    # A unix socket's path must fit into 107 bytes.
    [ ${#base} -le 50 ] || base=/tmp
    work=$(mktemp -d "$base/flowdb-$1.XXXXXX")
    groups=$work/groups
    mkdir "$groups" "$work/tmp"
    as_user=(env "HOME=$work")
    if [ "$(id -u)" = 0 ]; then
        user=$(id -un postgres 2>/dev/null || echo nobody)
        chown "$user:" "$work"
        as_user=(setpriv "--reuid=$user" "--regid=$(id -gn "$user")"
            --init-groups env "HOME=$work")
    fi
    # Some directories above us may be closed to that user.
    cd "$work" || die "cannot enter $work"
}

# run LIMIT COMMAND...: COMMAND in a process group of its own, for at most
# LIMIT seconds, or what "slower" makes of them.  The group is noted in $groups
# before anything runs in it, so that whoever ends us can end all of it.
run()
{
    local rc=0 group limit=$(($1 * ${slower:-1}))
    shift
    set -m
    {
        : >"$groups/run.$BASHPID"
        exec timeout -k 10 "$limit" "$@" </dev/null 3>&- 4>&- 5>&-
    } &
    group=$!
    set +m
    wait "$group" || rc=$?
    rm -f "$groups/run.$group"
    return "$rc"
}

# copy_postgres: sets inst, bin and private_config.  The server resolves
# symbolic links of its program and looks for its files relative to that, so
# bin/ holds real files; the rest is links.
copy_postgres()
{
    local dir
    inst=$work/inst
    for dir in bindir sharedir pkglibdir; do
        mkdir -p "$inst$("$pg_config" --$dir)"
    done
    bin=$inst$("$pg_config" --bindir)
    dir=$("$pg_config" --pkgincludedir)
    mkdir -p "$inst${dir%/*}"
    cp "$(realpath "$("$pg_config" --bindir)")"/* "$bin/"
    for dir in sharedir pkglibdir pkgincludedir; do
        cp -rsT "$("$pg_config" --$dir)" "$inst$("$pg_config" --$dir)"
    done
    rm -f "$inst$("$pg_config" --sharedir)"/extension/flowdb_fdw[.-]* \
        "$inst$("$pg_config" --pkglibdir)"/flowdb_fdw.so
    private_config=$bin/pg_config # tells the paths of the copy
}

# copy_tree DIRECTORY: the tree, as it is, without what was built.
copy_tree()
{
    mkdir "$1"
    tar -C "$top" --exclude=./.git --exclude=./build --exclude=./tmp_check \
        '--exclude=./engine/build*' --exclude='*.[oad]' --exclude='*.so' \
        -cf - . | tar -C "$1" --no-same-owner -xf -
}

# copy_source: sets src.  Building out of the tree keeps versions and kinds
# of builds apart, and the tree clean.
copy_source()
{
    src=$work/src
    copy_tree "$src"
}

# own_work: hands all that was made so far to the unprivileged user.
own_work()
{
    if [ "$(id -u)" = 0 ]; then
        chown -R --reference="$work" "$work"
    fi
}

# make_at DIRECTORY LIMIT ARGUMENTS...: make there, unprivileged.
make_at()
{
    local dir=$1 limit=$2
    shift 2
    run "$limit" "${as_user[@]}" make -s -C "$dir" "PG_CONFIG=$private_config" "$@"
}

# make_in LIMIT ARGUMENTS...: in the copied source.
make_in()
{
    make_at "$src" "$@"
}

# init_cluster DATA [SOCKETS]: a cluster that only its own user can reach, by
# a socket in directory SOCKETS, else $work.  Settings are read from standard
# input.
init_cluster()
{
    "${as_user[@]}" "$bin/initdb" -D "$1" -A trust -N -E UTF8 --locale=C \
        -U postgres >"$1.initdb.log" 2>&1 || {
        cat "$1.initdb.log" >&2
        die "initdb failed"
    }
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '${2:-$work}'"
        echo "unix_socket_permissions = 0700"
        echo "shared_preload_libraries = 'flowdb_fdw'"
        cat
    } >>"$1/postgresql.conf"
}

# A server that outlives us must not hold our descriptors: somebody may wait
# for the end of our output.
start_server() # DATA
{
    "${as_user[@]}" "$bin/pg_ctl" -s -w -t "$((300 * ${slower:-1}))" -D "$1" -l "$1.log" start 3>&- 4>&- 5>&- || {
        tail -n 30 "$1.log" >&2
        # shellcheck disable=SC2034 # for the caller
        log_shown=1
        die "the server did not start"
    }
}

stop_server() # DATA [MODE]
{
    "${as_user[@]}" "$bin/pg_ctl" -s -w -t "$((300 * ${slower:-1}))" -D "$1" -m "${2:-fast}" stop
}

# sql ARGUMENTS of psql...: in database $database of the cluster in $work.
sql()
{
    # shellcheck disable=SC2154 # database is the caller's
    "${as_user[@]}" "$bin/psql" -X -q -P pager=off -v ON_ERROR_STOP=1 \
        -h "$work" -U postgres "$database" "$@"
}

# descendants PID: PID and all processes below it; procps may be missing.
descendants()
{
    # A process that ends meanwhile must not fail the pipe.
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v root="$1" '
        { pid = $1; sub(/^.*\) /, ""); children[$2] = children[$2] " " pid }
        function show(pid, list, n, i) {
            print pid
            n = split(children[pid], list, " ")
            for (i = 1; i <= n; i++) show(list[i])
        }
        END { show(root) }'
}

# ours: pids of all processes that run a program below $work.
ours()
{
    local exe
    for exe in /proc/[0-9]*/exe; do
        case $(readlink "$exe" 2>/dev/null || true) in
            "$work"/*) exe=${exe%/exe} && echo "${exe#/proc/}" ;;
        esac
    done
}

# signal_groups SIGNAL: to every process group in $groups; true if there is
# one.  "job.*" goes before "run.*": what is dead starts nothing new.
signal_groups()
{
    local file any=1
    for file in "$groups"/*; do
        [ -e "$file" ] || continue
        if kill "-$1" -- "-${file##*.}" 2>/dev/null; then
            any=0
        else
            rm -f "$file"
        fi
    done
    return "$any"
}

# drop_shared_memory: what servers that were killed left below $work.
drop_shared_memory()
{
    local file key id
    while read -r file; do
        read -r key id < <(sed -n 7p "$file" 2>/dev/null) || continue
        # Of this key, and nobody attached.
        awk -v key="$key" -v id="$id" '$1 == key && $2 == id && $7 == 0 { found = 1 }
            END { exit !found }' /proc/sysvipc/shm && ipcrm -m "$id" 2>/dev/null
    done < <(find "$work" -name postmaster.pid 2>/dev/null)
    return 0
}

# remove_work: ends whatever still runs in $work, and removes it.  A server
# is asked for an immediate shutdown first: it leaves no shared memory behind.
remove_work()
{
    local pids try signal=QUIT
    [ -n "${work:-}" ] && [ -d "$work" ] || return 0
    cd /
    groups=$work/groups
    for try in 1 2 3 4 5; do
        signal_groups TERM || break
        sleep 0.5
    done
    signal_groups KILL || true
    for try in 1 2 3 4 5 6 7 8 9 10; do
        pids=$(ours)
        [ -n "$pids" ] || break
        [ "$try" -lt 6 ] || signal=KILL
        # shellcheck disable=SC2086 # a list
        kill -"$signal" $pids 2>/dev/null || true
        sleep 0.3
    done
    drop_shared_memory
    [ -z "${shm:-}" ] || rm -rf "$shm"
    rm -rf "$work"
}

# machine_line LOAD: date and machine, for a table of figures.
machine_line()
{
    echo "$(date -u +%F), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cpus,"
    echo "$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo), Linux $(uname -r). Load average when it began: $1."
}

# write_section FILE NAME SECTION: put the text in file SECTION under the
# heading "## NAME" of FILE, in the place of what stands there.
write_section()
{
    local new
    new=$(mktemp)
    [ -e "$1" ] || printf '# Measured\n' >"$1"
    awk -v heading="## $2" -v section="$3" '
        function put(line) {
            print heading "\n"
            while ((getline line < section) > 0) print line
            done = 1
        }
        /^## / { skip = $0 == heading; if (skip) { put(); print ""; next } }
        !skip { print }
        END { if (!done) { print ""; put() } }' "$1" | cat -s >"$new"
    cat "$new" >"$1"
    rm -f "$new"
}
