# FlowdbOracleChanges: random INSERT, COPY, UPDATE, DELETE and TRUNCATE.
#
# A change is [kind, SQL for FlowDB, SQL for the heap, options].  Options:
# excepted: SQLSTATEs of the heap with which FlowDB may disagree (and then both
# are undone); several: it may meet several errors, and which of them comes
# first is a matter of the order of rows; copy: COPY's data.
package FlowdbOracleChanges;

use strict;
use warnings;

use Exporter 'import';
use FlowdbOraclePredicates;
use FlowdbOracleQueries;
use FlowdbOracleSeries;
use FlowdbOracleTables;
use FlowdbOracleTypes;

our @EXPORT = qw(random_change insert_rows bulk_insert);

sub column
{
    my ($alias, $col) = @_;
    return "$alias." . quote_name($col->{name});
}

sub returning
{
    my ($table, $alias) = @_;
    return '' if chance(0.7);
    return ' RETURNING ' . pick('*', name_list(undef, identity($table)),
        name_list(undef, pick(@{ $table->{cols} })));
}

# ------------------------------------------------------------------- inserts

# Columns of an INSERT: some of those that may be left out are.
sub insert_columns
{
    my ($table) = @_;
    my @cols = writable($table);

    @cols = grep { !chance(0.15) || $_->{role} =~ /key|time/ } @cols if chance(0.3);
    return chance(0.3) ? shuffled(@cols) : @cols;
}

