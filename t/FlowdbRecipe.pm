# FlowdbRecipe: the recipes of doc/OPERATIONS.md, run as they stand there.
#
#   <!-- recipe: NAME -->
#   ```sh            or sql, conf
#   ...
#   ```
#
#   my ($rc, $out, $err) = recipe($node, 'NAME', db => 'other', BACKUP => $dir);
#
# sql goes to psql, sh to a shell with psql's variables set for the node, conf
# is put at the end of postgresql.conf.  t/031 fails when a recipe is run by
# no test.
package FlowdbRecipe;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(recipe recipe_ok recipes document);

my $operations = 'OPERATIONS.md';

# document(NAME): the text of a file of doc/, or of README.md.
sub document
{
    my ($name) = @_;
    my $dir = "$FindBin::RealBin/..";
    return PostgreSQL::Test::Utils::slurp_file(
        -e "$dir/$name" ? "$dir/$name" : "$dir/doc/$name");
}

# recipes(): name => [language, text] of all there are.
sub recipes
{
    my %recipes;
    my $text = document($operations);

    while ($text =~ /^<!-- recipe: (\S+) -->\n```(\w+)\n(.*?)^```$/msg)
    {
        die "two recipes \"$1\"" if $recipes{$1};
        $recipes{$1} = [ $2, $3 ];
    }
    return %recipes;
}

# Of the node, and of the caller; words in small letters are options.
sub environment
{
    my ($node, %with) = @_;
    my %env = (
        PGHOST => $node->host,
        PGPORT => $node->port,
        PGDATA => $node->data_dir,
        LOGFILE => $node->logfile,
        PGDATABASE => $with{db} // 'postgres',
        PGAPPNAME => undef);

    $env{$_} = $with{$_} foreach grep { /^[A-Z]/ } keys %with;
    return %env;
}

# recipe(NODE, NAME, ...): (exit status, output, errors).  What it starts or
# stops the node does not hear of: "_update_pid" tells it.
sub recipe
{
    my ($node, $name, %with) = @_;
    my %all = recipes();
    my ($language, $text) = @{ $all{$name} // die "no recipe \"$name\"" };
    my $file = PostgreSQL::Test::Utils::tempdir() . "/$name";
    my %command = (
        sql => [ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $file ],
        sh => [ 'sh', '-eu', $file ]);
    my ($out, $err) = ('', '');

    if ($language eq 'conf')
    {
        $node->append_conf('postgresql.conf', $text);
        return (0, '', '');
    }
    note("recipe $name");
    PostgreSQL::Test::Utils::append_to_file($file, $text);
    my %env = environment($node, %with);
    local %ENV = (%ENV, map { $_ => $env{$_} } grep { defined $env{$_} } keys %env);
    delete $ENV{$_} foreach grep { !defined $env{$_} } keys %env;
    IPC::Run::run($command{$language} // die("recipe \"$name\" is in $language"),
        '<', \undef, '>', \$out, '2>', \$err,
        IPC::Run::timeout($FlowdbTest::timeout));
    my $rc = $? >> 8;
    unlink $file;
    chomp($out, $err);
    return ($rc, $out, $err);
}

# recipe_ok(NODE, NAME, ...): its output, after a test that it went well.
sub recipe_ok
{
    my ($node, $name, %with) = @_;
    my ($rc, $out, $err) = recipe($node, $name, %with);

    is($rc, 0, "recipe \"$name\"") or diag("$out\n$err");
    return $out;
}

1;
