# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # variables of run-tests
# Used by run-tests, after lib.sh: servers whose memory is watched, by
# sanitizers (SANITIZE=1) or by valgrind (VALGRIND=1).
#
# bin/postgres of the private copy becomes a script that starts the real one
# so, under its name: pg_ctl restart starts what the server says it is.  Reports go to directory FLOWDB_REPORTS, one for each test; any report
# that is ours fails the test.
#
# Neither sees an overflow inside a palloc'ed block or inside shared memory.
# The engine's private memory is malloc'ed for that, as in its own tests.

watch=        # "sanitize", "valgrind", or nothing
slower=1      # so many times longer everything may take
build_args=() # of the extension
watched_groups=
sanitize_flags="-fsanitize=address,undefined -fno-sanitize=object-size -fno-omit-frame-pointer"

# choose_watch: what the caller wants.
choose_watch()
{
    case ${SANITIZE:-0}${VALGRIND:-0} in
        00) build_args=(WERROR=1) ;;
        10)
            watch=sanitize slower=4 watched_groups="engine regress isolation tap"
            # Not -Werror: watched code makes gcc suspect what is fine.
            build_args=("COPT=-O1 -g -U_FORTIFY_SOURCE -DFLOWDB_MALLOC $sanitize_flags")
            ;;
        01)
            watch=valgrind slower=20 watched_groups="regress isolation tap"
            build_args=("COPT=-O1 -g -DFLOWDB_MALLOC -DFLOWDB_VALGRIND")
            ;;
        *) die "SANITIZE=1 or VALGRIND=1, not both" ;;
    esac
}

# watch_server: after copy_postgres and copy_source.
watch_server()
{
    [ -n "$watch" ] || return 0
    mv "$bin/postgres" "$bin/postgres.real"
    "watch_by_$watch" >"$bin/postgres"
    chmod 755 "$bin/postgres"
}

# A leak at exit is none: palloc'ed memory goes with the process.  The server
# looks for its files beside its program, which t/032 makes a copy of.
watch_by_sanitize()
{
    gcc -shared -fPIC -Wl,-z,initfirst -o "$work/asan_first.so" "$src/scripts/asan_first.c"
    cat <<EOC
#!/bin/bash
reports=\${FLOWDB_REPORTS:-$work/reports}/report
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:log_path=\$reports
export UBSAN_OPTIONS=print_stacktrace=1:log_path=\$reports
here=\$(cd "\$(dirname "\$0")" && pwd)
export LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so):$work/asan_first.so
exec -a "\$here/postgres" "\$here/postgres.real" "\$@"
EOC
}

# The tool is copied so that what runs it is known as ours.
watch_by_valgrind()
{
    cp -rL /usr/libexec/valgrind "$work/valgrind"
    cat <<EOC
#!/bin/bash
here=\$(cd "\$(dirname "\$0")" && pwd)
case \$1 in
    # of initdb and pg_ctl; no code of ours runs there
    -V | -C | --version | --boot | --single | --check) exec -a "\$here/postgres" "\$here/postgres.real" "\$@" ;;
esac
export VALGRIND_LIB=$work/valgrind
exec valgrind -q --leak-check=no --track-origins=no --error-limit=no --num-callers=24 \\
    --trace-children=yes '--trace-children-skip=*/sh' \\
    --fullpath-after=$src/ --suppressions=$src/scripts/valgrind.supp \\
    --log-file=\${FLOWDB_REPORTS:-$work/reports}/report.%p \\
    /bin/bash -c 'exec -a "\$0" "\$@"' "\$here/postgres" "\$here/postgres.real" "\$@"
EOC
}

# reports_dir NAME: sets and makes FLOWDB_REPORTS for the servers of a test.
reports_dir()
{
    export FLOWDB_REPORTS=$work/reports/$1
    "${as_user[@]}" mkdir -p "$FLOWDB_REPORTS"
}

# reports LOG...: prints what was found of ours in FLOWDB_REPORTS and in
# servers' logs; true if there is something.
reports()
{
    local file found=1 out=$logs/reports.${FLOWDB_REPORTS##*/}
    [ -n "$watch" ] || return 1
    : >"$out"
    for file in "$FLOWDB_REPORTS"/*; do
        [ -s "$file" ] || continue
        if [ "$watch" = valgrind ]; then
            # Debian's server writes uninitialised padding: only reports
            # with a frame of ours count.
            sed -E 's/^==[0-9]+== ?//' "$file" | awk -v RS= -v ORS='\n\n' '/flowdb_fdw\.so|\((src|engine)\/[^)]*\.[ch]:/'
        else
            cat "$file"
        fi >>"$out"
    done
    for file in "$@"; do
        [ ! -e "$file" ] || grep -h -E 'runtime error:|ERROR: AddressSanitizer' "$file" >>"$out" || true
    done
    if [ -s "$out" ]; then
        found=0
        head -n 80 "$out"
    else
        rm -f "$out"
    fi
    return "$found"
}
