# FlowdbOracleRun: one run of the differential test: sessions, steps, failures.
package FlowdbOracleRun;

use strict;
use warnings;

use FlowdbOracleChanges;
use FlowdbOracleCompare;
use FlowdbOracleEdges;
use FlowdbOraclePredicates;
use FlowdbOraclePrepared;
use FlowdbOracleQueries;
use FlowdbOracleReader;
use FlowdbOracleSession;
use FlowdbOracleSettings;
use FlowdbOracleTables;
use FlowdbOracleTypes;
use FlowdbTest;
use Test::More ();

# new(node, seed, steps, self, log): log is the beginning of the names of two
# files, which get all statements of the two sessions.
sub new
{
    my ($class, %o) = @_;
    my $self = bless {
        %o, tables => [], cursors => {}, prepared => [], done => {}, failed => 0,
        serial => 0, in_xact => 0, savepoints => [], history => [], nonempty => 0
    }, $class;

    open($self->{file}, '>:raw', "$o{log}_main.sql") or die "$o{log}: $!";
    $self->{file}->autoflush(1);
    print { $self->{file} } "-- seed $o{seed}\n\\set ON_ERROR_ROLLBACK on\n";
    $self->{session} = FlowdbOracleSession->new($o{node}, 'main', $self->{file});
    $self->{reader} = FlowdbOracleReader->new($self, "$o{log}_reader.sql");
    foreach my $a ($self->tell(oracle_sql()))
    {
        die "setup: $a->{message}" if $a->{state} ne '00000';
    }
    $self->tell("CREATE SERVER flow FOREIGN DATA WRAPPER flowdb_fdw "
          . "OPTIONS (block_size '16kB', flush_compression 'lz4')") unless $o{self};
    return $self;
}

# tell(SQL...): statements that are not for comparison; their answers.
sub tell
{
    my ($self, @sql) = @_;
    my @answers = $self->{session}->ask(@sql);
    $self->lost($answers[-1]) if $answers[-1]{state} eq 'lost';
    return @answers;
}

# ------------------------------------------------------------------ failures

sub remember
{
    my ($self, @sql) = @_;
    push @{ $self->{history} }, @sql;
    splice @{ $self->{history} }, 0, -15 if @{ $self->{history} } > 15;
    return;
}

sub brief
{
    my ($sql) = @_;
    return length $sql > 3000 ? substr($sql, 0, 3000) . ' ...' : $sql;
}

# disagree(WHAT, SQL, ANSWERS): tells, and goes on with new tables.
sub disagree
{
    my ($self, $kind, $sql, $both) = @_;

    $self->{failed}++;
    Test::More::diag("seed $self->{seed}, step $self->{step}, $kind:\n    " . brief($sql)
          . "\n    $both\n  tables:\n    "
          . join("\n    ", map { join("\n    ", @{ $_->{ddl} }) } @{ $self->{tables} })
          . "\n  last statements:\n    " . join("\n    ", map { brief($_) } @{ $self->{history} })
          . "\n  all of them are in $self->{log}_main.sql");
    print { $self->{file} } "-- step $self->{step} failed\n";
    $self->{stale} = 1;
    return;
}

