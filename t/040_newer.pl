# What PostgreSQL 17 and 18 have and 15 has not, of what concerns the server:
# incremental backups, checksums by default, a timeout of transactions.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

# The launcher's transaction lasts as long as the server, whatever is set.
my $node = new_node('primary', <<'EOC');
flowdb.memtable_size = '1MB'
idle_in_transaction_session_timeout = 500
EOC
plan skip_all => 'needs PostgreSQL 17' if $node->pg_version < 17;

$node->append_conf('postgresql.conf', <<'EOC');
summarize_wal = on
transaction_timeout = 500
EOC
$node->restart;
create_twins($node, 't', 'metrics');
my $launcher = process_pid($node, 'flowdb launcher');
my $next = 1;

sub add_rows
{
    my ($n) = @_;
    my $rows = "SELECT 'k' || i % 7, i, i, md5(i::text) "
      . "FROM generate_series($next, $next + $n - 1) i";

    $next += $n;
    $node->safe_psql('postgres',
        "BEGIN; INSERT INTO t $rows; INSERT INTO t_heap $rows; COMMIT");
    return;
}

add_rows(1000);
sleep(1.5);
$node->reload;
sleep(1);
is(process_pid($node, 'flowdb launcher'),
    $launcher, 'no timeout ends the transaction of the launcher');
my ($rc, $out, $err) = try_sql($node,
    "BEGIN; INSERT INTO t VALUES ('late', 1, 1); SELECT pg_sleep(5); COMMIT");
isnt($rc, 0, 'but one of a client that lasts too long');
like($err, qr/transaction timeout/, 'which is told why');
is(twin_diff($node, 't'), '', 'and nothing of it is there');
$node->append_conf('postgresql.conf', "transaction_timeout = 0\n");
$node->reload;

# A full backup and two that have what is new since the one before; rows in
# files, in memory, replaced and merged between them.
my @before;
foreach my $name (qw(full first second))
{
    my @options = @before
      ? ('--incremental', $node->backup_dir . "/$before[-1]/backup_manifest")
      : ();

    add_rows(20000);
    $node->safe_psql('postgres', "SELECT flowdb_flush('metrics')");
    add_rows(500);
    $node->safe_psql('postgres', <<'EOC');
BEGIN;
UPDATE t SET n = n + 1 WHERE ts % 10 = 0;
UPDATE t_heap SET n = n + 1 WHERE ts % 10 = 0;
DELETE FROM t WHERE ts % 97 = 0;
DELETE FROM t_heap WHERE ts % 97 = 0;
COMMIT;
SELECT flowdb_compact('metrics');
EOC
    $node->backup($name, backup_options => \@options);
    push @before, $name;
}
add_rows(100);

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'second', combine_with_prior => [ 'full', 'first' ]);
$copy->start;
is(twin_diff($copy, 't'), '', 'a copy from incremental backups has all rows');
$copy->safe_psql('postgres', <<'EOC');
INSERT INTO t VALUES ('copy', 1, 1);
INSERT INTO t_heap VALUES ('copy', 1, 1);
SELECT flowdb_flush('metrics');
EOC
kill9_tree($copy);
restart_by_force($copy);
is(twin_diff($copy, 't'), '', 'and goes on like any server');

# FlowDB's files have checksums of their own, which these tools know not of.
SKIP:
{
    skip 'checksums are the default from 18 on', 1 if $node->pg_version < 18;
    $copy->stop;
    command_ok([ 'pg_checksums', '--check', '-D', $copy->data_dir ],
        'pg_checksums has nothing against FlowDB\'s files');
}

done_testing();
