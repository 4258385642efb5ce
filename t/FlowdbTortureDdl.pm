# FlowdbTortureDdl: one client that makes, alters and drops tables, servers and
# a database, each time with heap twins in the same transaction.
package FlowdbTortureDdl;

use strict;
use warnings;

use FlowdbTortureSchema;

# d1 and d2 are in servers that stay, d3 and d4 go with theirs.
my @tables = (
    { name => 'd1', server => 'flow', dup => 'replace' },
    { name => 'd2', server => 'flow2', dup => 'ignore' },
    { name => 'd3', server => 'passing', dup => 'replace' },
    { name => 'd4', server => 'passing', dup => 'replace', until => 1 });

sub new
{
    my ($class) = @_;
    return bless { serial => 0 }, $class;
}

sub tables
{
    return @tables;
}

# On both of a pair.
sub both
{
    my ($t, $f, $h) = @_;

    $h //= $f;
    $f =~ s/\bT\b/$t->{name}/g;
    $h =~ s/\bT\b/h_$t->{name}/g;
    return "$f;\n$h;\n";
}

sub create
{
    my ($self) = @_;
    my $t = pick(@tables);
    my $store = rand() < 0.3 ? 'named' . ++$self->{serial} : undef;
    my $until = $t->{until} ? ", '2100-01-01'::timestamptz" : '';

    return create_twin({ %$t, store => $store })
      . both($t, "INSERT INTO T SELECT 'ddl', g, g, md5(g::text)$until FROM generate_series(1, 50) g");
}

sub drop
{
    my $t = pick(@tables);
    return "DROP FOREIGN TABLE $t->{name};\nDROP TABLE h_$t->{name};\n"
      . "DELETE FROM twins WHERE name = '$t->{name}';\n";
}

sub add_column
{
    my ($self) = @_;
    my $t = pick(@tables);
    my $column = 'c' . pick(1, 2, 3);

    return both($t, "ALTER FOREIGN TABLE T ADD COLUMN $column bigint",
        "ALTER TABLE T ADD COLUMN $column bigint")
      . both($t, "UPDATE T SET $column = ts WHERE k = 'ddl' AND ts < 20");
}

sub drop_column
{
    my $t = pick(@tables);
    my $column = 'c' . pick(1, 2, 3);

    return both($t, "ALTER FOREIGN TABLE T DROP COLUMN $column", "ALTER TABLE T DROP COLUMN $column");
}

sub rename_column
{
    my $t = pick(@tables);
    my @columns = map { 'c' . pick(1, 2, 3) } 1, 2;

    return both($t, "ALTER FOREIGN TABLE T RENAME COLUMN $columns[0] TO $columns[1]",
        "ALTER TABLE T RENAME COLUMN $columns[0] TO $columns[1]");
}

sub table_option
{
    my $t = pick(@tables);
    my $to = pick('stcs', 'lcs', 'twcs');

    return pick("ALTER FOREIGN TABLE $t->{name} OPTIONS (ADD merge_policy '$to');\n",
        "ALTER FOREIGN TABLE $t->{name} OPTIONS (SET merge_policy '$to');\n",
        "ALTER FOREIGN TABLE $t->{name} OPTIONS (DROP merge_policy);\n",
        "ALTER FOREIGN TABLE $t->{name} RENAME COLUMN v TO w;\n"
          . "ALTER FOREIGN TABLE $t->{name} RENAME COLUMN w TO v;\n");
}

sub server_option
{
    my $server = pick(server_names());

    return "ALTER SERVER $server OPTIONS ("
      . pick("ADD memtable_size_mb '2'", "SET memtable_size_mb '1'", 'DROP memtable_size_mb',
        "ADD compaction_interval_ms '50'", "SET compaction_interval_ms '200'",
        "ADD gc_interval_secs '1'", 'DROP gc_interval_secs',
        "ADD flush_interval_ms '100'", 'DROP flush_interval_ms') . ");\n";
}

sub create_server
{
    return "CREATE SERVER passing FOREIGN DATA WRAPPER flowdb_fdw;\n"
      . create_twin($tables[2])
      . "INSERT INTO d3 SELECT 'new', g, g FROM generate_series(1, 500) g;\n"
      . "INSERT INTO h_d3 SELECT 'new', g, g FROM generate_series(1, 500) g;\n";
}

sub drop_server
{
    return "DROP SERVER passing CASCADE;\nDROP TABLE IF EXISTS h_d3, h_d4;\n"
      . "DELETE FROM twins WHERE name IN ('d3', 'd4');\n";
}

# Stores with a name outlive their tables.
sub drop_stores
{
    return "SELECT flowdb_drop_store(server, store) FROM flowdb_stores WHERE orphan;\n";
}

# A database of its own, and the way back. The script ends where it cannot
# connect, so what may be left of an earlier one goes first.
sub database
{
    my $strategy = pick('wal_log', 'file_copy');
    my $rows = "SELECT 'k' || g % 7, g, g FROM generate_series(1, 300) g";

    return <<"EOC";
DROP DATABASE IF EXISTS passing_db;
CREATE DATABASE passing_db STRATEGY $strategy;
\\c passing_db
BEGIN;
CREATE EXTENSION flowdb_fdw;
CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE t (k text OPTIONS (role 'key') COLLATE "C" NOT NULL,
    ts bigint OPTIONS (role 'time') NOT NULL, v bigint) SERVER flow;
CREATE TABLE h_t (k text COLLATE "C", ts bigint, v bigint, PRIMARY KEY (k, ts));
INSERT INTO t $rows;
INSERT INTO h_t $rows;
COMMIT;
BEGIN;
UPDATE t SET v = v + 1 WHERE k = 'k3';
UPDATE h_t SET v = v + 1 WHERE k = 'k3';
COMMIT;
\\c postgres
EOC
}

my @steps = (
    [ create => 20 ], [ drop => 12 ], [ add_column => 8 ], [ drop_column => 4 ],
    [ rename_column => 4 ], [ table_option => 6 ], [ server_option => 6 ],
    [ create_server => 10 ], [ drop_server => 8 ], [ drop_stores => 4 ], [ database => 6 ]);

# script(N): so many steps, most of them committed.
sub script
{
    my ($self, $n) = @_;
    my $sql = '';

    foreach (1 .. $n)
    {
        my $dice = rand(88);
        my ($step) = grep { ($dice -= $_->[1]) < 0 } @steps;
        my $name = $step->[0];
        my $text = $self->$name;

        $self->{kinds}{$name}++;
        $sql .= $name eq 'database' ? $text : "BEGIN;\n$text" . (rand() < 0.15 ? "ROLLBACK;\n" : "COMMIT;\n");
        $sql .= sprintf("SELECT pg_sleep(%.3f);\n", rand(0.08));
    }
    return $sql;
}

1;
