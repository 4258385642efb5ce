# Everything at once, and then SIGKILL: several clients with all kinds of
# statements, DDL, compaction, GC, expiry, checkpoints and a hot standby; heap
# twins, written in the same transactions, tell what is to be there.
#
# After each end (all processes, one of them, in recovery, of the standby, an
# immediate stop, a promotion): what was acknowledged is there, each other
# transaction whole or not at all, nothing else; the standby is as its primary;
# no file is left that no manifest names.
#
#   FLOWDB_ROUNDS=3    ends; 50 with FLOWDB_FULL=1
#   FLOWDB_SEED=...    repeat what a run tried (not its timing)
#   FLOWDB_BREAK=...   a debug point that breaks a rule (holder-skip-check,
#                      restartpoint-skip-flush, ...): then this has to fail
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use FlowdbTortureCheck;
use FlowdbTortureLoad;
use FlowdbTortureNodes;
use FlowdbTortureSchema;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{FLOWDB_ROUNDS} // ($ENV{FLOWDB_FULL} ? 50 : 3);
my $seed = $ENV{FLOWDB_SEED} // (time() * 1000 + $$) % 2**31;
my $transactions = 500;    # a client and round; an end comes long before
my $clients = 4;
my ($acked, $lost, $others) = (0, 0, 0);

diag("FLOWDB_SEED=$seed");
srand($seed);

my $nodes = FlowdbTortureNodes->new;
my $load = FlowdbTortureLoad->new($clients);
debug_set($nodes->{primary}, $ENV{FLOWDB_BREAK}, 'skip') if $ENV{FLOWDB_BREAK};
debug_set($nodes->{standby}, $ENV{FLOWDB_BREAK}, 'skip') if $ENV{FLOWDB_BREAK};

# clean(WHAT, WRONG...): a test that nothing is wrong.
sub clean
{
    my ($what, @wrong) = @_;
    return ok(!@wrong, $what) || diag(join("\n", @wrong[ 0 .. ($#wrong > 19 ? 19 : $#wrong) ]));
}

# Nobody is at work any more, but the server's own workers.
sub quiet
{
    my ($node) = @_;
    return wait_for_sql($node, <<'EOC', 0);
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
EOC
}

sub check_primary
{
    my ($when) = @_;
    my ($n, @wrong) = check_acks($nodes->{primary}, $load);

    $acked += $n;
    $lost += grep { /lost/ } @wrong;
    $others += grep { !/lost/ } @wrong;
    clean("$when: $n acknowledged transactions are there, no others", @wrong);
    @wrong = check_tables($nodes->{primary});
    $lost += grep { /only in h_|xlog without/ } @wrong;
    $others += grep { !/only in h_|xlog without/ } @wrong;
    return clean("$when: all or nothing, as the heap", @wrong);
}

sub check_standby
{
    my ($when) = @_;

    catch_up($nodes->{primary}, $nodes->{standby});
    clean("$when: the standby, as its own heap", check_tables($nodes->{standby}));
    return clean("$when: the standby, as the primary",
        check_same($nodes->{primary}, $nodes->{standby}));
}

# What has expired is dropped, and no file stays that is not needed.
sub settle
{
    my ($when) = @_;
    my $calls = join(' ', map { "SELECT flowdb_flush('$_'); SELECT flowdb_gc('$_');" } server_names());

    clean("$when: upkeep", forget_passing_db($nodes->{primary}),
        grep { !/^\d*$/ } split(/\n/, (try_sql($nodes->{primary}, $calls))[2]));
    my $checkpoint = sub { $nodes->{primary}->safe_psql('postgres', 'CHECKPOINT'); catch_up($nodes->{primary}, $nodes->{standby}); };
    clean("$when: files of the primary", check_files($nodes->{primary}, $checkpoint));
    return clean("$when: files of the standby", check_files($nodes->{standby}, $checkpoint));
}

# A table that has grown makes slow checks.
sub shrink
{
    foreach my $t (twin_tables())
    {
        my $n = $nodes->{primary}->safe_psql('postgres', "SELECT count(*) FROM h_$t->{name}");
        next if $n < 40_000;
        $nodes->{primary}->safe_psql('postgres',
            "BEGIN; TRUNCATE $t->{name}; DELETE FROM h_$t->{name}; COMMIT; VACUUM h_$t->{name}");
    }
    return;
}

foreach my $round (1 .. $rounds)
{
    my $end = FlowdbTortureNodes::end_of_round($round);
    my $when = "round $round, $end->{name}";
    my $moment = 0.5 + rand(2);

    ok($nodes->synchronous, "$when: the standby is synchronous") if $end->{on} eq 'both';
    $load->start($nodes->{primary}, $nodes->{standby}, $transactions);
    sleep($moment);
    # a checkpoint that has just become durable is a good moment
    try_sql($nodes->{primary}, 'CHECKPOINT') if $round % 3 == 0;
    try_sql($nodes->{standby}, 'CHECKPOINT') if $end->{on} eq 'standby';
    ok($nodes->happen($end), sprintf('%s: after %.2f s', $when, $moment));
    sleep(0.5) if $end->{on} eq 'standby';
    clean("$when: no complaint of the clients", $load->finish);
    wait_for_sql($nodes->{primary}, 'SELECT 1', 1) or BAIL_OUT('no restart');
    quiet($nodes->{primary}) or BAIL_OUT('clients do not end');
    check_primary($when);
    # a new standby, while others write
    $nodes->add_standby unless $nodes->{standby};
    wait_for_sql($nodes->{standby}, 'SELECT 1', 1) or BAIL_OUT('no standby');
    check_standby($when);
    settle($when);
    shrink();
}

is("$lost lost, $others others", '0 lost, 0 others', "of $acked acknowledged transactions");
note("$load->{kinds}{$_} $_") foreach sort keys %{ $load->{kinds} };
note("DDL: $load->{ddl}{kinds}{$_} $_") foreach sort keys %{ $load->{ddl}{kinds} };
note("errors: $load->{errors}{$_} of $_") foreach sort keys %{ $load->{errors} };
foreach my $log ($nodes->logs)
{
    unlike($log, qr/TRAP:|PANIC|terminated by signal (?!9)/, 'no assertion failed');
}
$nodes->{standby}->stop;
$nodes->{primary}->stop;
done_testing();
