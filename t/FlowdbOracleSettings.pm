# FlowdbOracleSettings: settings of a session and of the server's data, which
# change how an answer is found, but not the answer.
package FlowdbOracleSettings;

use strict;
use warnings;

use Exporter 'import';
use FlowdbOracleTypes;

our @EXPORT = qw(random_setting random_zone hints random_maintenance random_options);

my @zones = ('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe');
my @settings = (
    (map { [ "enable_$_", 'on', 'off' ] } qw(seqscan indexscan indexonlyscan
          bitmapscan hashjoin mergejoin nestloop hashagg sort incremental_sort
          material memoize)),
    [ 'plan_cache_mode', 'auto', 'force_generic_plan', 'force_custom_plan' ],
    [ 'work_mem', '64kB', '4MB' ],
    [ 'TimeZone', @zones ],
    [ 'force_parallel_mode', 'off', 'off', 'off', 'on' ],
    # workers for little, or for what is worth it
    [ 'parallel_setup_cost', '0', '0', '1000' ],
    [ 'parallel_tuple_cost', '0', '0', '0.1' ],
    [ 'max_parallel_workers_per_gather', '0', '1', '2', '2' ],
    [ 'min_parallel_table_scan_size', '0', '8MB' ],
    [ 'parallel_leader_participation', 'on', 'on', 'off' ],
    [ 'enable_partitionwise_aggregate', 'on', 'off' ],
    [ 'flowdb.enable_aggregate_pushdown', 'on', 'on', 'on', 'off' ],
    [ 'cursor_tuple_fraction', '0.1', '1' ],
    [ 'from_collapse_limit', '1', '8' ],
    [ 'bytea_output', 'hex', 'escape' ],
    [ 'constraint_exclusion', 'partition', 'on' ],
    [ 'flowdb.transaction_buffer', '64kB', '8MB' ]);

# random_setting(SELF): SQL, or nothing where there is none such.
sub random_setting
{
    my ($self) = @_;
    my ($name, @values) = @{ pick(@settings) };
    my $value = pick(@values);

    return if $self && $name =~ /^flowdb/;
    return chance(0.05) ? 'RESET ALL' : "SET $name = '$value'";
}

sub random_zone { return "SET TimeZone = '" . pick(@zones) . "'"; }

# hints(KIND): settings for one query, which get it a plan that few rows are
# not worth: groups in the order of their buckets, workers.
sub hints
{
    my ($kind) = @_;
    return ('enable_sort = off') if $kind =~ /^(newest|many) buckets$/ && chance($kind =~ /^many/ ? 0.9 : 0.6);
    return map { "$_ = 0" } qw(parallel_setup_cost parallel_tuple_cost min_parallel_table_scan_size)
      if chance(0.15);
    return;
}

# random_maintenance(SELF): SQL, or nothing.
sub random_maintenance
{
    my ($self) = @_;
    my $sql = pick((map { "SELECT flowdb_flush('flow')" } 1 .. 4),
        "SELECT flowdb_compact('flow')", "SELECT flowdb_gc('flow')",
        "SELECT flowdb_maintenance('flow', '50 ms')", 'CHECKPOINT', 'ANALYZE');

    return $self && $sql =~ /flowdb/ ? undef : $sql;
}

# random_options(): how files are written from here on.
sub random_options
{
    return 'ALTER SERVER flow OPTIONS (SET block_size '
      . pick("'1kB'", "'4kB'", "'16kB'", "'16kB'", "'64kB'")
      . ', SET flush_compression ' . pick("'none'", "'lz4'", "'lz4'", "'zstd'") . ')';
}

1;
