# FlowdbMount: small file systems for tests, by an ordinary user.
#
#   use FindBin;
#   use lib $FindBin::RealBin;
#   use FlowdbMount;    # before anything of PostgreSQL::Test
#
# The test starts itself again in a user and a mount namespace of its own.
# There it has its own uid, as PostgreSQL refuses to run as root; a process
# above it, which is root in there, mounts what it is asked to.  The mounts
# are seen by nobody else and end with the last process of the namespace.
# Where that is barred (containers, chroots), mounts_barred() tells why.
package FlowdbMount;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(mounts_barred mount_tmpfs resize_tmpfs remount unmount);

my ($requests, $answers);

# What begins the namespace; the command is run as root there.
sub inside
{
    return ('unshare', '--user', '--map-root-user', '--mount', @_);
}

# And what ends it: the rest of the command is run as who we are outside.
sub as_ourselves
{
    my ($uid, $gid) = @_;
    return ('unshare', '--user', "--map-user=$uid", "--map-group=$gid");
}

# Why it cannot be done here, or ''.
sub probe
{
    my $gid = (split ' ', $()[0];
    my $script = 'mount -t tmpfs -o size=64k none /tmp && exec '
      . join(' ', as_ourselves($<, $gid), 'true');
    my $command = join ' ', inside('sh', '-c', "'$script'");
    my $said = `$command 2>&1 </dev/null`;

    return '' if $? == 0;
    chomp $said;
    return $said || 'unshare fails';
}

sub enter
{
    my $gid = (split ' ', $()[0];
    my $barred = $ENV{FLOWDB_NO_MOUNTS} ? 'FLOWDB_NO_MOUNTS is set' : probe();

    if ($barred)
    {
        $ENV{FLOWDB_MOUNTS} = "barred: $barred";
        return;
    }
    my @perl = ($^X, map { "-I$_" } grep { !ref } @INC);
    $ENV{FLOWDB_MOUNTS} = 'serve';
    exec(inside(@perl, '-MFlowdbMount', '-e', 'FlowdbMount::serve(@ARGV)',
            $<, $gid, @perl, $0, @ARGV))
      or die "could not run unshare: $!";
}

# The process above the test: does as it is told, and ends as the test ends.
sub serve
{
    my ($uid, $gid, @test) = @_;

    pipe(my $from_test, my $to_us) or die "pipe: $!";
    pipe(my $from_us, my $to_test) or die "pipe: $!";
    my $pid = fork() // die "fork: $!";
    if ($pid == 0)
    {
        close $from_test;
        close $to_test;
        require Fcntl;
        # the test has them, too
        fcntl($_, Fcntl::F_SETFD(), 0) foreach $to_us, $from_us;
        $ENV{FLOWDB_MOUNTS} = fileno($to_us) . ' ' . fileno($from_us);
        exec(as_ourselves($uid, $gid), @test) or die "exec: $!";
    }
    close $to_us;
    close $from_us;
    $to_test->autoflush(1);
    while (my $line = <$from_test>)
    {
        chomp $line;
        my $said = do_request(split /\t/, $line);
        print $to_test $said =~ s/\s+/ /gr, "\n";
    }
    waitpid($pid, 0);
    exit($? & 127 ? 128 + ($? & 127) : $? >> 8);
}

# '' or what went wrong.
sub do_request
{
    my @command = @_;
    my $pid = open(my $pipe, '-|') // return "fork: $!";

    if ($pid == 0)
    {
        open(STDERR, '>&', \*STDOUT);
        exec(@command) or die "could not run $command[0]: $!";
    }
    my $said = do { local $/ = undef; <$pipe> };
    return close($pipe) ? '' : $said || "$command[0] fails";
}

sub request
{
    my @command = @_;

    print $requests join("\t", @command), "\n";
    my $said = <$answers> // 'nobody is there';
    chomp $said;
    die "@command: $said" if $said ne '';
    return;
}

sub mounts_barred
{
    return $ENV{FLOWDB_MOUNTS} =~ /^barred: (.*)/s ? $1 : '';
}

# mount_tmpfs(DIRECTORY, SIZE): an empty file system there; a directory that
# is not there is made.
sub mount_tmpfs
{
    my ($dir, $size) = @_;

    mkdir $dir;
    request('mount', '-t', 'tmpfs', '-o', "size=$size,mode=0700", 'none', $dir);
    return;
}

# Left to itself mount adds what it finds in /proc, which is not valid in a
# namespace.
sub again
{
    my ($dir, $option) = @_;
    return request('mount', '-i', '-t', 'tmpfs', '-o', "remount,$option",
        'none', $dir);
}

# resize_tmpfs(DIRECTORY, SIZE): a file system grows or, down to what is in
# it, shrinks: like files of others that go and come.
sub resize_tmpfs
{
    my ($dir, $size) = @_;
    return again($dir, "size=$size");
}

# remount(DIRECTORY, 'ro' or 'rw')
sub remount
{
    my ($dir, $how) = @_;
    return again($dir, $how);
}

sub unmount
{
    my ($dir) = @_;
    return request('umount', $dir);
}

$ENV{FLOWDB_MOUNTS} //= '';
enter() if $ENV{FLOWDB_MOUNTS} eq '';
if ($ENV{FLOWDB_MOUNTS} =~ /^(\d+) (\d+)$/)
{
    open($requests, '>&=', $1) or die "descriptor $1: $!";
    open($answers, '<&=', $2) or die "descriptor $2: $!";
    $requests->autoflush(1);
    # servers that are started by the test must not hold them
    require Fcntl;
    fcntl($_, Fcntl::F_SETFD(), Fcntl::FD_CLOEXEC()) foreach $requests, $answers;
}

1;
