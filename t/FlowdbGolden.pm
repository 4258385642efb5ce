# FlowdbGolden: what a released version has left in $PGDATA/flowdb, and how a
# new cluster takes it over.
#
# t/golden/VERSION.tar.gz holds the directory of a stopped server, and the
# bytes of its WAL records of each type.  The same statements (below; never
# changed once they are released) make it, and heap tables with the same rows
# in a new cluster.  The files of two clusters differ by oids and by the
# system identifier, which are put right when one takes over the other's.
# t/golden/VERSION.layout: descriptions, rows and heads of files as bytes.
package FlowdbGolden;

use strict;
use warnings;

use Exporter 'import';
use Cwd 'abs_path';
use File::Copy qw(copy);
use File::Path qw(remove_tree);
use FindBin;
use FlowdbTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  golden_dir golden_versions golden_make golden_pack golden_layout
  golden_install golden_diff golden_records
  slurp_raw spew_raw crc32c wal_records
);

# Columns to compare: no expiry is read back as infinity.
my %columns = (
    metrics => '*',
    readings => "region, device, port, at, coalesce(until, 'infinity'), value, added",
    journal => '*',
    every_key => "a, b, c, d, e, f, g, h, i, t, coalesce(until, 'infinity'), v");
my $debug_functions = <<'EOC';
CREATE FUNCTION rows(server text, store text) RETURNS text STRICT LANGUAGE C
    AS 'flowdb_fdw', 'flowdb_debug_rows';
CREATE FUNCTION description(server text, store text) RETURNS bytea STRICT LANGUAGE C
    AS 'flowdb_fdw', 'flowdb_debug_description';
CREATE FUNCTION describe(description bytea) RETURNS bytea STRICT LANGUAGE C
    AS 'flowdb_fdw', 'flowdb_debug_describe';
CREATE FUNCTION log_record(type int, body bytea) RETURNS pg_lsn STRICT LANGUAGE C
    AS 'flowdb_fdw', 'flowdb_debug_log';
EOC

# ------------------------------------------------------------------ statements