# Rows of raw values, no two with one identity: the heap's DO UPDATE does not
# take them.
sub fresh_rows
{
    my ($table, $count, @cols) = @_;
    my (%seen, @rows);

    foreach (1 .. $count)
    {
        my @row = map { some_value($_) } @cols;
        my $id = join("\x00", map { $cols[$_]{role} =~ /key|time/ ? $row[$_] : () } 0 .. $#cols);
        push @rows, \@row unless $seen{$id}++;
    }
    return @rows;
}

# One INSERT for both; what only the heap says is put in at the end.
sub insert_twin
{
    my ($table, $head, $tail, $self) = @_;
    my ($f, $h) = twin($head);
    my $conflict = conflict_clause($table);

    if ($CAN{on_conflict} && chance(0.15))
    {
        return ("$f ON CONFLICT DO NOTHING$tail", "$h ON CONFLICT DO NOTHING$tail");
    }
    return (($self ? "$f $conflict" : $f) . $tail, "$h $conflict$tail");
}

# Through a view the heap's DO UPDATE refuses rows that it does not show.
sub unseen
{
    my ($table) = @_;
    return $table->{base} ? ['55000'] : [];
}

sub insert_rows
{
    my ($table, $self, $count) = @_;
    my @cols = insert_columns($table);
    my @rows = fresh_rows($table, $count // pick(1, 1, 1, 2, 3, 8), @cols);
    my $values = join(', ', map {
            my $row = $_;
            '(' . join(', ', map {
                    # what identifies the row is there in any case
                    $cols[$_]{default} && $cols[$_]{role} !~ /key|time/ && chance(0.2)
                      ? 'DEFAULT' : literal($cols[$_]{type}, $row->[$_])
                } 0 .. $#cols) . ')'
        } @rows);

    return [ 'insert',
        insert_twin($table, "INSERT INTO \@.$table->{name} ("
              . name_list(undef, @cols) . ") VALUES $values",
            returning($table), $self),
        { several => @rows > 1, excepted => unseen($table) } ];
}

# Rows of a series.
sub insert_series
{
    my ($table, $self) = @_;
    my ($cols, $select) = series_rows($table) or return insert_rows($table, $self);

    return [ 'series', insert_twin($table, "INSERT INTO \@.$table->{name} ("
              . name_list(undef, @$cols) . ") $select", '', $self),
        { several => 1, excepted => unseen($table) } ];
}

# Many rows of one key, by time, or by an integer key.
sub bulk_insert
{
    my ($table, $self) = @_;
    return insert_series($table, $self) if chance($table->{series} ? 0.9 : 0.3);
    my ($running) = grep { $_->{type} =~ /^(int4|int8|date|timestamp|timestamptz|text)$/ }
      reverse identity($table);
    return insert_rows($table, $self) if !$running || ++$table->{bulks} > 4;
    my %series = (int4 => '1000 + i', int8 => '1000 + i', date => "'2021-01-01'::date + i",
        text => "'bulk ' || i",
        timestamp => "'2021-01-01'::timestamp + i * interval '1 minute'",
        timestamptz => "'2021-01-01+00'::timestamptz + i * interval '1 minute'");
    my @cols = writable($table);
    my $list = join(', ', map {
            $_ == $running ? $series{ $_->{type} } : literal($_->{type}, some_value($_))
        } @cols);
    my $count = pick(50, 300, 300, 500);

    return [ 'bulk insert',
        insert_twin($table, "INSERT INTO \@.$table->{name} ("
              . name_list(undef, @cols) . ") SELECT $list FROM generate_series(1, $count) i",
            '', $self), { several => 1, excepted => unseen($table) } ];
}

# Rows of a table under other keys, into itself.
sub insert_select
{
    my ($table, $self) = @_;
    my @cols = writable($table);
    my %new = map { $_->{name} => column('x', $_) } @cols;
    my $moved = pick(identity($table));

    $new{ $moved->{name} } = literal($moved->{type}, value_for($moved));
    if (chance(0.3))
    {
        my $col = pick(@cols);
        $new{ $col->{name} } = literal($col->{type}, some_value($col));
    }
    my $by = join(', ', map { $new{ $_->{name} } } identity($table));
    my $order = $by . ', ' . name_list('x', identity($table));
    my $head = "INSERT INTO \@.$table->{name} (" . name_list(undef, @cols)
      . ") SELECT DISTINCT ON ($by) " . join(', ', map { $new{ $_->{name} } } @cols)
      . " FROM \@.$table->{name} x WHERE " . condition([ [ 'x', $table ] ])
      . " ORDER BY $order LIMIT 200";

    return [ 'insert select', insert_twin($table, $head, returning($table), $self),
        { several => 1, excepted => unseen($table) } ];
}

# The heap has no COPY that replaces: it goes through a table beside it.
sub copy_rows
{
    my ($table, $self) = @_;
    my @cols = insert_columns($table);
    my @rows = fresh_rows($table, 1 + below(12), @cols);
    my $data = join('', map { join("\t", map { copy_field($_) } @$_) . "\n" } @rows);
    my $list = name_list(undef, @cols);
    my $clause = conflict_clause($table);
    my $through = sub {
        my ($schema) = @_;
        return [
            "CREATE TEMP TABLE stage (LIKE $schema.$table->{name} INCLUDING DEFAULTS)",
            "ALTER TABLE stage " . join(', ',
                map { "ALTER " . quote_name($_->{name}) . ' DROP NOT NULL' }
                  grep { $_->{role} =~ /value|expire/ } @{ $table->{cols} }),
            [ "COPY stage ($list) FROM STDIN", $data ],
            "INSERT INTO $schema.$table->{name} (" . name_list(undef, writable($table))
              . ') SELECT ' . name_list(undef, writable($table)) . " FROM stage $clause",
            'DROP TABLE stage' ];
    };

    return [ 'copy', $self ? $through->('f')
            : [ [ "COPY f.$table->{name} ($list) FROM STDIN", $data ] ],
        $through->('h'), { several => 1 } ];
}

# ------------------------------------------------------------ update, delete

# A new value of a column that does not identify the row.
sub new_value
{
    my ($table, $col) = @_;
    my $name = column('x', $col);
    my $type = $col->{type};
    my @same = grep { $_->{type} eq $type && $_ != $col } @{ $table->{cols} };

    return literal($type, some_value($col)) if $col->{role} eq 'expire';
    return 'DEFAULT' if chance(0.1);
    return column('x', pick(@same)) if @same && chance(0.2);
    return "($name + 1)" if $type =~ /^(int[248]|numeric2?)$/ && chance(0.5);
    return "($name || 'x')" if $type eq 'text' && chance(0.4);
    return "NOT $name" if $type eq 'bool' && chance(0.5);
    return "(SELECT " . literal($type, value($type)) . ')' if chance(0.1);
    return literal($type, some_value($col));
}

sub set_list
{
    my ($table) = @_;
    my @cols = grep { $_->{role} =~ /value|expire/ } writable($table);
    @cols = (shuffled(@cols))[ 0 .. below(scalar @cols) ];
    return join(', ', map { quote_name($_->{name}) . ' = ' . new_value($table, $_) } @cols);
}

my %may_fail = (several => 1);

sub update_values
{
    my ($table) = @_;
    return [ 'update', twin("UPDATE \@.$table->{name} x SET " . set_list($table)
              . ' WHERE ' . condition([ [ 'x', $table ] ]) . returning($table)), \%may_fail ];
}

# Rows move.  Where one meets another, the heap says 23505 and FlowDB's
# 'replace' replaces; and rows that change places one by one meet on the way.
sub update_identity
{
    my ($table) = @_;
    my $scope = [ [ 'x', $table ] ];
    my $col = pick(identity($table));
    my $name = column('x', $col);
    my $type = $col->{type};
    my $set = quote_name($col->{name}) . ' = ';
    my $where = condition($scope);

    if ($type =~ /^int[248]$/ && chance(0.6))
    {
        my $step = pick(1000, 10000, -500);
        $set .= "$name + ($step)";
        $where = "($where) AND abs($name\::numeric) < 10000";
    }
    elsif ($type eq 'text' && chance(0.6))
    {
        $set .= "$name || " . quoted(pick('+', 'a', "\xc3\xa4"));
        $where = "($where) AND length($name) < 350";
    }
    elsif ($type =~ /^(date|timestamp)/ && chance(0.6))
    {
        my $sql = $TYPE{$type}{sql};
        $set .= "($name + interval '100 days')::$sql";
        $where = "($where) AND $name BETWEEN '1990-01-01' AND '2040-01-01'";
    }
    else
    {
        $set .= literal($type, value_for($col));
        $where = join(' AND ', map { column('x', $_) . ' = ' . literal($_->{type}, value($_->{type})) }
              identity($table)) if chance(0.4);
    }
    my @values = grep { $_->{role} eq 'value' } writable($table);
    $set .= ', ' . set_list($table) if @values && chance(0.3);
    return [ 'move', twin("UPDATE \@.$table->{name} x SET $set WHERE $where" . returning($table)),
        # out of its partition, or out of sight of its view
        { several => 1, excepted => [ '23505', $table->{partition_column} ? '23514' : () ] } ];
}

sub update_from
{
    my ($table, @tables) = @_;
    my $same = join(' AND ', map { column('x', $_) . ' = ' . column('y', $_) } identity($table));
    my $col = pick(grep { $_->{role} eq 'value' } writable($table));
    return update_values($table) unless $col;

    return [ 'update from', twin("UPDATE \@.$table->{name} x SET "
              . quote_name($col->{name}) . ' = ' . column('y', $col)
              . " FROM \@.$table->{name} y WHERE $same AND "
              . predicate([ [ 'x', $table ], [ 'y', $table ] ], 2)
              . (chance(0.7) ? '' : ' RETURNING x.*, ' . name_list('y', identity($table)))),
        \%may_fail ];
}

sub delete_rows
{
    my ($table) = @_;
    return [ 'delete', twin("DELETE FROM \@.$table->{name} x WHERE "
              . condition([ [ 'x', $table ] ])
              # of the rest some, lest tables be empty most of the time
              . (chance(0.6) ? ' AND ' . predicate([ [ 'x', $table ] ], 1) : '')
              . returning($table)), \%may_fail ];
}

sub delete_using
{
    my ($table, @tables) = @_;
    my $other = pick(@tables);
    return [ 'delete using', twin("DELETE FROM \@.$table->{name} x USING \@.$other->{name} y WHERE "
              . predicate([ [ 'x', $table ], [ 'y', $other ] ], 1) . ' AND '
              . predicate([ [ 'x', $table ] ], 1) . ' AND '
              . predicate([ [ 'y', $other ] ], 1)
              . (chance(0.7) ? '' : ' RETURNING ' . name_list('x', identity($table)))), \%may_fail ];
}

# A change inside of a query.
sub change_in_query
{
    my ($table, @tables) = @_;
    my $scope = [ [ 'x', $table ] ];
    my $sql = chance(0.5)
      ? "DELETE FROM \@.$table->{name} x WHERE " . condition($scope) . ' AND ' . predicate($scope, 1)
      : "UPDATE \@.$table->{name} x SET " . set_list($table) . ' WHERE ' . condition($scope);
    my $from = chance(0.5) ? 'c' : "\@.$table->{name}";
    return [ 'change in a query', twin("WITH c AS ($sql RETURNING x.*) SELECT "
              . name_list('d', identity($table)) . " FROM $from d"), \%may_fail ];
}

# Both bounds of keys are read by the type's input function.
sub delete_range
{
    my ($table, $self) = @_;
    my ($key) = keys_of($table);
    my ($time) = time_of($table);
    my ($c, $t) = map { $_ ? quote_name($_->{name}) : undef } ($key, $time);
    my $collate = $TYPE{ $key->{type} }{family} eq 'text' ? ' COLLATE "C"' : '';
    my @bounds = map { chance(0.2) ? undef : value($key->{type}) } 1 .. 2;
    my @times = map { !$time || chance(0.5) ? undef : value($time->{type}) } 1 .. 2;
    my @where = ('true');

    push @where, "$c >= " . literal($key->{type}, $bounds[0]) . $collate if defined $bounds[0];
    push @where, "$c < " . literal($key->{type}, $bounds[1]) . $collate if defined $bounds[1];
    push @where, "$t >= " . literal($time->{type}, $times[0]) if defined $times[0];
    push @where, "$t < " . literal($time->{type}, $times[1]) if defined $times[1];
    my ($f, $h) = twin("DELETE FROM \@.$table->{name} WHERE " . join(' AND ', @where));
    my $list = join(', ', map { defined $_ ? quoted($_) : 'NULL' } @bounds, @times);
    return [ 'delete range', $self ? $f : "SELECT flowdb_delete_range('f.$table->{name}', $list)",
        $h, { no_count => 1 } ];
}

sub truncate_table
{
    my ($table) = @_;
    return [ 'truncate', twin("TRUNCATE \@.$table->{name}"), { alone => 1 } ];
}

# ------------------------------------------------------------------- any one

sub random_change
{
    my ($self, @tables) = @_;
    my $table = pick(@tables);
    my $dice = below(100);

    # COPY, TRUNCATE and deletions of ranges are of tables alone
    $dice = below(30) if $table->{base} && ($dice >= 42 && $dice < 51 || $dice == 99);
    # and that fires no triggers
    $dice = 90 if ($table->{parts} || $table->{triggers}) && $dice >= 49 && $dice < 51;
    return insert_rows($table, $self) if $dice < 30 || (!$CAN{modify} && $dice < 60);
    return bulk_insert($table, $self) if $dice < 36;
    return insert_select($table, $self) if $dice < 42;
    return copy_rows($table, $self) if $dice < 49;
    return delete_range($table, $self) if $dice < 51;
    if ($dice >= 99)
    {
        return $CAN{truncate} ? truncate_table($table) : insert_rows($table, $self);
    }
    return insert_rows($table, $self) unless $CAN{modify};
    return update_values($table) if $dice < 66;
    return $CAN{moves} ? update_identity($table) : update_values($table) if $dice < 74;
    return update_from($table) if $dice < 78;
    return delete_rows($table) if $dice < 91;
    return delete_using($table, @tables) if $dice < 94;
    return change_in_query($table);
}

1;
