# A database that flowdb_create_database() makes for a server that has had one
# before, which was rolled back: records of both name the same server.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('primary', "checkpoint_timeout = 1h\n");

# A copy of a server's definition without a database.
$node->safe_psql('postgres', <<'EOC');
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE a (
    key text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL, n bigint) SERVER flow;
CREATE FOREIGN TABLE b (
    key bigint OPTIONS (role 'key') NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL, note text) SERVER flow;
EOC
my $standby = new_standby($node, 'standby', '');
my $create = "SELECT flowdb_create_database('flow');";
my $first = "INSERT INTO a SELECT 'k' || i % 7, i, i FROM generate_series(1, 500) i;";
my $second = "INSERT INTO b SELECT i % 7, i, 'good' FROM generate_series(1, 300) i;"
  . "INSERT INTO a SELECT 'good', i, i FROM generate_series(1, 20) i;";
my $count = "SELECT (SELECT count(*) FROM a) || '|' || (SELECT count(*) FROM b)";

sub answer
{
    my ($server, $database, $sql) = @_;
    my ($out, $err) = ('', '');
    my $rc = eval { $server->psql($database, $sql, stdout => \$out, stderr => \$err) };
    return ($rc // 1) == 0 ? $out : $err;
}

sub is_good
{
    my ($database, $what) = @_;

    is(answer($node, $database, $count), '20|300', $what);
    $node->wait_for_catchup($standby);
    is(answer($standby, $database, $count), '20|300', "$what: on the standby");
    kill9_tree($node);
    restart_by_force($node);
    is(answer($node, $database, $count), '20|300', "$what: after a crash");
    is($node->safe_psql($database, 'SELECT state FROM flowdb_stats'),
        'open', "$what: it is open");
    is($node->safe_psql($database, "INSERT INTO b VALUES (1, 0, 'more'); $count"),
        '20|301', "$what: and takes rows");
    is(scalar(my @kept = glob($node->data_dir . '/flowdb/{later,aside}-*')),
        0, "$what: nothing is set aside");
    return;
}

# All of the first one follows the redo position.
$node->safe_psql('postgres', 'CREATE DATABASE one TEMPLATE postgres');
$node->safe_psql('one', "BEGIN; $create $first ROLLBACK");
$node->safe_psql('one', "BEGIN; $create $second COMMIT");
is_good('one', 'rolled back');

# As above, by a savepoint.
$node->safe_psql('postgres', 'CREATE DATABASE two TEMPLATE postgres');
$node->safe_psql('two', "SET flowdb.transaction_buffer = '64kB'; BEGIN; SAVEPOINT s; "
      . "$create $first ROLLBACK TO s; $create $second COMMIT");
is_good('two', 'rolled back to a savepoint');

# And what was rolled back leaves nothing that the commit would look for.
$node->safe_psql('postgres', 'CREATE DATABASE none TEMPLATE postgres');
like(answer($node, 'none', "BEGIN; SAVEPOINT s; $create INSERT INTO a VALUES ('x', 1); "
          . 'ROLLBACK TO s; CREATE TABLE kept (); COMMIT; SELECT count(*) FROM kept'),
    qr/^\s*0\z/, 'rolled back to a savepoint, for good');

# Of the first one only some records follow it, not that it was made.
$node->safe_psql('postgres', 'CREATE DATABASE three TEMPLATE postgres');
my $session = start_sql($node, "\\c three\nBEGIN; $create\n" . gate_sql('g')
      . " $first SELECT flowdb_flush('flow'); ROLLBACK;\n$create $second\n");
wait_for_sql($node,
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%gate\\_g%' "
      . 'AND pid <> pg_backend_pid()', 1);
$node->safe_psql('postgres', 'CHECKPOINT');
open_gate($node, 'g');
my ($rc, $out, $err) = end_sql($session);
is("$rc$err", '0', 'a first one that a checkpoint has seen');
is_good('three', 'rolled back after a checkpoint');

unlike(log_since($_, 0), qr/PANIC|TRAP:|is broken/, 'nothing broke') foreach $node, $standby;
$standby->stop;
$node->stop;
done_testing();
