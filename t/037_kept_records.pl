# Log records that recovery keeps for a database whose files cannot be reached:
# kept once, applied whole or not at all, and in nobody's way.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('primary', <<'EOC');
checkpoint_timeout = 1h
flowdb.auto_compaction = off
EOC
my $flowdb = $node->data_dir . '/flowdb';
create_twins($node, 't', 'flow');
create_twins($node, 'other', 'flow2');
my $dir = server_dir($node, 'flow');
my $later = $dir =~ s{([^/]+)$}{later-$1}r;
my $n = 1;

sub add_rows
{
    my ($table) = @_;
    my $values = "SELECT 'k' || i % 10, i, i * 3, md5(i::text) "
      . "FROM generate_series($n, $n + 499) i";
    $n += 500;
    $node->safe_psql('postgres', "BEGIN; INSERT INTO $table $values; "
          . "INSERT INTO ${table}_heap $values; COMMIT");
    return;
}

# The folder of "flow" is away when recovery needs it.
sub crash_without
{
    $node->safe_psql('postgres', 'CHECKPOINT'); # what is made in the log, redo makes
    add_rows('t') foreach 1 .. 8;
    kill9_tree($node);
    rename($dir, "$dir.away") && mkdir($dir) or die;
    restart_by_force($node);
    return;
}

sub put_back
{
    rmdir($dir) && rename("$dir.away", $dir) or die;
    return;
}

# ------------------------------------------------------------------ damage

add_rows('t');
crash_without();
my $size = -s $later;
cmp_ok($size // 0, '>', 10000, 'records are kept');
kill9_tree($node);
restart_by_force($node);
is(-s $later, $size, 'and once');

flip_byte($later, int($size / 2));
put_back();
ok(wait_for_sql($node, "SELECT reason ~ 'later-.* is damaged at offset' "
          . "FROM flowdb_stats WHERE server = 'flow'"),
    'damage in their middle is not their end');
is(-s $later, $size, 'nothing is thrown away');
kill9_tree($node);
restart_by_force($node);
like((try_sql($node, 'SELECT count(*) FROM t'))[2],
    qr/is damaged at offset/, 'nor by another recovery');
is(-s $later, $size, 'which leaves them as they are');
flip_byte($later, int($size / 2));
$node->restart;
is(twin_diff($node, 't'), '', 'all is there once that is mended');
ok(!-e $later, 'and nothing is kept any more');

# -------------------------------------------------------- no write buffers

crash_without();
my @workers = process_pids($node, 'flowdb worker');
kill('STOP', @workers);
like((try_sql($node, "SET statement_timeout = '8s'; INSERT INTO other SELECT 'x', i, i, "
          . "repeat('x', 500) FROM generate_series(1, 200000) i"))[2],
    qr/statement timeout/, 'another database has all write buffers');
put_back();
like((try_sql($node, 'SELECT count(*) FROM t'))[2],
    qr/^\z|no write buffers are free/, 'it is read, or told why not');
kill('CONT', @workers);
ok(wait_for_sql($node, 'SELECT count(*) > 0 FROM t'), 'once there is, it is applied');
is(twin_diff($node, $_), '', "\"$_\" is whole") foreach 't', 'other';
ok(!-e $later, 'and nothing is kept any more');

# ------------------------------------------------------- dropped meanwhile

my $standby = new_standby($node, 'standby', '');
my $there = $standby->data_dir . '/flowdb';
my ($name) = $dir =~ m{([^/]+)$};
$standby->stop;
rename("$there/$name", "$there/away") && mkdir("$there/$name") or die;
$standby->start;
add_rows('t');
$node->wait_for_catchup($standby);
$size = -s "$there/later-$name";
ok($size, 'a standby keeps records');
kill9_tree($standby);
restart_by_force($standby);
$node->wait_for_catchup($standby);
is(-s "$there/later-$name", $size, 'once, though it meets them again');
like((try_sql($standby, 'SELECT * FROM t'))[2],
    qr/HINT:  .*restart the standby/, 'it says what to do');
$node->safe_psql('postgres', 'DROP SERVER flow CASCADE');
$node->safe_psql('postgres',
    'CREATE SERVER more FOREIGN DATA WRAPPER flowdb_fdw; DROP SERVER more; CHECKPOINT');
add_rows('other');
$node->wait_for_catchup($standby);
is(twin_diff($standby, 'other'), '', 'until the database is dropped');
ok(!-e "$there/later-$name", 'then they are gone');
$standby->safe_psql('postgres', 'CHECKPOINT');
unlike(log_since($_, 0), qr/PANIC|TRAP:/, 'no PANIC') foreach $node, $standby;
$standby->stop;
$node->stop;
done_testing();
