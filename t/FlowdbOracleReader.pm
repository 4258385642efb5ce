# FlowdbOracleReader: a REPEATABLE READ transaction beside the writer.
#
# It asks some queries of both tables once, and the same ones again and again
# while the writer goes on; no answer may ever change.
package FlowdbOracleReader;

use strict;
use warnings;

use FlowdbOracleCompare;
use FlowdbOracleQueries;
use FlowdbOracleSession;
use FlowdbOracleTables;
use FlowdbOracleTypes;

# new(RUN, FILE for its statements)
sub new
{
    my ($class, $run, $path) = @_;
    my $self = bless { run => $run, asked => [], open => 0 }, $class;

    open($self->{file}, '>:raw', $path) or die "$path: $!";
    $self->{session} = FlowdbOracleSession->new($run->{node}, 'reader', $self->{file});
    return $self;
}

sub is_open { return $_[0]{open}; }

# After a restart: there is no transaction any more.
sub forget
{
    my ($self) = @_;
    $self->{session}->close_session;
    $self->{session} = undef;
    $self->{open} = 0;
    return;
}

sub session
{
    my ($self) = @_;
    my $run = $self->{run};
    $self->{session} //= FlowdbOracleSession->new($run->{node}, 'reader', $self->{file});
    return $self->{session};
}

sub begin
{
    my ($self) = @_;
    my $run = $self->{run};

    print { $self->{file} } "-- step $run->{step}\n";
    $self->session->ask('BEGIN ISOLATION LEVEL REPEATABLE READ');
    $self->{open} = 1;
    $self->{asked} = [];
    foreach my $table (@{ $run->{tables} })
    {
        $self->first("SELECT * FROM \@.$table->{name}", 0);
    }
    foreach (1 .. 4)
    {
        my ($kind, $sql, $ordered) = random_query(@{ $run->{tables} });
        $self->first($sql, $ordered) unless $kind eq 'locked';
    }
    return;
}

sub first
{
    my ($self, $sql, $ordered) = @_;
    my ($f, $h) = twin($sql);
    my ($fa, $ha) = $self->session->ask($f, $h);
    my $wrong = judge($fa, $ha, ordered => $ordered);

    return $self->{run}->disagree('reader', $f, $wrong) if $wrong ne '';
    push @{ $self->{asked} }, [ $f, $ordered, $fa ];
    return;
}

sub again
{
    my ($self, $asked) = @_;
    my ($sql, $ordered, $before) = @$asked;
    my ($now) = $self->session->ask($sql);
    my $wrong = judge($now, $before, ordered => $ordered);

    $self->{run}{done}{'reader looks again'}++;
    $self->{run}->disagree('reader moved', $sql, $wrong =~ s/heap: /before:/r) if $wrong ne '';
    return;
}

sub step
{
    my ($self) = @_;

    return $self->begin unless $self->{open};
    print { $self->{file} } "-- step $self->{run}{step}\n";
    $self->again(pick(@{ $self->{asked} })) if @{ $self->{asked} };
    $self->end if chance(0.12);
    return;
}

# All of it once more, and the end of the transaction.
sub end
{
    my ($self) = @_;

    return unless $self->{open};
    foreach my $asked (@{ $self->{asked} })
    {
        last if $self->{run}{stale};
        $self->again($asked);
    }
    $self->session->ask(chance(0.5) ? 'COMMIT' : 'ROLLBACK');
    $self->{open} = 0;
    return;
}

1;
