# A random load is killed at random moments, again and again: what was
# acknowledged is there whole, in FlowDB and in the heap, and nothing else is.
#
#   FLOWDB_ROUNDS=15   kills
#   FLOWDB_SEED=...    repeat the load of a run (not its timing)
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbLoad;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{FLOWDB_ROUNDS} // 15;
my $seed = $ENV{FLOWDB_SEED} // (time() * 1000 + $$) % 2**31;
my $transactions = 600;    # a client and round; a kill comes long before
my $rounds_a_table = 4;

diag("FLOWDB_SEED=$seed");
srand($seed);

my $node = new_node('crash', <<'EOC');
flowdb.max_workers = 2
checkpoint_timeout = 30s
max_connections = 20
EOC
my $load = FlowdbLoad->new($node, 4);
my $table;

# The table is what it should be: as the heap's, and as the clients were told.
sub check
{
    my ($when, %params) = @_;

    is(join("\n", $load->judge(sync => 1)), '', "$when: all or nothing");
    is(twin_diff($node, $table), '', "$when: as the heap");
    return;
}

sub check_and_flush
{
    my ($when) = @_;

    check($when);
    $node->safe_psql('postgres', "SELECT flowdb_flush('flow')");
    check("$when, and a flush");
    return;
}

# ---------------------------------------------------------------------- SIGKILL

# The postmaster alone: its children notice, and end by themselves.
sub kill_postmaster
{
    crash_restart($node);
    return 1;
}

my $user = $node->safe_psql('postgres', 'SELECT current_user');
my @victims = (
    [ 'a client' => sub { kill_any($node, "$user postgres") } ],
    [ 'the launcher' => sub { kill_any($node, 'flowdb launcher') } ],
    [ 'a worker' => sub { kill_any($node, 'flowdb worker') } ],
    [ 'the checkpointer' => sub { kill_any($node, 'checkpointer') } ],
    [ 'the walwriter' => sub { kill_any($node, 'walwriter') } ],
    [ 'all processes' => sub { kill_and_restart($node) } ],
    [ 'the postmaster' => \&kill_postmaster ],);

# A second crash, before, in or after the recovery from the first.
sub kill_again
{
    my $delay = rand(0.6);

    if (!wait_until(sub { postmaster_pid($node) }, 'a postmaster'))
    {
        return;
    }
    sleep($delay);
    note(sprintf('killed again after %.3f s', $delay));
    kill_and_restart($node);
    return;
}

foreach my $round (1 .. $rounds)
{
    my ($name, $kill) = @{ $victims[ ($round - 1) % @victims ] };
    my $moment = 0.2 + rand(1.3);

    $table = $load->new_table if ($round - 1) % $rounds_a_table == 0;
    $load->start($transactions);
    sleep($moment);
    # a checkpoint that has just become durable is a good moment
    try_sql($node, 'CHECKPOINT') if $round % 2 == 0;
    ok($kill->(), sprintf('round %d: SIGKILL to %s after %.2f s',
            $round, $name, $moment));
    kill_again() if $round % 3 == 0;
    is(join("\n", $load->finish), '', "round $round: no other complaint");
    wait_for_sql($node, 'SELECT 1', 1) or BAIL_OUT('no restart');
    check_and_flush("round $round");
}

# --------------------------------------------------------------------- shutdown

$table = $load->new_table;
foreach my $mode ('fast', 'smart', 'immediate')
{
    # Smart shutdown waits for the clients: it takes them less to be done.
    $load->start($mode eq 'smart' ? 60 : $transactions);
    sleep(0.7);
    $node->stop($mode);
    is(control_data($node, 'Database cluster state'),
        $mode eq 'immediate' ? 'in production' : 'shut down',
        "$mode shutdown");
    is(join("\n", $load->finish), '', "$mode shutdown: no other complaint");
    $node->start;
    check_and_flush("$mode shutdown");
}

foreach my $number (1 .. $load->{tables})
{
    is(twin_diff($node, "load$number"), '', "table $number at the end");
}
unlike(log_since($node, 0), qr/TRAP:|PANIC/, 'no assertion failed');
$node->stop;
done_testing();
