# FlowdbTest: what FlowDB's TAP tests share, on top of PostgreSQL::Test::Cluster.
#
#   use FindBin;
#   use lib $FindBin::RealBin;
#   use FlowdbTest;
#
# Processes are found in /proc, not in pg_stat_activity: that works in
# recovery, and while the server answers nobody.
package FlowdbTest;

use strict;
use warnings;

use Exporter 'import';
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
  new_node new_standby create_twins twin_diff
  try_sql wait_until wait_for_sql
  start_sql sql_running end_sql gate_sql open_gate
  control_data server_dir flip_byte
  postmaster_pid children_of process_pids process_pid
  kill9_process kill9_tree crash_restart restart_by_force wait_gone
  debug_set debug_wait debug_clear log_since log_size
);

# Patience of every wait, in seconds.
our $timeout = $PostgreSQL::Test::Utils::timeout_default || 180;

# ------------------------------------------------------------------- servers

# new_node(NAME, CONF, OPTIONS of init): a started server with FlowDB
# preloaded and the extension made in database postgres.
sub new_node
{
    my ($name, $conf, %init) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);

    $node->init(allows_streaming => 1, %init);
    $node->append_conf('postgresql.conf', <<"EOC");
shared_preload_libraries = 'flowdb_fdw'
flowdb.shared_memory = '64MB'
fsync = on
restart_after_crash = on
autovacuum = off
EOC
    $node->append_conf('postgresql.conf', $conf // '');
    $node->start;
    $node->safe_psql('postgres', 'CREATE EXTENSION flowdb_fdw');
    return $node;
}

