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
use FlowdbTwins;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
  init_node
  new_node keep_log new_standby catch_up
  try_sql wait_until wait_for_sql
  start_sql sql_running end_sql gate_sql open_gate
  control_data server_dir flip_byte
  postmaster_pid children_of process_pids process_pid
  kill9_process kill9_tree crash_restart restart_by_force wait_gone
  wait_for_restart slower
  kill_any kill_and_restart
  debug_set debug_wait debug_clear debug_io log_since log_size
  stat_of no_crash
);
push @EXPORT, @FlowdbTwins::EXPORT;

# Patience of every wait, in seconds.
our $timeout = $PostgreSQL::Test::Utils::timeout_default || 180;

# slower(SECONDS): what is soon, where sanitizers or valgrind watch the server.
sub slower
{
    my ($seconds) = @_;
    return $seconds * ($ENV{FLOWDB_SLOWER} // 1);
}

# ------------------------------------------------------------------- servers

# Encoding and locale are not what this machine's environment says.
sub init_node
{
    my ($node, %init) = @_;

    $node->init(%init, extra => [ '--encoding=UTF8', '--locale=C', @{ $init{extra} // [] } ]);
    return;
}

# new_node(NAME, CONF, OPTIONS of init): a started server with FlowDB
# preloaded and the extension made in database postgres.
sub new_node
{
    my ($name, $conf, %init) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);

    init_node($node, allows_streaming => 1, %init);
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

# keep_log(PRIMARY): for standbys that are away, unless it does so already.  A
# checkpoint, and so every restart after a crash, removes the segments before
# the one it begins in, and a standby that asks for one of those waits forever.
sub keep_log
{
    my ($primary) = @_;

    return if $primary->safe_psql('postgres', 'SHOW wal_keep_size') ne '0';
    $primary->append_conf('postgresql.conf', "wal_keep_size = 512MB\n");
    $primary->reload;
    return;
}

# new_standby(PRIMARY, NAME, CONF): a started hot standby that streams.
sub new_standby
{
    my ($primary, $name, $conf) = @_;
    my $standby = PostgreSQL::Test::Cluster->new($name);

    keep_log($primary);
    $primary->backup("for_$name");
    $standby->init_from_backup($primary, "for_$name", has_streaming => 1);
    $standby->append_conf('postgresql.conf', $conf // '');
    $standby->start;
    return $standby;
}

# catch_up(PRIMARY, STANDBY...): until they show all that it has written.
sub catch_up
{
    my ($primary, @standbys) = @_;

    # this commit flushes what is in progress too; the rest is not sent
    $primary->safe_psql('postgres', 'SELECT txid_current()');
    $primary->wait_for_catchup($_, 'replay', $primary->lsn('insert')) foreach @standbys;
    return;
}

# stat_of(NODE, COLUMN): of flowdb_stats, for server "flow".
sub stat_of
{
    my ($node, $column) = @_;
    return $node->safe_psql('postgres',
        "SELECT $column FROM flowdb_stats WHERE server = 'flow'");
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
# stopped parent forks no child behind our back; one that is being forked when
# the signal comes would wait for dead ones' locks for ever.
sub kill9_tree
{
    my ($node) = @_;
    my $postmaster = postmaster_pid($node);

    kill('STOP', $postmaster);
    wait_until(
        sub {
            slurp_or_empty("/proc/$postmaster/stat") !~ /^\d+ \(.*\) [^TZX] /s;
        },
        'the postmaster to stand still');
    my @pids = ($postmaster, children_of($postmaster));
    kill('KILL', @pids);
    wait_gone(@pids);
    $node->{_pid} = undef;    # as kill9 does
    return;
}

# A zombie keeps its lock file alive until process 1 takes care of it, which
# takes a while, and in containers for ever.
sub forget_zombie
{
    my ($node) = @_;
    my $end = time() + 0.2;

    while (is_zombie(postmaster_pid($node)))
    {
        if (time() > $end)
        {
            unlink $node->data_dir . '/postmaster.pid',
              $node->host . '/.s.PGSQL.' . $node->port . '.lock';
            return;
        }
        sleep(0.02);
    }
    return;
}

# restart_by_force(NODE): start a server that was killed, however often the
# rests of the old one are still in the way.
sub restart_by_force
{
    my ($node) = @_;

    wait_until(
        sub {
            forget_zombie($node);
            return 1 if $node->start(fail_ok => 1);
            $node->stop('fast', fail_ok => 1);
            $node->{_pid} = undef;
            return 0;
        },
        'a restart') or BAIL_OUT('no start after SIGKILL');
    return;
}

# Until the postmaster has ended all processes because one was killed; that of a
# server in recovery may end then itself.
sub wait_for_notice
{
    my ($node, $from, $who) = @_;

    return wait_until(
        sub {
            log_since($node, $from) =~
              /processes terminated; reinit|database system is shut down/;
        },
        "the postmaster to notice the end of $who");
}

# wait_for_restart(NODE, FROM): after SIGKILL to one process.  Its client is
# told by the kernel, and may ask again before the postmaster has noticed; FROM
# is the log's size before the kill.
sub wait_for_restart
{
    my ($node, $from) = @_;

    return wait_for_notice($node, $from, 'a process')
      && wait_for_sql($node, 'SELECT 1', 1);
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

# kill_any(NODE, TYPE): SIGKILL to one of its processes of a type, until the
# postmaster has ended all others; false: there is none.
sub kill_any
{
    my ($node, $type) = @_;
    my $from = log_size($node);
    my @pids = process_pids($node, $type);

    return 0 unless @pids;
    kill('KILL', $pids[ int(rand(@pids)) ]);
    return wait_for_notice($node, $from, $type);
}

# kill_and_restart(NODE): SIGKILL to all of its processes.
sub kill_and_restart
{
    my ($node) = @_;
    kill9_tree($node);
    restart_by_force($node);
    return 1;
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

# debug_io(NODE, [OPERATION, ERRNO, PART OF PATH]...): from now on FlowDB's
# operation fails on such files; nothing given: none does.  Operations: open,
# create, read, write, torn (half of it is written), sync, rename, unlink,
# mkdir, syncdir, list.
sub debug_io
{
    my ($node, @faults) = @_;

    return debug_clear($node, 'io') unless @faults;
    debug_set($node, 'io', join '', map { "@$_\n" } @faults);
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

# no_crash(NODE, WHAT, FROM): a test that the log says of none, from there on.
sub no_crash
{
    my ($node, $what, $from) = @_;
    unlike(log_since($node, $from // 0),
        qr/was terminated by signal|TRAP:|PANIC|reinitializing/,
        "$what: no process crashed");
    return;
}

1;
