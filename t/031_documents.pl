# README.md and doc/ name what there is, as it is: settings with defaults and
# contexts, options, functions, views and their columns, metrics; the quick
# start works; links lead somewhere; each recipe is run by a test.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FlowdbRecipe;
use FlowdbTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($rc, $out, $err);
my $readme = document('README.md');
my $reference = document('REFERENCE.md');

# Defaults are shown as they are without any setting.
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'flowdb_fdw'");
$node->start;

sub section
{
    my ($title, $text) = @_;
    my ($section) = ($text // $readme) =~ /^## \Q$title\E\n(.*?)(?=^## |\z)/ms;
    die "no section \"$title\"" unless defined $section;
    return $section;
}

# First column of the tables of a section: code => the rest of the row.
sub rows
{
    my ($section) = @_;
    return map { /^\| `([^`]+)` \|(.*)\|$/ ? ($1 => $2) : () } split /\n/, $section;
}

# ------------------------------------------------------------------- quick start

my ($start) = section('Quick start') =~ /^```sql\n(.*?)^```/ms;
($rc, $out, $err) = try_sql($node, $start);
is("$rc$err", '0', 'the quick start works');
like($out, qr/^web-1\|.*\|12\.5\|80$/m, 'and shows the row of the last hour');
like($out, qr/^metrics\|3001\|/m, 'and the server');
my ($ranges) = $readme =~ /^### flowdb_delete_range\n.*?^```sql\n(.*?)^```/ms;
($rc, $out, $err) = try_sql($node, "INSERT INTO cpu VALUES ('db-1', now(), 1, 1), ('web-1', now() - interval '91 days', 1, 1); "
      . "$ranges SELECT count(*) FROM cpu");
is("$rc$out$err", "0\n\n3001", 'its range deletes work');

# --------------------------------------------------------------------- settings

my %changed = (postmaster => 'restart', sighup => 'reload', user => 'session');
my %documented = rows(section('Settings'));
my %settings;
foreach my $line (split /\n/, $node->safe_psql('postgres',
        "SELECT name, current_setting(name), context FROM pg_settings WHERE name LIKE 'flowdb.%'"))
{
    my ($name, $default, $context) = split /\|/, $line;
    $settings{$name} = " `$default` | $changed{$context} ";
}
cmp_ok(scalar(keys %settings), '>', 10, 'there are settings');
is(($documented{$_} // '') =~ s/^([^|]*\|[^|]*).*/$1/r, $settings{$_},
    "README: default and context of $_") foreach sort keys %settings;
is(join(' ', grep { !$settings{$_} } sort keys %documented), '',
    'README has no other setting');
foreach my $name ('README.md', 'OPERATIONS.md', 'REFERENCE.md', 'DESIGN.md')
{
    my @unknown = grep { !$settings{$_} } document($name) =~ /`(flowdb\.[a-z_]+)\b/g;
    is("@unknown", '', "$name names no setting that is not there");
}

# ---------------------------------------------------------------------- options

