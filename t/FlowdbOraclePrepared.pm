# FlowdbOraclePrepared: statements that are prepared and executed again and
# again, and cursors that are read in between.
#
# Both are kept by the run: "prepared" is a list, "cursors" tells by name if
# one scrolls.
package FlowdbOraclePrepared;

use strict;
use warnings;

use Exporter 'import';
use FlowdbOracleAggregates;
use FlowdbOraclePredicates;
use FlowdbOracleQueries;
use FlowdbOracleTables;
use FlowdbOracleTypes;

our @EXPORT = qw(prepared_step cursor_step);

sub prepared_step
{
    my ($self) = @_;

    if (@{ $self->{prepared} } < 4 || chance(0.2))
    {
        my $name = 'p' . ++$self->{serial};
        my $table = pick(@{ $self->{tables} });
        params_begin();
        my ($kind, $sql, $ordered) = random_query(@{ $self->{tables} });
        my $change = $CAN{modify} && chance(0.3);
        $sql = change_prepared($table) if $change;
        my @types = params_end();
        return if $change && $sql =~ /LIKE/;
        my $types = @types ? '(' . join(', ', map { $TYPE{$_}{sql} } @types) . ')' : '';
        my ($f, $h) = twin($sql);
        $self->both('prepare', "PREPARE ${name}_f$types AS $f", "PREPARE ${name}_h$types AS $h",
            alone => 1);
        push @{ $self->{prepared} }, { name => $name, types => \@types,
            ordered => !$change && $ordered, change => $change };
        shift @{ $self->{prepared} } if @{ $self->{prepared} } > 8;
        return;
    }
    my $p = pick(@{ $self->{prepared} });
    # an unlucky one is not asked six times
    foreach (1 .. 1 + below(3))
    {
        last if $self->{stale};
        my $list = join(', ', map { literal($_, chance(0.05) ? undef : value($_)) } @{ $p->{types} });
        $list = "($list)" if $list ne '';
        $self->both($p->{change} ? 'execute change' : 'execute',
            "EXECUTE $p->{name}_f$list", "EXECUTE $p->{name}_h$list", alone => 1,
            ordered => $p->{ordered}, change => $p->{change}, several => $p->{change});
    }
    return;
}

sub change_prepared
{
    my ($table) = @_;
    my $where = condition([ [ 'x', $table ] ]);
    my ($col) = grep { $_->{role} eq 'value' } writable($table);
    return "DELETE FROM \@.$table->{name} x WHERE ($where) AND " . predicate([ [ 'x', $table ] ], 1)
      if chance(0.4);
    return "UPDATE \@.$table->{name} x SET " . quote_name($col->{name}) . ' = '
      . literal($col->{type}, some_value($col)) . " WHERE $where";
}

sub cursor_step
{
    my ($self) = @_;
    my @names = sort keys %{ $self->{cursors} };

    if (!@names || (@names < 3 && chance(0.3)))
    {
        my $table = pick(@{ $self->{tables} });
        my ($sql, $ordered) = chance(0.3) ? newest_buckets($table) : simple_query($table);
        my $hold = chance(0.2) ? ' WITH HOLD' : '';
        my $name = 'c' . ++$self->{serial};
        return $self->query_step if !$ordered || (!$hold && !$self->{in_xact});
        my $scroll = chance(0.4) ? 'SCROLL' : 'NO SCROLL';
        my ($f, $h) = twin($sql);
        $self->{cursors}{$name} = $scroll;
        $self->both('declare cursor', "DECLARE ${name}_f $scroll CURSOR$hold FOR $f",
            "DECLARE ${name}_h $scroll CURSOR$hold FOR $h", alone => 1);
        return;
    }
    my $name = pick(@names);
    my $how = pick(1, 3, 10, 100, 'ALL');
    $how = pick($how, "BACKWARD $how", 'FIRST', 'LAST', 'PRIOR', 'ABSOLUTE 3', 'ABSOLUTE -2', 'RELATIVE 2')
      if $self->{cursors}{$name} eq 'SCROLL';
    if (chance(0.1))
    {
        delete $self->{cursors}{$name};
        $self->both('close cursor', "CLOSE ${name}_f", "CLOSE ${name}_h", alone => 1);
        return;
    }
    $self->both('fetch', "FETCH $how FROM ${name}_f", "FETCH $how FROM ${name}_h",
        alone => 1, ordered => 1);
    # of one that its transaction has taken away enough is known
    delete $self->{cursors}{$name} if chance(0.15);
    return;
}

1;