# {name} is a foreign table, or a heap of the same columns; what is between
# [ and ] is for the foreign one only.
my @steps = (
    'CREATE [FOREIGN] TABLE {metrics} (host text COLLATE "C" NOT NULL, ts timestamptz NOT NULL,'
      . ' usage float8, note text, n int, tags text[], j jsonb, num numeric, ok boolean)'
      . q{[ SERVER m1 OPTIONS (store 'metrics', key_columns 'host', time_column 'ts')]},
    'CREATE [FOREIGN] TABLE {readings} (region text COLLATE "C" NOT NULL, device uuid NOT NULL, port smallint NOT NULL,'
      . ' at bigint NOT NULL, until timestamptz, v int, old text)'
      . q{[ SERVER m1 OPTIONS (store 'all readings', key_columns 'region,device,port', time_column 'at', expire_column 'until')]},
    'CREATE [FOREIGN] TABLE {journal} (id bytea NOT NULL, payload bytea)'
      . q{[ SERVER m2 OPTIONS (store 'journal', key_columns 'id')]},
    'CREATE [FOREIGN] TABLE {every_key} (a smallint, b int, c bigint, d boolean, e uuid, f date, g timestamp, h timestamptz,'
      . ' i varchar(20) COLLATE "C", t date, until date, v text)'
      . q{[ SERVER m2 OPTIONS (store 'every key', key_columns 'a,b,c,d,e,f,g,h,i', time_column 't', expire_column 'until')]},

    q{INSERT INTO {metrics} SELECT 'host-' || i % 20, timestamptz '2026-01-01 00:00+00' + i * interval '10 s', i / 8.0,}
      . q{ CASE WHEN i % 3 = 0 THEN NULL ELSE 'note ' || i END, i, ARRAY['tag' || i % 5, NULL],}
      . q{ jsonb_build_object('i', i), i::numeric / 7, i % 2 = 0 FROM generate_series(1, 400) i},
    q{INSERT INTO {metrics} VALUES ('long', '2026-01-01', NULL, repeat('long ', 2000), -1, NULL, NULL, 'NaN', NULL),}
      . q{ ('', '-infinity', '-infinity', '', 0, '{}', 'null', 0, false), ('edge', 'infinity', 'NaN', 'x', 1, NULL, '[]', 1e20, true)},
    q{INSERT INTO {readings} SELECT 'r' || chr(1 + i % 3), md5((i % 5)::text)::uuid, i % 4 - 2, i - 50,}
      . q{ CASE WHEN i % 4 = 0 THEN NULL ELSE timestamptz '2190-01-01' + i * interval '1 h' END, i, 'old ' || i FROM generate_series(1, 100) i},
    q{INSERT INTO {journal} SELECT decode(md5(i::text), 'hex'), decode(repeat(md5(i::text), i % 9), 'hex') FROM generate_series(1, 100) i},
    q{INSERT INTO {every_key} SELECT i - 20, -i, i * 10000000000, i % 2 = 0, md5(i::text)::uuid, date '1999-12-20' + i,}
      . q{ timestamp '2000-01-01' - i * interval '1 h', timestamptz '2000-01-01+00' + i * interval '1 min', 'k' || chr(1 + i), date '2026-01-01' + i,}
      . q{ NULLIF(date '2190-01-01' + i, '2190-01-05'), 'v' || i FROM generate_series(1, 40) i},
    '[SELECT flowdb_flush(s) FROM (VALUES (name \'m1\'), (\'m2\')) v (s)]',

    # Columns that are added, renamed and dropped; what a rollback leaves.
    'ALTER [FOREIGN] TABLE {readings} ADD COLUMN added int DEFAULT 7',
    'ALTER [FOREIGN] TABLE {readings} RENAME COLUMN v TO value',
    'ALTER [FOREIGN] TABLE {readings} DROP COLUMN old',
    q{INSERT INTO {readings} SELECT 'new', md5(i::text)::uuid, 0, i, NULL, i, i FROM generate_series(1, 20) i},
    q{UPDATE {metrics} SET usage = usage + 1, note = 'changed' WHERE n % 10 = 0},
    q{DELETE FROM {metrics} WHERE n % 13 = 0},
    q{DELETE FROM {metrics} WHERE host = 'host-3'},
    q{DELETE FROM {readings} WHERE region = 'r' || chr(2) AND at > 20},
    q{BEGIN; SET LOCAL flowdb.transaction_buffer = '64kB'; INSERT INTO {metrics}}
      . q{ SELECT 'rolled back', timestamptz '2026-01-01' + i * interval '1 s', 1, repeat('x', 500) FROM generate_series(1, 300) i; ROLLBACK},
    q{BEGIN; INSERT INTO {journal} VALUES ('\x00ff', '\x01'); SAVEPOINT s; INSERT INTO {journal} VALUES ('\x00ff00', '\x02');}
      . q{ ROLLBACK TO s; INSERT INTO {journal} VALUES ('\x', '\x03'); COMMIT},
    "[SELECT flowdb_flush('m1'), flowdb_compact('m1', 'metrics'), flowdb_flush('m2')]",
    q{INSERT INTO {metrics} (host, ts, note) VALUES ('kept in the log', '2026-03-01 00:00+00', 'by golden_records')},
);

# A statement for foreign tables, or for heaps.
sub spell
{
    my ($sql, $foreign) = @_;

    $sql =~ s/(?<!ARRAY)\[((?:FOREIGN|\s*SERVER|SELECT)[^\]]*)\]/$foreign ? $1 : ''/ge;
    $sql =~ s/\{(metrics|readings|journal|every_key)\}/$foreign ? $1 : "${1}_heap"/ge;
    return $sql;
}

# golden_make(NODE): both kinds of tables, with their rows.
sub golden_make
{
    my ($node) = @_;

    $node->safe_psql('postgres', $debug_functions . <<'EOC');
CREATE SERVER m1 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (auto_background 'false');
CREATE SERVER m2 FOREIGN DATA WRAPPER flowdb_fdw OPTIONS (data_dir 'named', auto_background 'false',
    flush_compression 'none', merge_policy 'twcs', block_size '1024');
EOC
    $node->safe_psql('postgres',
        join('', map { my $sql = $_; map { spell($sql, $_) . ";\n" } (1, 0) } @steps));
    return;
}

# golden_diff(NODE): rows that are in a foreign table or in its heap only.
sub golden_diff
{
    my ($node) = @_;

    return $node->safe_psql('postgres', join('', map { <<"EOC" } sort keys %columns));
WITH f AS (SELECT $columns{$_} FROM $_), h AS (SELECT $columns{$_} FROM ${_}_heap)
SELECT '$_', * FROM ((TABLE f EXCEPT ALL TABLE h) UNION ALL (TABLE h EXCEPT ALL TABLE f)) d LIMIT 20;
EOC
}