my $options = section('Options');
foreach my $catalog ('pg_foreign_server', 'pg_foreign_table', 'pg_attribute')
{
    ($rc, $out, $err) = try_sql($node,
        "SELECT flowdb_fdw_validator('{zzzzzzzzzzzzzzz=1}', '$catalog'::regclass)");
    my ($names) = $err =~ /Valid options in this context are: (.*)/;
    ok($names, "$catalog: options") or diag($err);
    like($options, qr/^\| `\Q$_\E(?: [^`]*)?` \|/m, "README: option $_ of $catalog")
      foreach split /, /, $names // '';
}
foreach my $name (map { s/ .*//r } keys %{ { rows($options) } })
{
    my ($known) = grep {
        (try_sql($node, "SELECT flowdb_fdw_validator('{$name=x}', '$_'::regclass)"))[2]
          !~ /invalid option "/
    } 'pg_foreign_server', 'pg_foreign_table', 'pg_attribute';
    ok($known, "README: option $name exists");
}

# ---------------------------------------------------------- functions and views

# Those behind the views, and behind CREATE FOREIGN DATA WRAPPER, are nobody's
# to call.
my $functions = section('Functions and views');
my $of_extension = "JOIN pg_depend d ON d.objid = o.oid AND deptype = 'e' "
  . "JOIN pg_extension e ON e.oid = d.refobjid WHERE extname = 'flowdb_fdw'";
my @there = split /\n/, $node->safe_psql('postgres',
    "SELECT proname || '(' || coalesce(array_to_string("
      . "proargnames[1:pronargs], ', '), '') || ')' FROM pg_proc o $of_extension "
      . "AND proname !~ '^flowdb_(fdw_handler|fdw_validator|\\w+_stats)\$' ORDER BY 1");
cmp_ok(scalar(@there), '>', 5, 'there are functions');
foreach my $function (@there)
{
    like($functions, qr/^\| `\Q$function\E` \|/m, "README: $function");
}
my @views = split /\n/, $node->safe_psql('postgres',
    "SELECT relname FROM pg_class o $of_extension AND relkind = 'v' ORDER BY 1");
is("@views", 'flowdb_sstables flowdb_stats flowdb_stores', 'views');
my %known = map { s/\(.*//r => 1 } @there, @views;
is(join(' ', grep { !$known{ s/\(.*//r } } keys %{ { rows($functions) } }), '',
    'README has no other function and no other view');

# Columns are in the reference, in order.
foreach my $view (@views)
{
    my $columns = $node->safe_psql('postgres', "SELECT string_agg(attname, ' ' ORDER BY attname) "
          . "FROM pg_attribute WHERE attrelid = '$view'::regclass AND attnum > 0");
    my ($table) = $reference =~ /^\*\*`$view`\*\*\n\n(.*?)\n\n/ms;
    my @named = map { /^\| (`.*?`) \|/ ? $1 =~ /`(\w+)`/g : () } split /\n/, $table // '';
    is(join(' ', sort @named), $columns, "REFERENCE: columns of $view");
}
my %metrics = map { $_ => 1 }
  $node->safe_psql('postgres', 'SELECT flowdb_metrics()') =~ /^# TYPE (\w+)/mg;
is(join(' ', sort keys %{ { rows(section('Metrics', $reference)) } }),
    join(' ', sort keys %metrics), 'REFERENCE: metrics');

# ------------------------------------------------------------------------- links

# As GitHub makes them of headings.
sub anchors
{
    my ($text) = @_;
    my %anchors;

    foreach my $heading ($text =~ /^#+ (.*)$/mg)
    {
        $heading = lc($heading) =~ s/[^\w\- ]//gr =~ s/ /-/gr;
        $anchors{$heading} = 1;
    }
    return \%anchors;
}

my $top = "$FindBin::RealBin/..";
foreach my $file ('README.md', map { s{^\Q$top/}{}r } glob("$top/doc/*.md"))
{
    my $text = slurp_file("$top/$file");
    my $dir = $file =~ m{^(.*/)} ? $1 : '';
    my @bad;

    foreach my $link ($text =~ /\]\(([^)\s]+)\)/g)
    {
        my ($path, $anchor) = $link =~ /^([^#]*)#?(.*)$/;
        next if $link =~ /^https?:/;
        my $to = $path eq '' ? "$top/$file" : "$top/$dir$path";
        push @bad, $link
          unless -e $to && ($anchor eq '' || anchors(slurp_file($to))->{$anchor});
    }
    is("@bad", '', "$file: links lead somewhere");
}

# ----------------------------------------------------------------------- recipes

my $tests = join '', map { slurp_file($_) } glob("$FindBin::RealBin/*.pl");
my %recipes = recipes();
cmp_ok(scalar(keys %recipes), '>', 30, 'OPERATIONS has recipes');
is(scalar(() = document('OPERATIONS.md') =~ /^<!-- recipe/mg), scalar(keys %recipes),
    'each is followed by its commands');
foreach my $name (sort keys %recipes)
{
    like($tests, qr/'\Q$name\E'|\{\Q$name\E\}/, "recipe \"$name\" is run");
}

$node->stop;
done_testing();