# new_standby(PRIMARY, NAME, CONF): a started hot standby that streams.
sub new_standby
{
    my ($primary, $name, $conf) = @_;
    my $standby = PostgreSQL::Test::Cluster->new($name);

    $primary->backup("for_$name");
    $standby->init_from_backup($primary, "for_$name", has_streaming => 1);
    $standby->append_conf('postgresql.conf', $conf // '');
    $standby->start;
    return $standby;
}

# create_twins(NODE, NAME, SERVER): foreign table NAME and heap table
# NAME_heap with the same columns; SERVER is made when it is not there.
sub create_twins
{
    my ($node, $name, $server) = @_;
    $server //= 'flow';

    my $there = $node->safe_psql('postgres',
        "SELECT count(*) FROM pg_foreign_server WHERE srvname = '$server'");
    $node->safe_psql('postgres',
        "CREATE SERVER $server FOREIGN DATA WRAPPER flowdb_fdw")
      unless $there;
    $node->safe_psql('postgres', <<"EOC");
CREATE FOREIGN TABLE $name (
    key text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL,
    n bigint, note text) SERVER $server;
CREATE TABLE ${name}_heap (
    key text COLLATE "C" NOT NULL, ts bigint NOT NULL,
    n bigint, note text, PRIMARY KEY (key, ts));
EOC
    return;
}

# twin_diff(NODE, NAME): the rows that are in only one of the two, in lines
# "flowdb|..." and "heap|..."; '' when they hold the same.  One snapshot; a
# digest goes first because it is much cheaper.
sub twin_diff
{
    my ($node, $name) = @_;
    my $digest = 'SELECT (count(*), '
      . 'sum(hash_record_extended(ROW(key, ts, n, note), 0)::numeric)) FROM';

    return $node->safe_psql('postgres', <<"EOC");
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT ($digest $name) IS DISTINCT FROM ($digest ${name}_heap) AS differ \\gset
\\if :differ
(SELECT 'flowdb', * FROM $name EXCEPT ALL SELECT 'flowdb', * FROM ${name}_heap)
UNION ALL
(SELECT 'heap', * FROM ${name}_heap EXCEPT ALL SELECT 'heap', * FROM $name)
ORDER BY 1, 2, 3 LIMIT 50;
\\endif
COMMIT;
EOC
}

# ----------------------------------------------------------------- statements

# try_sql(NODE, SQL): (psql's exit status, its output, its errors).  Never
# dies: IPC::Run does, with EPIPE, when the server goes away under psql.
sub try_sql
{
    my ($node, $sql, %opts) = @_;
    my ($out, $err) = ('', '');
    my $rc = eval {
        $node->psql('postgres', $sql, stdout => \$out, stderr => \$err,
            on_error_stop => 1, %opts);
    };

    return defined $rc ? ($rc, $out, $err) : (-1, $out, "$err$@");
}

# wait_until(CODE, WHAT): calls CODE until it is true; false after $timeout.
sub wait_until
{
    my ($code, $what) = @_;
    my $end = time() + $timeout;

    while (time() < $end)
    {
        return 1 if $code->();
        sleep(0.05);
    }
    diag('gave up waiting for ' . ($what // 'something'));
    return 0;
}

# wait_for_sql(NODE, SQL, EXPECTED): until SQL answers EXPECTED ('t'),
# however often the server is not there.
sub wait_for_sql
{
    my ($node, $sql, $expected) = @_;
    my ($rc, $out, $err);
    $expected //= 't';

    return 1 if wait_until(
        sub {
            ($rc, $out, $err) = try_sql($node, $sql);
            return $rc == 0 && $out eq $expected;
        },
        "\"$expected\" from: $sql");
    diag("the last answer was \"$out\" $err");
    return 0;
}

# ----------------------------------------------------------------- background

# start_sql(NODE, SQL, ARGUMENTS of psql): psql that runs a script while the
# test goes on.  It ends at the first error, or when the server goes away.
sub start_sql
{
    my ($node, $sql, @arguments) = @_;
    my $base = PostgreSQL::Test::Utils::tempdir() . '/psql';
    my $connstr = $node->connstr('postgres');

    PostgreSQL::Test::Utils::append_to_file("$base.sql", $sql);
    my $pid = fork() // die "could not fork: $!";
    if ($pid == 0)
    {
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>', "$base.out");
        open(STDERR, '>', "$base.err");
        exec('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', @arguments, '-d',
            $connstr, '-f', "$base.sql")
          or POSIX::_exit(127);
    }
    return { pid => $pid, base => $base };
}

sub sql_running
{
    my ($job) = @_;

    return 0 if defined $job->{rc};
    return 1 if waitpid($job->{pid}, POSIX::WNOHANG()) == 0;
    $job->{rc} = $? >> 8;
    return 0;
}

# end_sql(JOB): waits for the end of a start_sql and returns as try_sql does.
sub end_sql
{
    my ($job) = @_;

    wait_until(sub { return !sql_running($job); }, 'the end of a psql');
    my ($out, $err) = map { slurp_or_empty("$job->{base}.$_") } ('out', 'err');
    chomp($out, $err);
    return ($job->{rc}, $out, $err);
}

# gate_sql(NAME): SQL that waits for open_gate(NODE, NAME); works inside a
# transaction of any isolation level, and on a standby.
sub gate_sql
{
    my ($name) = @_;
    return 'DO $$ BEGIN WHILE (pg_stat_file(\'gate_'
      . $name
      . '\', true)).size IS NULL LOOP PERFORM pg_sleep(0.02); END LOOP; '
      . 'END $$;';
}

sub open_gate
{
    my ($node, $name) = @_;
    PostgreSQL::Test::Utils::append_to_file($node->data_dir . "/gate_$name",
        'open');
    return;
}

# ---------------------------------------------------------------------- files

# control_data(NODE, LABEL): the value as pg_controldata prints it.
sub control_data
{
    my ($node, $label) = @_;
    my ($out) =
      PostgreSQL::Test::Utils::run_command(
        [ 'pg_controldata', $node->data_dir ]);
    my ($value) = $out =~ /^\Q$label\E:\s*(.*)$/m;
    return $value;
}

# server_dir(NODE, SERVER, DATABASE): the directory of its FlowDB database.
sub server_dir
{
    my ($node, $server, $database) = @_;
    my $name = $node->safe_psql($database // 'postgres', <<"EOC");
SELECT d.oid || '-' || s.oid FROM pg_database d, pg_foreign_server s
WHERE datname = current_database() AND srvname = '$server'
EOC
    return $node->data_dir . "/flowdb/$name";
}

# flip_byte(PATH, OFFSET): invert all bits of one byte; twice is no change.
sub flip_byte
{
    my ($path, $offset) = @_;
    my $byte;

    open(my $file, '+<:raw', $path) or die "could not open $path: $!";
    seek($file, $offset, 0);
    read($file, $byte, 1) == 1 or die "$path has no byte at $offset";
    seek($file, $offset, 0);
    print $file chr(ord($byte) ^ 0xff);
    close($file) or die "could not write $path: $!";
    return;
}

# ------------------------------------------------------------------ processes

sub slurp_or_empty
{
    my ($path) = @_;
    open(my $file, '<', $path) or return '';
    local $/ = undef;
    return <$file> // '';
}

# Of the server as it is on disk, also when the node thinks that it is down.
sub postmaster_pid
{
    my ($node) = @_;
    my ($pid) = slurp_or_empty($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
    return $pid;
}

sub children_of
{
    my ($parent) = @_;
    my @children;

    foreach my $stat (glob('/proc/[0-9]*/stat'))
    {
        my ($pid, $ppid) =
          slurp_or_empty($stat) =~ /^(\d+) \(.*\) \S (\d+)/s;
        push @children, $pid if defined $ppid && $ppid == $parent;
    }
    return @children;
}

# process_pids(NODE, TYPE): the server's processes of a type as their title
# has it: 'flowdb launcher', 'flowdb worker', 'checkpointer', 'startup', ...
sub process_pids
{
    my ($node, $type) = @_;
    my $postmaster = postmaster_pid($node) or return ();

    return grep {
        slurp_or_empty("/proc/$_/cmdline") =~
          /^postgres: (?:\S+: )?\Q$type\E\b/
    } children_of($postmaster);
}

# process_pid(NODE, TYPE): one of them, waiting until there is one.
sub process_pid
{
    my ($node, $type) = @_;
    my @pids;

    wait_until(sub { @pids = process_pids($node, $type); return @pids > 0; },
        "a process \"$type\"")
      or BAIL_OUT("no process \"$type\"");
    return $pids[0];
}

sub is_zombie
{
    my ($pid) = @_;
    return defined $pid
      && slurp_or_empty("/proc/$pid/stat") =~ /^\d+ \(.*\) [ZX] /s;
}

# wait_gone(PID...): until none of them is there; a zombie is gone.
sub wait_gone
{
    my @pids = @_;

    return wait_until(
        sub {
            return !grep { -e "/proc/$_/stat" && !is_zombie($_) } @pids;
        },
        "the end of @pids");
}

# kill9_process(NODE, TYPE): SIGKILL to one process, and its pid.  What the
# postmaster makes of it is the caller's to await.
sub kill9_process
{
    my ($node, $type) = @_;
    my $pid = process_pid($node, $type);

    kill('KILL', $pid);
    wait_gone($pid);
    return $pid;
}

# kill9_tree(NODE): SIGKILL to the postmaster and everything below it.  A
# stopped parent forks no child behind our back.
sub kill9_tree
{
    my ($node) = @_;
    my $postmaster = postmaster_pid($node);

    kill('STOP', $postmaster);
    my @pids = ($postmaster, children_of($postmaster));
    kill('KILL', @pids);
    wait_gone(@pids);
    $node->{_pid} = undef;    # as kill9 does
    return;
}

# restart_by_force(NODE): start a server that was killed, however often the
# rests of the old one are still in the way.  Where process 1 takes no care of
# orphans (containers), a zombie would keep the lock file alive for ever.
sub restart_by_force
{
    my ($node) = @_;
    my $tries = 0;

    wait_until(
        sub {
            return 1 if $node->start(fail_ok => 1);
            unlink $node->data_dir . '/postmaster.pid',
              $node->host . '/.s.PGSQL.' . $node->port . '.lock'
              if ++$tries > 20 && is_zombie(postmaster_pid($node));
            $node->stop('fast', fail_ok => 1);
            $node->{_pid} = undef;
            return 0;
        },
        'a restart') or BAIL_OUT('no start after SIGKILL');
    return;
}

# crash_restart(NODE): SIGKILL to the postmaster alone, and start again when
# its children have noticed; they hold the old shared memory until then.
sub crash_restart
{
    my ($node) = @_;
    my $postmaster = postmaster_pid($node);
    my @pids = ($postmaster, children_of($postmaster));

    $node->kill9;
    wait_gone(@pids);
    restart_by_force($node);
    return;
}

# --------------------------------------------------------------- debug points

# debug_set(NODE, POINT, ACTION): 'wait', 'error', 'kill' or 'skip'; see
# src/debugpoint.c.  The file appears whole.
sub debug_set
{
    my ($node, $point, $action) = @_;
    my $dir = $node->data_dir . '/flowdb_debug';

    mkdir $dir;
    PostgreSQL::Test::Utils::append_to_file("$dir/.$point.new", $action);
    rename("$dir/.$point.new", "$dir/$point") or die "could not set $point: $!";
    return;
}

# debug_wait(NODE, POINT): until a process waits there.
sub debug_wait
{
    my ($node, $point) = @_;
    my $reached = $node->data_dir . "/flowdb_debug/$point.reached";

    return wait_until(sub { return -e $reached; }, "a stop at $point");
}

sub debug_clear
{
    my ($node, @points) = @_;
    my $dir = $node->data_dir . '/flowdb_debug';

    @points = map { s{.*/}{}r } glob("$dir/*") unless @points;
    unlink map { "$dir/$_" } @points;
    return;
}

# ------------------------------------------------------------------------ log

# my $from = log_size($node); ...; like(log_since($node, $from), qr/.../)
sub log_size
{
    my ($node) = @_;
    return -s $node->logfile || 0;
}

sub log_since
{
    my ($node, $from) = @_;
    return PostgreSQL::Test::Utils::slurp_file($node->logfile, $from);
}

1;