# ----------------------------------------------------------------------- bytes

sub slurp_raw
{
    my ($path) = @_;
    open(my $file, '<:raw', $path) or die "could not open $path: $!";
    local $/ = undef;
    return <$file>;
}

sub spew_raw
{
    my ($path, $bytes) = @_;
    open(my $file, '>:raw', $path) or die "could not open $path: $!";
    print $file $bytes;
    close($file) or die "could not write $path: $!";
    return;
}

my @crc_table = map {
    my $crc = $_;
    $crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
    $crc
} 0 .. 255;

sub crc32c
{
    my ($bytes) = @_;
    my $crc = 0xffffffff;

    $crc = ($crc >> 8) ^ $crc_table[ ($crc ^ $_) & 0xff ] for unpack('C*', $bytes);
    return $crc ^ 0xffffffff;
}

# patch(PATH, CODE): CODE changes $_, the bytes without the checksum behind.
sub patch
{
    my ($path, $code) = @_;
    my $bytes = slurp_raw($path);

    crc32c(substr($bytes, 0, -4)) == unpack('L<', substr($bytes, -4))
      or die "wrong checksum in $path";
    local $_ = substr($bytes, 0, -4);
    $code->();
    spew_raw($path, $_ . pack('L<', crc32c($_)));
    return;
}

# The registry: (forgotten_before, entries of {db, server, identity, create,
# drop, path}), as doc/FORMAT.md has it.
sub registry
{
    my ($path) = @_;
    my ($magic, $version, $zero, $forgotten, $n, $rest) = unpack('a8 L< L< Q< Q< a*', slurp_raw($path));
    my @entries;

    for my $i (0 .. $n - 1)
    {
        my %entry;
        @entry{qw(db server identity create drop path)} = unpack('L< L< Q< Q< Q< Z64', substr($rest, 96 * $i, 96));
        push @entries, \%entry;
    }
    return ($forgotten, @entries);
}

# wal_records(NODE, FROM): [type, main data] of each record of ours at or
# behind a position, read from the segments.  Records have no block references.
sub wal_records
{
    my ($node, $from) = @_;
    my $wal = $node->data_dir . '/pg_wal';
    my $to = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
    my ($dump) = run_command([ 'pg_waldump', '-p', $wal, '-r', 'custom184', '-s', $from, '-e', $to ]);
    my @records;

    while ($dump =~ m{len \(rec/tot\):\s*\d+/\s*(\d+),.* lsn: ([0-9A-F]+)/([0-9A-F]+)}g)
    {
        my $record = wal_bytes($wal, hex($2), hex($3), $1);
        my ($info, $id) = unpack('x16 C x7 C', $record);
        my $at = 24;

        # of a subtransaction's
        $at += 5 if unpack('C', substr($record, $at, 1)) == 252;
        $at += unpack('C', substr($record, $at, 1)) == 255 ? 2 : 5;
        push @records, [ $info & 0xf0, substr($record, $at) ];
    }
    return @records;
}

sub wal_bytes
{
    my ($wal, $high, $low, $length) = @_;
    my $bytes = '';

    while (length($bytes) < $length)
    {
        my $offset = $low % (1 << 24);
        my $head = $offset == 0 ? 40 : 24;
        my $path = sprintf('%s/%08X%08X%08X', $wal, 1, $high, $low >> 24);

        $low += $head, next if $offset % 8192 == 0;
        my $n = 8192 - $offset % 8192;
        $n = $length - length($bytes) if $n > $length - length($bytes);
        open(my $file, '<:raw', $path) or die "could not open $path: $!";
        seek($file, $offset, 0);
        read($file, my $part, $n) == $n or die "$path is short";
        $bytes .= $part;
        $low += $n;
    }
    return $bytes;
}

# ---------------------------------------------------------------------- layout

