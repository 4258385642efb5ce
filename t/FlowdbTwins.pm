# FlowdbTwins: tables of FlowDB's that have a heap table beside them, which is
# written the same and tells what is to be there. FlowdbTest exports all of it.
package FlowdbTwins;

use strict;
use warnings;

use Exporter 'import';
use Test::More;

our @EXPORT = qw(create_twins twin_rows add_twin_rows twin_diff is_whole twin_function);

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

# twin_rows(NAME, FROM, TO): SQL that adds the rows of these numbers to both, in
# one transaction.
sub twin_rows
{
    my ($name, $from, $to) = @_;
    my $values = "SELECT 'k' || i % 10, i, i * 3, md5(i::text) "
      . "FROM generate_series($from, $to) i";

    return "BEGIN; INSERT INTO $name $values; "
      . "INSERT INTO ${name}_heap $values; COMMIT";
}

# add_twin_rows(NODE, NAME, FROM, TO): adds them.
sub add_twin_rows
{
    my ($node, @rows) = @_;
    $node->safe_psql('postgres', twin_rows(@rows));
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

# is_whole(NODE, NAME, WHAT): a test that both hold the same.
sub is_whole
{
    my ($node, $name, $what) = @_;
    is(eval { twin_diff($node, $name) } // $@, '', "$what: \"$name\" is whole");
    return;
}

# twin_function: SQL that makes twin(f, h, heap_first), which runs one statement
# on each and undoes both when they count differently: under READ COMMITTED each
# has a snapshot of its own.
sub twin_function
{
    return <<'EOC';
CREATE FUNCTION twin(f text, h text, heap_first bool) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  nf bigint;
  nh bigint;
BEGIN
  IF heap_first THEN
    EXECUTE h;
    GET DIAGNOSTICS nh = ROW_COUNT;
  END IF;
  EXECUTE f;
  GET DIAGNOSTICS nf = ROW_COUNT;
  IF NOT heap_first THEN
    EXECUTE h;
    GET DIAGNOSTICS nh = ROW_COUNT;
  END IF;
  IF nf <> nh THEN
    RAISE EXCEPTION 'skew at %: % and %: %', current_setting('transaction_isolation'), nf, nh, f
      USING ERRCODE = 'SK001';
  END IF;
  RETURN nf;
END $$;
EOC
}

1;