# The connection is gone, which nobody has asked for.
sub lost
{
    my ($self, $answer) = @_;

    return if $self->{closing};
    $self->disagree('lost', $self->{history}[-1] // '', $answer->{message});
    $self->{crashes}++;
    $self->reconnect;
    return;
}

sub reconnect
{
    my ($self) = @_;

    $self->{closing} = 1;
    $self->{session}->close_session;
    $self->{reader}->forget;
    wait_for_sql($self->{node}, 'SELECT true');
    $self->{session}->open;
    print { $self->{file} } "-- connected again\n\\set ON_ERROR_ROLLBACK on\n";
    $self->forget_transaction;
    $self->{prepared} = [];
    $self->{closing} = 0;
    return;
}

# ------------------------------------------------------------------ comparing

# both(KIND, FLOW, HEAP, OPTIONS): runs a pair and judges.  Each side is a
# statement, or a list of which the last counts.
sub both
{
    my ($self, $kind, $f, $h, %o) = @_;
    my @f = ref $f ? @$f : ($f);
    my @h = ref $h ? @$h : ($h);
    my $shown = join("\n    ", map { ref $_ ? $_->[0] : $_ } @f, @h);

    $self->{done}{$kind}++;
    my @excepted = @{ $o{excepted} // [] };
    push @excepted, '22025' if $o{change} && $shown =~ /LIKE/;
    my $can_pair = @f == 1 && @h == 1 && !ref $f[0] && !ref $h[0] && !$o{alone};
    my ($fa, $ha);
    my $inside = $can_pair && (@excepted || $o{inside} || chance(0.4));
    $self->remember($inside ? "(in a function) $f[0]" : map { ref $_ ? $_->[0] : $_ } @f, @h);
    if ($inside)
    {
        my ($answer) = $self->tell(pair_sql($f[0], $h[0], $o{ordered}, @excepted));
        return if $self->{stale};
        my ($undone, $differ);
        return $self->too_slow if $answer->{state} eq '57014';
        ($fa, $ha, $undone, $differ) = pair_answers($answer);
        return $self->disagree($kind, $shown, "the pair failed: $answer->{state} $answer->{message}")
          unless $fa;
        $self->{done}{'  undone'}++ if $undone;
        return if $undone;
        return $self->disagree($kind, $shown, 'FlowDB|heap: ' . $answer->{rows}[0])
          if $differ && $fa->{state} eq '00000' && $ha->{state} eq '00000' && !$o{no_count};
    }
    else
    {
        my @answers = $self->tell(@f, @h);
        return if $self->{stale};
        my @mine = splice @answers, 0, scalar @f;
        ($fa, $ha) = (whole(@mine), whole(@answers));
        return $self->too_slow if grep { $_->{state} eq '57014' } $fa, $ha;
    }
    $self->{nonempty}++ if $ha->{state} eq '00000' && (@{ $ha->{rows} } || ($ha->{count} // '') =~ /[1-9]/);
    $self->{done}{"  error $ha->{state}" . ($ENV{FLOWDB_VERBOSE} ? substr($ha->{message} // "", 0, 60) : "")}++
      if $ha->{state} ne "00000";
    my $wrong = judge($fa, $ha, %o);
    $self->disagree($kind, $shown, $wrong) if $wrong ne '';
    return;
}

# It was cancelled, perhaps on one side only: that may be a join of all with
# all, of which either side's plan is the worse.
sub too_slow
{
    my ($self) = @_;
    $self->{done}{'too slow'}++;
    $self->{stale} = 1;
    return;
}

# Of several statements' answers the first error, or else the one that counts.
sub whole
{
    my (@answers) = @_;
    my ($error) = grep { $_->{state} ne '00000' } @answers;
    return $error if $error;
    my ($tagged) = grep { $_->{tag} ne '' } reverse @answers;
    my $a = $tagged // $answers[-1];
    ($a->{count}) = $a->{tag} =~ /(\d+)$/;
    return $a;
}

# --------------------------------------------------------------- transactions

sub forget_transaction
{
    my ($self) = @_;
    $self->{in_xact} = $self->{read_only} = $self->{truncated} = 0;
    $self->{savepoints} = [];
    return;
}

sub end_transaction
{
    my ($self, $word) = @_;

    return unless $self->{in_xact};
    $word //= chance(0.65) ? 'COMMIT' : 'ROLLBACK';
    $self->{done}{ lc $word }++;
    $self->remember($word);
    my ($answer) = $self->tell($word);
    $self->disagree($word, $word, "failed: $answer->{state} $answer->{message}")
      if $answer->{state} ne '00000' && !$self->{stale};
    $self->forget_transaction;
    return;
}

sub transaction_step
{
    my ($self) = @_;
    my $points = $self->{savepoints};
    my $dice = below(100);
    my $sql;

    if (!$self->{in_xact})
    {
        $self->{read_only} = chance(0.04);
        $sql = 'BEGIN' . pick('', '', ' ISOLATION LEVEL REPEATABLE READ')
          . ($self->{read_only} ? ' READ ONLY' : '');
        $self->{in_xact} = 1;
        $self->{done}{begin}++;
    }
    elsif ($dice < 35 || !@$points)
    {
        return $self->end_transaction if $dice < 15;
        push @$points, 's' . ++$self->{serial};
        $sql = "SAVEPOINT $points->[-1]";
        $self->{done}{savepoint}++;
    }
    elsif ($dice < 80)
    {
        my $at = below(scalar @$points);
        $sql = "ROLLBACK TO $points->[$at]";
        $#$points = $at;
        $self->{done}{'rollback to'}++;
    }
    else
    {
        my $at = below(scalar @$points);
        $sql = "RELEASE $points->[$at]";
        $#$points = $at - 1;
        $self->{done}{release}++;
    }
    $self->remember($sql);
    $self->tell($sql);
    return;
}

# ------------------------------------------------------------------ statements

# The times of rows that are there now.
sub look_for_edges
{
    my ($self) = @_;

    foreach my $table (@{ $self->{tables} })
    {
        next if $self->{step} < ($table->{look_again} // 0);
        my $sql = edges_sql($table, $self->{step}) or next;
        my ($answer) = $self->tell($sql);
        last if $self->{stale};
        $table->{look_again} = $self->{step} + 40;
        note_edges($table, @{ $answer->{rows} }) if $answer->{state} eq '00000';
        $self->{done}{'looked for edges'}++;
    }
    return;
}

sub query_step
{
    my ($self) = @_;
    $self->look_for_edges;
    my ($kind, $sql, $ordered) = random_query(@{ $self->{tables} });
    my @hints = hints($kind);
    my $workers = grep { /parallel/ } @hints;

    $self->tell(map { "SET $_" } @hints) if @hints;
    # a function's queries have none
    $self->both($kind, twin($sql), ordered => $ordered, alone => $workers);
    $self->look_at_plan($sql)
      if ($kind =~ /^(summed|extent|by |newest b|many b|of g)/ || $workers) && chance(0.2);
    $self->tell(map { "RESET $_" =~ s/ =.*//r } @hints) if @hints && !$self->{stale};
    return;
}

# What is done where: nothing to judge, but it is to happen.
sub look_at_plan
{
    my ($self, $sql) = @_;
    return if $self->{stale} || $self->{self};
    my ($f) = twin($sql);
    my ($answer) = $self->tell("EXPLAIN (COSTS OFF) $f");
    my $plan = join("\n", @{ $answer->{rows} });

    $self->{done}{'plan with aggregates in the engine'}++ if $plan =~ /FlowDB Aggregate:/;
    $self->{done}{'plan with groups in the engine'}++ if $plan =~ /FlowDB Group Key:/;
    $self->{done}{'plan with buckets in order'}++ if $plan =~ /FlowDB Order:/;
    $self->{done}{'plan with workers'}++ if $plan =~ /Workers Planned:/;
    return;
}

sub change_step
{
    my ($self) = @_;
    my ($kind, $f, $h, $o) = @{ random_change($self->{self}, @{ $self->{tables} }) };

    return $self->query_step if $kind eq 'copy' && $self->{read_only};
    if ($kind eq 'truncate')
    {
        return $self->query_step if chance(0.5);
        $self->{reader}->end;
        # a plan that reads no partition uses none: see FlowdbOracleCompare
        $self->tell('CLOSE ALL') if grep { $_->{parts} } @{ $self->{tables} };
        $self->{truncated} = 1 if $self->{in_xact};
    }
    $self->both($kind, $f, $h, %$o, change => 1);
    # what was loaded at once is soon in a file of its own
    $self->maintenance_step if !$self->{stale} && $kind =~ /^(series|bulk)/ && chance(0.4);
    $self->compare_tables if chance(0.3) && !$self->{stale};
    return;
}

sub compare_tables
{
    my ($self) = @_;
    foreach my $table (@{ $self->{tables} })
    {
        last if $self->{stale};
        $self->both('whole table', twin("SELECT * FROM \@.$table->{name}"), inside => chance(0.8));
    }
    $self->compare_log if !$self->{stale} && grep { $_->{triggers} } @{ $self->{tables} };
    return;
}

# What triggers have seen, in the order of nobody's promise.
sub compare_log
{
    my ($self) = @_;
    $self->both('log of triggers', twin('SELECT * FROM @.log'), inside => 1);
    $self->tell('TRUNCATE f.log, h.log') if !$self->{stale} && !$self->{in_xact} && !$self->{reader}->is_open;
    return;
}

# A procedure that ends transactions itself.
sub procedure_step
{
    my ($self) = @_;
    my $table = pick(@{ $self->{tables} });
    my $call = sub {
        return 'CALL oracle.commit_first($flow$' . $_[0] . '$flow$, $flow$' . $_[1] . '$flow$)';
    };
    my (@f, @h);

    return $self->query_step if $self->{in_xact} || $table->{base};
    foreach (1 .. 2)
    {
        my $change = insert_rows($table, $self->{self}, 1);
        push @f, $change->[1];
        push @h, $change->[2];
    }
    $self->both('procedure', $call->(@f), $call->(@h), alone => 1, no_count => 1, change => 1, several => 1);
    $self->compare_tables unless $self->{stale};
    return;
}

# ------------------------------------------------------------------- settings

sub setting_step
{
    my ($self) = @_;
    my $sql = random_setting($self->{self}) // return;

    $self->remember($sql);
    $self->tell($sql);
    $self->{done}{set}++;
    return;
}

sub maintenance_step
{
    my ($self) = @_;
    my $sql = random_maintenance($self->{self}) // return;

    return if $sql eq 'ANALYZE' && ($self->{truncated} || $self->{reader}->is_open);
    $self->remember($sql);
    my ($answer) = $self->tell($sql);
    $self->{done}{maintenance}++;
    $self->disagree('maintenance', $sql, "$answer->{state} $answer->{message}")
      if $answer->{state} !~ /^(00000|25006)$/ && !$self->{stale};
    return;
}

# ------------------------------------------------------------------------ DDL

sub table_step
{
    my ($self) = @_;
    return $self->query_step unless $CAN{alter};
    my $at = below(scalar @{ $self->{tables} });
    my $name = $self->{tables}[$at]{name};
    # what a view shows stays as it is
    return $self->query_step
      if grep { $_->{base} && ($_->{name} eq $name || $_->{base}{name} eq $name) } @{ $self->{tables} };
    my ($f, $h, $new) = alter_table($self->{tables}[$at], $self->{self});
    my $undo = chance(0.25);

    $self->{reader}->end;
    $self->end_transaction;
    $self->tell('CLOSE ALL');
    $self->{cursors} = {};
    $self->remember('BEGIN') if $undo;
    $self->tell('BEGIN') if $undo;
    my $failed = $self->{failed};
    $self->both('alter', $f, $h, alone => 1, no_count => 1);
    push @{ $new->{ddl} }, $f;
    if ($undo)
    {
        my ($sql, $ordered) = simple_query($new);
        $self->both('query after alter', twin($sql), ordered => $ordered, alone => 1)
          unless $self->{stale};
        $self->remember('ROLLBACK');
        $self->tell('ROLLBACK');
        pop @{ $new->{ddl} };
    }
    else
    {
        $self->{tables}[$at] = $new;
    }
    $self->compare_tables unless $self->{stale};
    return;
}

# Other tables; of the old ones some stay for a while.
sub recreate
{
    my ($self) = @_;
    my @drop = @{ $self->{tables} };

    $self->{reader}->end;
    $self->end_transaction;
    $self->{was_stale} = $self->{stale};
    $self->{stale} = 0;
    $self->tell('ROLLBACK', 'DEALLOCATE ALL', 'CLOSE ALL', 'TRUNCATE f.log, h.log');
    $self->{prepared} = [];
    $self->{cursors} = {};
    $self->{history} = [];
    # views go before what they show
    foreach my $sql (map { drop_table($_, $self->{self}) } reverse @drop)
    {
        my ($answer) = $self->tell($sql);
        $self->disagree('drop', $sql, "$answer->{state} $answer->{message}")
          if $answer->{state} ne '00000' && !$self->{was_stale};
    }
    $self->{tables} = [];
    $self->tell(random_zone());
    $self->tell(random_options()) unless $self->{self};
    foreach (1 .. pick(1, 2, 2, 3))
    {
        my $table = random_table('t' . ++$self->{serial});
        $self->new_table($table);
        $self->new_table(view_of($table, predicate([ [ 'x', $table ] ], 1)))
          if !$self->{stale} && chance(0.3);
    }
    return;
}

sub new_table
{
    my ($self, $table) = @_;
    my ($f, $h) = create_table($table, $self->{self});
    my @sql = (@$f, @$h);
    my @answers = $self->tell(@sql);

    $table->{ddl} = \@sql;
    push @{ $self->{tables} }, $table;
    $self->{done}{ $table->{base} ? 'create view' : $table->{parts} ? 'create partitions' : 'create table' }++;
    foreach my $i (0 .. $#sql)
    {
        $self->disagree('create table', $sql[$i], "$answers[$i]{state} $answers[$i]{message}")
          if $answers[$i]{state} ne '00000' && !$self->{stale};
    }
    return if $self->{stale} || $table->{base};
    foreach my $change (insert_rows($table, $self->{self}, 12), bulk_insert($table, $self->{self}))
    {
        my ($kind, $f1, $h1, $o) = @$change;
        $self->both($kind, $f1, $h1, %$o, change => 1) unless $self->{stale};
    }
    return if $self->{stale};
    return $self->count_by_index($table) if time_of($table) && chance(0.6);
    $self->maintenance_step if chance(0.4);
    return;
}

# Rows of one file, of which none was ever changed, are counted by its index.
sub count_by_index
{
    my ($self, $table) = @_;

    $self->tell("SELECT flowdb_flush('flow')", "SELECT flowdb_compact('flow')") unless $self->{self};
    $self->look_for_edges;
    foreach (1 .. 4)
    {
        my ($sql) = edge_sums($table);
        $self->both('edge sums', twin($sql)) if $sql && !$self->{stale};
    }
    return;
}

# ---------------------------------------------------------------------- steps

sub restart
{
    my ($self) = @_;

    $self->{closing} = 1;
    print { $self->{file} } "-- the server is stopped at once\n";
    $self->{node}->stop('immediate');
    restart_by_force($self->{node});
    $self->reconnect;
    $self->{cursors} = {};
    $self->{done}{restart}++;
    $self->compare_tables;
    return;
}

sub one_step
{
    my ($self) = @_;
    my $dice = below(1000);

    print { $self->{file} } "-- step $self->{step}\n";
    return $self->query_step if $dice < 380;
    return $self->change_step if $dice < 680;
    return $self->transaction_step if $dice < 800;
    return $self->prepared_step if $dice < 850;
    return $self->cursor_step if $dice < 890;
    return $self->setting_step if $dice < 920;
    return $self->maintenance_step if $dice < 945;
    return $self->table_step if $dice < 955;
    return $self->procedure_step if $dice < 960;
    return $self->compare_tables if $dice < 965;
    return $self->{reader}->step unless $self->{truncated};
    return;
}

# run: all steps, or until too much is wrong.
sub run
{
    my ($self) = @_;
    my $left = 0;
    my $next_restart = 1200 + below(1000);

    for ($self->{step} = 1; $self->{step} <= $self->{steps}; $self->{step}++)
    {
        last if $self->{failed} >= $self->{max_failures};
        if ($left-- <= 0 || $self->{stale})
        {
            $self->recreate;
            $left = 150 + below(400);
            next if $self->{stale};
        }
        $self->one_step;
        if ($self->{step} == $next_restart && !$self->{stale})
        {
            $self->restart;
            $next_restart += 1200 + below(1500);
        }
    }
    $self->{reader}->end;
    $self->end_transaction;
    $self->compare_tables unless $self->{stale};
    $self->{closing} = 1;
    $self->{session}->close_session;
    return;
}

1;
