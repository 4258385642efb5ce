# A FlowDB table behaves as a table: random statements, run on FlowDB's table
# and on a heap twin, must give the same rows, counts and errors.
#
# One session makes everything, first on one and then on the other; a second
# one reads at REPEATABLE READ and must never see anything move.  What may
# differ is listed, with the reasons, in FlowdbOracleCompare.pm.
#
#   FLOWDB_SEED=n      repeats a run
#   FLOWDB_STEPS=n     10000
#   FLOWDB_FAILURES=n  gives up after so many (3)
#   FLOWDB_SELF=1      two heap tables: tests the test
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbOracleRun;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{FLOWDB_SEED} // (time() * 1000) % 1_000_000_000;
my $steps = $ENV{FLOWDB_STEPS} // 10_000;
my $node = new_node('main', <<'EOC', extra => [ '-E', 'UTF8', '--locale=C.UTF-8' ]);
fsync = off
max_connections = 20
statement_timeout = 120s
lock_timeout = 20s
client_encoding = 'UTF8'
# what is disabled costs so much that everything would be compiled
jit = off
log_statement = none
log_min_error_statement = panic
log_min_messages = error
EOC

note("FLOWDB_SEED=$seed FLOWDB_STEPS=$steps");
srand($seed);
my $start = time();
my $run = FlowdbOracleRun->new(
    node => $node, seed => $seed, steps => $steps, self => $ENV{FLOWDB_SELF} ? 1 : 0,
    max_failures => $ENV{FLOWDB_FAILURES} // 3,
    log => "$PostgreSQL::Test::Utils::log_path/011_differential");
$run->run;

my %done = %{ $run->{done} };
note(sprintf '%d steps in %.0f s', $run->{step} - 1, time() - $start);
note("$done{$_} $_") foreach sort keys %done;
note("$run->{nonempty} answers with something in them");
is($run->{failed}, 0, "FlowDB's tables answer as the heap's (seed $seed)");
is($run->{crashes} // 0, 0, 'no connection was lost');
cmp_ok($done{'too slow'} // 0, '<=', 2 + $steps / 5000, 'few statements took too long');

# What is never done is not tested.
if ($steps >= 10_000 && !$run->{failed})
{
    cmp_ok($done{$_} // 0, '>', 0, "there was: $_") foreach (
        'insert', 'bulk insert', 'insert select', 'copy', 'update', 'move',
        'update from', 'delete', 'delete using', 'delete range', 'truncate',
        'series', 'change in a query', 'alter', 'execute', 'execute change', 'fetch',
        'plain', 'aggregate', 'join', 'lateral', 'locked', 'newest',
        'commit', 'rollback', 'rollback to', 'release', 'restart',
        'maintenance', 'reader looks again', 'create view', 'create partitions',
        'log of triggers', 'procedure', 'summed', 'extent', 'by groups',
        'by buckets', 'newest buckets', 'of groups', 'many buckets', 'edge rows', 'edge sums',
        $run->{self} ? () : ('plan with aggregates in the engine',
            'plan with groups in the engine', 'plan with buckets in order',
            'plan with workers'));
    cmp_ok($run->{nonempty}, '>', $steps / 3, 'most answers had something in them');
}
unlike(log_since($node, 0), qr/TRAP:|PANIC|was terminated by signal/,
    'no server process crashed');
$node->stop;
done_testing();
