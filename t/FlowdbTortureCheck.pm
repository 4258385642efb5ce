# FlowdbTortureCheck: is all there that was acknowledged, and nothing else?
# Each function returns what is wrong, in lines; nothing is right.
package FlowdbTortureCheck;

use strict;
use warnings;

use Exporter 'import';
use FlowdbTest;
use Time::HiRes qw(sleep);

our @EXPORT = qw(check_acks check_tables check_same check_files forget_passing_db);

sub ask
{
    my ($node, $sql, $database) = @_;
    my ($rc, $out, $err) = ('', '', '');

    $rc = eval {
        $node->psql($database // 'postgres', $sql, stdout => \$out, stderr => \$err,
            on_error_stop => 1);
    };
    return grep { $_ ne '' } split /\n/, $out if defined $rc && $rc == 0;
    return ("\"$sql\" failed: $out $err" . ($@ // ''));
}

# ---------------------------------------------------------------- transactions

# What the clients were told, against the heap's list: none of those that were
# acknowledged is missing, of each client at most the last one more is there,
# and nothing that was rolled back. Returns also the number acknowledged.
sub check_acks
{
    my ($node, $load) = @_;
    my (%there, @wrong);
    my $acked = 0;

    foreach my $row (ask($node, "SELECT client, i FROM xlog WHERE i >= $load->{first}"))
    {
        my ($c, $i) = split /\|/, $row;
        return ($acked, $row) unless defined $i;
        $there{$c}{$i} = 1;
    }
    foreach my $c (1 .. $load->{clients})
    {
        my $told = $load->{acked}{$c};
        my @lost = grep { !$there{$c}{$_} } sort { $a <=> $b } keys %$told;
        my @more = grep { $load->{given}{$c}{$_} eq 'commit' && !$told->{$_} } keys %{ $there{$c} };
        my @undone = grep { $load->{given}{$c}{$_} eq 'rollback' } keys %{ $there{$c} };

        $acked += keys %$told;
        push @wrong, "client $c: lost @lost" if @lost;
        push @wrong, "client $c: @more were never acknowledged" if @more > 1;
        push @wrong, "client $c: @undone were rolled back" if @undone;
    }
    return ($acked, @wrong);
}

# ---------------------------------------------------------------------- tables

my $differences = <<'EOC';
SELECT 'xlog without ack: ' || x FROM (SELECT client, i FROM xlog EXCEPT SELECT client, i FROM acks) x
UNION ALL
SELECT 'ack without xlog: ' || x FROM (SELECT client, i FROM acks EXCEPT SELECT client, i FROM xlog) x
UNION ALL
SELECT 'no list speaks of ' || ftrelid::regclass FROM pg_foreign_table
WHERE ftrelid::regclass::text NOT IN (SELECT name FROM twins UNION SELECT 'acks')
UNION ALL
SELECT d FROM twins, differ(name) d
UNION ALL
SELECT d FROM twins, walk(name) d
UNION ALL
SELECT server || ' is ' || state || coalesce(': ' || reason, '') FROM flowdb_stats
WHERE state NOT IN ('open', 'closed');
EOC

# A crash in DROP DATABASE leaves one that nobody can connect to.
my $passing_db = "SELECT datname FROM pg_database WHERE datname = 'passing_db' AND datconnlimit <> -2";

# All twins, by one snapshot, and the database that comes and goes.
sub check_tables
{
    my ($node) = @_;
    my @wrong = ask($node, $differences);
    my ($there) = ask($node, $passing_db);

    return @wrong unless $there;
    return @wrong
      if join('', ask($node, "SELECT to_regclass('t') IS NULL", 'passing_db')) eq 't';
    return (@wrong, ask($node, <<'EOC', 'passing_db'));
SELECT 'passing_db, in one only: ' || x FROM (
  (SELECT * FROM t EXCEPT ALL SELECT * FROM h_t) UNION ALL
  (SELECT * FROM h_t EXCEPT ALL SELECT * FROM t)) x LIMIT 10
EOC
}

sub forget_passing_db
{
    my ($node) = @_;
    return ask($node, 'DROP DATABASE IF EXISTS passing_db');
}

# The standby holds what its primary holds; no row is about to expire.
sub check_same
{
    my ($primary, $standby) = @_;
    my $digests = 'SELECT name, digest(name) FROM twins ORDER BY name';
    my ($here, $there) = map { join("\n", ask($_, $digests)) } $primary, $standby;

    return $here eq $there ? () : ("primary: $here", "standby: $there");
}

# ----------------------------------------------------------------------- files

# What is in flowdb/ of a node, as "folder" and "folder/SST/file". The reserve
# for a full disk is there on purpose.
sub files_there
{
    my ($node) = @_;
    my $top = $node->data_dir . '/flowdb';
    my @folders = map { s{.*/}{}r } grep { -d } glob("$top/*");

    return (@folders, map { substr($_, length($top) + 1) } glob("$top/*/SST/*"), glob("$top/*/INDEX/pgsql_tmp*"),
        grep { !/pgsql_tmp\.reserve$/ } glob("$top/pgsql_tmp*"));
}

# And what should be, by the catalogs and the manifests.
sub files_listed
{
    my ($node) = @_;
    my @databases = ('postgres', ask($node, $passing_db));

    return map {
        my $database = $_;
        my ($made) = ask($node, "SELECT to_regclass('flowdb_stats') IS NOT NULL", $database);
        $made ne 't' ? () : ask($node, <<'EOC', $database)
WITH folders AS (
  SELECT s.srvname, coalesce((SELECT split_part(o, '=', 2) FROM unnest(s.srvoptions) o WHERE o LIKE 'data_dir=%'),
    d.oid || '-' || s.oid) AS folder
  FROM pg_foreign_server s, pg_database d WHERE d.datname = current_database())
SELECT folder FROM folders UNION ALL
SELECT folder || '/SST/' || lpad(to_hex(id), 16, '0') || '.sst' FROM folders JOIN flowdb_sstables ON server = srvname
EOC
    } @databases;
}

# With nothing going on: no file that no manifest names, none that is missing.
# What was replaced goes within a moment, on a standby with a checkpoint that is
# replayed; so this is asked for a while, and CHECKPOINT called meanwhile.
sub check_files
{
    my ($node, $checkpoint) = @_;
    my @wrong;

    foreach my $try (0 .. 100)
    {
        $checkpoint->() if $try % 20 == 0;
        my %there = map { $_ => 1 } files_there($node);
        my %listed = map { $_ => 1 } files_listed($node);
        @wrong = ((map { "orphan: $_" } grep { !$listed{$_} } sort keys %there),
            (map { "missing: $_" } grep { !$there{$_} } sort keys %listed));
        return () unless @wrong;
        sleep(0.1);
    }
    return @wrong > 10 ? (@wrong[ 0 .. 9 ], @wrong . ' in all') : @wrong;
}

1;
