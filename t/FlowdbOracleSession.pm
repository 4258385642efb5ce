# FlowdbOracleSession: a psql that stays, and statements sent through it.
#
#   my $s = FlowdbOracleSession->new($node, 'main', $log);
#   my @answers = $s->ask('SELECT 1', 'TABLE t');
#   # { rows => ['1'], tag => '', state => '00000', message => '' }
#
# All statements of a call go in one write, and errors stop none of them: in a
# transaction psql puts each into a savepoint of its own (ON_ERROR_ROLLBACK),
# so one of a pair can fail while the transaction lives on for the other.
package FlowdbOracleSession;

use strict;
use warnings;

use IO::Handle;
use POSIX ();
use Time::HiRes qw(time);

my $row_end = "\x1e";
my $field_end = "\x1f";

sub new
{
    my ($class, $node, $name, $log) = @_;
    my $self = bless { node => $node, name => $name, log => $log, n => 0 }, $class;

    $self->open;
    return $self;
}

sub open
{
    my ($self) = @_;
    my $connstr =
      $self->{node}->connstr('postgres') . " application_name=$self->{name}";

    pipe(my $child_in, my $in) or die "could not make a pipe: $!";
    pipe(my $out, my $child_out) or die "could not make a pipe: $!";
    my $pid = fork() // die "could not fork: $!";
    if ($pid == 0)
    {
        POSIX::dup2(fileno($child_in), 0);
        POSIX::dup2(fileno($child_out), 1);
        open(STDERR, '>', '/dev/null');
        exec('psql', '-XAt', '-R', $row_end, '-F', $field_end,
            '-P', 'null=<null>', '-v', 'ON_ERROR_ROLLBACK=on', '-d', $connstr)
          or POSIX::_exit(127);
    }
    close($child_in);
    close($child_out);
    $in->autoflush(1);
    @$self{qw(in out pid buffer)} = ($in, $out, $pid, '');
    $self->{lost} = 0;
    return;
}

sub close_session
{
    my ($self) = @_;

    return unless $self->{pid};
    close($self->{in});
    close($self->{out});
    waitpid($self->{pid}, 0);
    $self->{pid} = undef;
    return;
}

# ask(SQL...): an answer for each.  A statement of COPY is followed by its
# data.  When the connection is lost, state is 'lost' from there on.
sub ask
{
    my ($self, @sql) = @_;
    my $first = $self->{n} + 1;
    my $text = '';

    foreach my $sql (@sql)
    {
        my $n = ++$self->{n};
        my ($statement, $data) = ref $sql ? @$sql : ($sql);
        my $whole = "$statement;\n" . (defined $data ? "$data\\.\n" : '');
        print { $self->{log} } $whole if $self->{log};
        # a COPY that fails in its data leaves ERROR as it was
        $text .= "SELECT 1 AS one \\gset\n" if defined $data;
        # LAST_ERROR_MESSAGE stays what it was; ERROR tells
        $text .= $whole . "\\echo '=$n=' :ERROR :SQLSTATE :LAST_ERROR_MESSAGE '=end=$n='\n";
    }
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{in} } $text;
    return map { $self->answer($first + $_, $sql[$_]) } 0 .. $#sql;
}

# One word, or what was read; undef after too long.
sub read_more
{
    my ($self) = @_;
    my $bits = '';

    vec($bits, fileno($self->{out}), 1) = 1;
    select(my $ready = $bits, undef, undef, 180) > 0 or return undef;
    return sysread($self->{out}, $self->{buffer}, 65536, length $self->{buffer});
}

sub answer
{
    my ($self, $n, $sql) = @_;
    my $word = ref $sql ? $sql->[0] : $sql;

    my @found;
    my $end = qr/^=$n= (true|false) (\w{5}) ?(.*?) ?=end=$n=\n/ms;
    until (@found = $self->{buffer} =~ /\A(.*?)$end(.*)\z/s)
    {
        my $got = $self->{lost} ? 0 : $self->read_more;
        next if $got;
        $self->{lost} = 1;
        return { rows => [], tag => '', state => 'lost',
            message => defined $got ? 'connection lost' : 'no answer in 180 s' };
    }
    my ($body, $failed, $state, $message) = @found;
    $self->{buffer} = $found[4];

    my $tag = '';
    $tag = $1 if $body =~ s/((?:INSERT 0|UPDATE|DELETE|COPY|MERGE) \d+|FETCH \d+)\n\z//;
    $body = '' if $word !~ /^(SELECT|WITH|TABLE|VALUES|FETCH|EXECUTE|INSERT|UPDATE|DELETE|EXPLAIN)/;
    # no row leaves nothing, a row of nothing a newline
    my @rows = $body eq '' ? () : split(/$row_end/, $body =~ s/\n\z//r, -1);
    @rows = ('') if $body eq "\n";
    tr/\x1f/|/ foreach @rows;
    # psql does not tell the SQLSTATE of a COPY that fails in its data
    ($failed, $state) = ('true', 'COPY') if $tag eq '' && $word =~ /^COPY/ && $failed eq 'false';
    return {
        rows => \@rows,
        tag => $tag,
        state => $failed eq 'true' ? $state : '00000',
        message => $failed eq 'true' ? $message : ''
    };
}

1;
