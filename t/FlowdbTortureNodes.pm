# FlowdbTortureNodes: a primary and its standby, and the ways in which they come
# to an end.
package FlowdbTortureNodes;

use strict;
use warnings;

use FlowdbTest;
use FlowdbTortureSchema;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $conf = <<'EOC';
flowdb.max_workers = 2
flowdb.memtable_size = '1MB'
flowdb.gc_interval = '1s'
flowdb.obsolete_file_retention = 0
flowdb.shared_memory = '128MB'
checkpoint_timeout = 30s
max_connections = 40
deadlock_timeout = 50ms
lock_timeout = 0
wal_keep_size = '4GB'
max_wal_size = '4GB'
max_standby_streaming_delay = -1
hot_standby_feedback = on
EOC

# new: both are up.
sub new
{
    my ($class) = @_;
    my $self = bless { standbys => 0, promotions => 0 }, $class;

    $self->{primary} = new_node('primary', $conf);
    $self->{primary}->safe_psql('postgres', schema_sql());
    $self->{all} = [ $self->{primary} ];
    $self->add_standby;
    return $self;
}

# The application's name is one that no setting asks for, but in sync rounds.
sub add_standby
{
    my ($self) = @_;
    my $name = 'standby' . ++$self->{standbys};

    $self->{standby} = new_standby($self->{primary}, $name);
    push @{ $self->{all} }, $self->{standby};
    PostgreSQL::Test::Utils::run_log([ 'rm', '-rf', $self->{primary}->backup_dir . "/for_$name" ]);
    return;
}

# From now on each COMMIT waits until the standby has it.
sub synchronous
{
    my ($self) = @_;

    $self->{primary}->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '*'");
    $self->{primary}->reload;
    return wait_for_sql($self->{primary},
        "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1);
}

# ------------------------------------------------------------------------ ends

# Once more while it recovers, or shortly after.
sub kill_in_recovery
{
    my ($node) = @_;
    my $delay = rand(0.8);

    kill9_tree($node);
    # nobody waits for this one
    PostgreSQL::Test::Utils::run_log([ 'pg_ctl', '-W', '-s', '-D', $node->data_dir,
            '-l', $node->logfile, 'start' ]);
    sleep($delay);
    note(sprintf('killed again after %.3f s', $delay));
    kill9_tree($node) if postmaster_pid($node);
    restart_by_force($node);
    return 1;
}

sub stop_immediately
{
    my ($node) = @_;

    $node->stop('immediate');
    $node->start;
    return 1;
}

# The standby takes over; what was acknowledged is on it.
sub promote
{
    my ($self) = @_;
    my $old = $self->{primary};

    kill9_tree($old);
    $self->{standby}->promote;
    $self->{primary} = $self->{standby};
    $self->{standby} = undef;
    $self->{promotions}++;
    $self->{primary}->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
    $self->{primary}->reload;
    PostgreSQL::Test::Utils::run_log([ 'rm', '-rf', $old->data_dir ]);
    return wait_for_sql($self->{primary}, 'SELECT NOT pg_is_in_recovery()');
}

my $user = getpwuid($<);

# What can happen: a name, who it happens to, and how.
my @ends = (
    { name => 'all of the primary', on => 'primary', do => \&kill_and_restart },
    { name => 'promotion', on => 'both' },
    { name => 'all, and again in recovery', on => 'primary', do => \&kill_in_recovery },
    { name => 'all of the standby', on => 'standby', do => \&kill_and_restart },
    { name => 'a client', on => 'primary', do => sub { kill_any($_[0], "$user postgres") } },
    { name => 'a worker', on => 'primary', do => sub { kill_any($_[0], 'flowdb worker') } },
    { name => 'the launcher', on => 'primary', do => sub { kill_any($_[0], 'flowdb launcher') } },
    { name => 'the postmaster', on => 'primary', do => sub { crash_restart($_[0]); 1 } },
    { name => 'immediate stop', on => 'primary', do => \&stop_immediately },
    { name => 'the standby, and again in recovery', on => 'standby', do => \&kill_in_recovery },
    { name => 'the checkpointer', on => 'primary', do => sub { kill_any($_[0], 'checkpointer') } },
    { name => 'a worker of the standby', on => 'standby', do => sub { kill_any($_[0], 'flowdb worker') } },
    { name => 'a walsender', on => 'primary', do => sub { kill_any($_[0], 'walsender') } },
    { name => 'immediate stop of the standby', on => 'standby', do => \&stop_immediately });

# end_of_round(N): the kinds in turn, so that each is met in as few rounds as
# there are.
sub end_of_round
{
    my ($round) = @_;
    return $ends[ ($round - 1) % @ends ];
}

# happen(END): returns true when it did.
sub happen
{
    my ($self, $end) = @_;

    return $self->promote if $end->{on} eq 'both';
    return $end->{do}->($self->{ $end->{on} });
}

# Where nothing may be seen of a failed assertion.
sub logs
{
    my ($self) = @_;
    return map { log_since($_, 0) } @{ $self->{all} };
}

1;