# golden_layout(NODE, RECORDS): what files and records look like, without
# what differs from cluster to cluster.
sub golden_layout
{
    my ($node, @records) = @_;
    my $text = '';

    foreach my $store ([ 'm1', 'metrics' ], [ 'm1', 'all readings' ], [ 'm2', 'journal' ], [ 'm2', 'every key' ])
    {
        my $name = join("', '", @$store);
        $text .= "description $store->[1] " . $node->safe_psql('postgres', "SELECT describe(description('$name'))") . "\n";
        $text .= $node->safe_psql('postgres',
            "SELECT string_agg(CASE WHEN n <= 4 AND length(line) < 400 THEN line ELSE left(md5(line), 12) END, chr(10) ORDER BY n)"
              . " FROM regexp_split_to_table(rows('$name'), chr(10)) WITH ORDINALITY r (line, n)") . "\n";
    }
    foreach my $path ('registry', 'named/IDENTITY')
    {
        my $bytes = slurp_raw($node->data_dir . "/flowdb/$path");
        # how many entries the registry has is a matter of time
        $text .= sprintf("%s %d bytes %s\n", $path, length($bytes) % 96, unpack('H32', $bytes));
    }
    foreach my $record (grep { $_->[0] != 0 } @records)
    {
        my ($type, $body) = @$record;
        $text .= sprintf("record %02x %d bytes %s\n", $type, length($body),
            $type == 0x10 ? unpack('x40 Z64', $body) : '');
    }
    my %seen;
    $seen{ 'kind ' . join(' version ', unpack('x8 C C', $_->[1])) } = 1 for grep { $_->[0] == 0 } @records;
    return $text . join("\n", sort keys %seen) . "\n";
}

# golden_records(RECORDS): what is kept of them as bytes: one CREATE, one DROP,
# and the batch of the last statement.
sub golden_records
{
    my (@records) = @_;
    my ($create) = grep { $_->[0] == 0x10 && unpack('x40 Z64', $_->[1]) eq 'named' } @records;
    my ($drop) = grep { $_->[0] == 0x20 } @records;
    my ($batch) = grep { $_->[0] == 0 && index($_->[1], 'kept in the log') >= 0 } @records;

    return join('', map { sprintf("%02x %s\n", $_->[0], unpack('H*', $_->[1])) } $create, $drop, $batch);
}

# --------------------------------------------------------------------- archives

sub golden_dir
{
    return abs_path($FindBin::RealBin) . '/golden';
}

sub golden_versions
{
    my @versions = map { m{([^/]+)\.tar\.gz$} } glob(golden_dir() . '/*.tar.gz');

    return sort { my @x = split(/\./, $a); my @y = split(/\./, $b); $x[0] <=> $y[0] || $x[1] <=> $y[1] } @versions;
}

# golden_pack(NODE, RECORDS, PATH): the archive of a stopped server.
sub golden_pack
{
    my ($node, $records, $path) = @_;

    spew_raw($node->data_dir . '/flowdb/records', $records);
    system_or_bail('sh', '-c',
        'tar -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - flowdb | gzip -9n >"$2"',
        'sh', $node->data_dir, $path);
    unlink $node->data_dir . '/flowdb/records';
    return;
}

# golden_install(NODE, VERSION): a stopped server on which golden_make has run
# gets the files of the archive in place of its own; returns the records.
my $behind = 0;

sub golden_install
{
    my ($node, $version) = @_;
    my $flowdb = $node->data_dir . '/flowdb';
    my (undef, @own) = registry("$flowdb/registry");
    my %new = map { $_->{path} => $_ } @own;
    my $system = control_data($node, 'Database system identifier');

    remove_tree($flowdb);
    system_or_bail('tar', '-C', $node->data_dir, '-xzf', golden_dir() . "/$version.tar.gz");
    my (undef, @old) = registry("$flowdb/registry");
    patch("$flowdb/registry", sub {
            foreach my $i (0 .. $#old)
            {
                my $new = $new{ $old[$i]{path} };
                substr($_, 32 + 96 * $i, 8) = pack('L< L<', $new->{db}, $new->{server});
            }
        });
    foreach my $old (@old)
    {
        my $new = $new{ $old->{path} };
        my $dir = $old->{path} || "$old->{db}-$old->{server}";

        patch("$flowdb/$dir/IDENTITY", sub {
                substr($_, 16, 8) = pack('Q<', $system);
                substr($_, 32, 8) = pack('L< L<', $new->{db}, $new->{server});
            });
        rename("$flowdb/$dir", "$flowdb/$new->{db}-$new->{server}") or die "rename: $!" if !$old->{path};
    }
    my $records = slurp_raw("$flowdb/records");
    unlink "$flowdb/records";

    # Its positions and transactions must lie behind us, and so must those that
    # an archive before has come to.
    if (!$behind++)
    {
        command_ok([ 'pg_resetwal', '-l', '000000010000000000000020', '-x', '30000', $node->data_dir ],
            "golden $version: log and transactions begin behind its own");
    }
    return map { [ map { pack('H*', $_) } split ] } split(/\n/, $records);
}

1;
