# FlowdbOracleTables: random tables, each a FlowDB table and its heap twin.
#
# The twins have one name in two schemas, so that a statement is written
# once, with "@." before each table: f. is FlowDB's, h. the heap's.
#
# A table is a hash: name, cols, on_duplicate; a column: name, type, role
# (key, time, expire, value), and notnull, check, default, generated, collate
# where it has them.
package FlowdbOracleTables;

use strict;
use warnings;

use Exporter 'import';
use FlowdbOracleTypes;

our @EXPORT = qw(
  %CAN random_table create_table drop_table identity keys_of time_of
  values_of writable alter_table view_of columns_of quote_name name_list conflict_clause
  random_column twin new_name
);

# What FlowDB can do.  A 0 would be work to be done, not a choice.
our %CAN = (
    key_types => 1,       # other keys than text and bytea
    time_types => 1,      # other times than timestamptz and bigint
    domains => 1,         # as keys
    constraints => 1,     # NOT NULL, CHECK
    on_duplicate => 1,    # ignore, error
    on_conflict => 1,     # ON CONFLICT DO NOTHING
    modify => 1,          # UPDATE, DELETE
    moves => 1,           # UPDATE of keys and times
    row_locks => 1,       # SELECT FOR UPDATE
    truncate => 1,
    alter => 1,           # ADD, DROP, RENAME COLUMN
    added_defaults => 1,  # ADD COLUMN ... DEFAULT
    ttl => 1,
);

my $serial = 0;

sub new_name
{
    my ($prefix) = @_;
    return $prefix . ++$serial;
}

# twin(TEXT): (for FlowDB, for the heap).
sub twin
{
    my ($sql) = @_;
    return map { $sql =~ s/@\./$_./gr } ('f', 'h');
}

# ------------------------------------------------------------------- columns

sub quote_name { return '"' . $_[0] . '"'; }

sub keys_of { return grep { $_->{role} eq 'key' } @{ $_[0]{cols} }; }
sub time_of { return grep { $_->{role} eq 'time' } @{ $_[0]{cols} }; }
sub values_of { return grep { $_->{role} eq 'value' } @{ $_[0]{cols} }; }
sub writable { return grep { !$_->{generated} } @{ $_[0]{cols} }; }

# What identifies a row, in the order in which FlowDB stores it.
sub identity
{
    my ($table) = @_;
    return (keys_of($table), time_of($table));
}

sub columns_of
{
    my ($table, $alias) = @_;
    return name_list($alias, @{ $table->{cols} });
}

sub name_list
{
    my ($alias, @cols) = @_;
    my $dot = defined $alias ? "$alias." : '';
    return join(', ', map { $dot . quote_name($_->{name}) } @cols);
}

# What the heap's INSERT needs to do as FlowDB's does; without UPDATE of what
# identifies the row, and of generated columns.
sub conflict_clause
{
    my ($table) = @_;
    my $target = '(' . name_list(undef, identity($table)) . ')';

    return '' if $table->{on_duplicate} eq 'error';
    return "ON CONFLICT $target DO NOTHING"
      if $table->{on_duplicate} eq 'ignore';
    my @set = map { quote_name($_->{name}) }
      grep { $_->{role} eq 'value' || $_->{role} eq 'expire' } writable($table);
    # DO NOTHING would not count the row
    @set = map { quote_name($_->{name}) } (identity($table))[0] unless @set;
    return "ON CONFLICT $target DO UPDATE SET "
      . join(', ', map { "$_ = EXCLUDED.$_" } @set);
}

# ------------------------------------------------------------- random tables

sub key_type
{
    my @types = grep { $CAN{domains} || $TYPE{$_}{sql} !~ /^oracle/ }
      $CAN{key_types} ? types_of('key') : ('text', 'varchar', 'bytea');
    return chance(0.3) ? 'text' : pick(@types);
}

sub time_type
{
    return pick($CAN{time_types} ? types_of('time') : ('int8', 'timestamptz'));
}

sub collation
{
    my ($type, $role) = @_;
    my $sql = $TYPE{$type}{sql};

    return undef unless $sql =~ /^(text|varchar|oracle\.label)/;
    # of a key only one that tells all strings apart
    my @collations = ('"C"', '"C"', '"POSIX"', '"default"', 'oracle.icu');
    push @collations, 'oracle.nd' if $role eq 'value';
    return pick(undef, '"C"', @collations);
}

sub random_column
{
    my ($role, $type) = @_;
    my %col = (name => new_name($role eq 'value' ? pick('v', 'V ', 'select') : substr($role, 0, 1)),
        type => $type, role => $role);

    $col{collate} = collation($type, $role);
    $col{vague} = 1 if $TYPE{$type}{vague} || ($col{collate} // '') eq 'oracle.nd';
    $col{notnull} = 1 if $role ne 'value' || chance(0.15);
    if ($role eq 'expire')
    {
        $col{default} = literal($type, $type eq 'int8' ? '9223372036854775807'
            : $type eq 'date' ? '2200-01-01' : 'infinity');
    }
    elsif (chance(0.2))
    {
        $col{default} = literal($type, value($type));
    }
    return \%col;
}

# A condition that few values break.
sub check_of
{
    my ($col) = @_;
    my $family = $TYPE{ $col->{type} }{family};
    my $name = quote_name($col->{name});

    return "$name <> 42" if $family eq 'number';
    return "$name <> 'bad'" if $family =~ /^(text|bpchar|name)$/;
    return undef;
}

sub generated_column
{
    my ($of) = @_;
    my $name = quote_name($of->{name});
    my %col = (name => new_name('g'), role => 'value', type => 'bool',
        of => $of->{name}, generated => "$name IS NULL");

    if ($of->{type} =~ /^(text|varchar)$/)
    {
        %col = (%col, type => 'int4', generated => "length($name)");
    }
    elsif ($of->{type} =~ /^(int2|int4|int8)$/)
    {
        %col = (%col, type => 'numeric', vague => 1,
            generated => "$name\::numeric * 2");
    }
    return \%col;
}

# Keys, time and values of any type.
sub any_columns
{
    return ((map { random_column('key', key_type()) } 1 .. pick(1, 1, 2, 2, 3)),
        (chance(0.8) ? random_column('time', time_type()) : ()),
        map { random_column('value', pick(types_of())) } 1 .. 1 + below(6));
}

# Those that a series mostly has: numbers.
my @series_keys = qw(text text text int4 int8 uuid varchar bytea);
my @series_times = qw(timestamptz timestamptz timestamptz timestamp int8 date);
my @series_values = qw(int2 int4 int4 int8 sum4 sum8 sum8 sum8 huge4 huge8 dec8
  dec8 float4 float8 numeric2 date timestamp timestamptz time small bool text mood);

sub series_columns
{
    return ((map { random_column('key', pick(@series_keys)) } 1 .. pick(1, 1, 1, 2)),
        random_column('time', pick(@series_times)),
        map { random_column('value', pick(@series_values)) } 1 .. 1 + below(7));
}

sub random_table
{
    my ($name) = @_;
    my $series = chance(0.4);
    my @cols = $series ? series_columns() : any_columns();
    my @values = grep { $_->{role} eq 'value' } @cols;

    push @cols, random_column('expire', pick($CAN{time_types} ? types_of('expire')
            : ('int8', 'timestamptz'))) if chance(0.2);
    if ($CAN{constraints})
    {
        foreach my $col (grep { $_->{role} eq 'value' } @cols)
        {
            $col->{check} = check_of($col) if chance(0.2);
        }
    }
    else
    {
        delete $_->{notnull} foreach @values;
    }
    push @cols, generated_column(pick(grep { $_->{role} ne 'expire' } @cols))
      if chance(0.25);

    # keys keep their order, the others stand anywhere
    my @keys = grep { $_->{role} eq 'key' } @cols;
    @cols = map { $_->{role} eq 'key' ? shift @keys : $_ } shuffled(@cols);
    my $table = { name => $name, cols => \@cols, bulks => 1, series => $series,
        by_table => chance(0.3) };
    $table->{on_duplicate} =
      $CAN{on_duplicate} ? pick('replace', 'replace', 'ignore', 'error') : 'replace';
    $table->{duplicate_given} = $table->{on_duplicate} ne 'replace'
      || ($CAN{on_duplicate} && chance(0.2));
    partition_table($table) if chance(0.15);
    add_triggers($table) if $table->{on_duplicate} ne 'replace' && !$table->{parts} && chance(0.3);
    $table->{store} = new_name('store_') if chance(0.3) && !$table->{parts};
    my ($time) = time_of($table);
    if ($CAN{ttl} && $time && $time->{type} ne 'int8' && chance(0.15))
    {
        # rows of before the pyramids live on; those of -infinity would not
        $table->{ttl} = '150000 years';
        $time->{not_early} = 1;
        delete $time->{default};
    }
    return $table;
}

# Two or three FlowDB tables as partitions; the heap twin stays one table.  A
# row cannot be updated from one FlowDB partition into another.
sub partition_table
{
    my ($table) = @_;
    my ($by) = pick(identity($table));
    my $name = $table->{name};
    my $key = quote_name($by->{name});

    # PARTITION OF takes no column options
    $table->{by_table} = 1;
    $table->{partition_column} = $by;
    if (chance(0.4))
    {
        my $n = pick(2, 3);
        $table->{partition_by} = "HASH ($key)";
        $table->{parts} = [ map { [ "${name}_$_", 'FOR VALUES WITH (MODULUS ' . $n . ", REMAINDER $_)" ] } 0 .. $n - 1 ];
        return;
    }
    my $at = literal($by->{type}, value($by->{type}));
    $table->{partition_by} = "RANGE ($key)";
    $table->{parts} = [ [ "${name}_lo", "FOR VALUES FROM (MINVALUE) TO ($at)" ],
        [ "${name}_hi", chance(0.5) ? 'DEFAULT' : "FOR VALUES FROM ($at) TO (MAXVALUE)" ] ];
    return;
}

# view_of(TABLE): a view of some of its rows that can be written to.
sub view_of
{
    my ($table, $condition) = @_;
    return { %$table, name => "$table->{name}v", base => $table,
        check => $condition, barrier => chance(0.3), option => pick('', ' WITH CHECK OPTION') };
}

# ----------------------------------------------------------------------- DDL

sub column_clause
{
    my ($col, $options) = @_;
    my $sql = quote_name($col->{name}) . " $TYPE{ $col->{type} }{sql}";

    $sql .= " OPTIONS ($options)" if $options;
    $sql .= " COLLATE $col->{collate}" if $col->{collate};
    $sql .= ' NOT NULL' if $col->{notnull};
    $sql .= " DEFAULT $col->{default}" if $col->{default};
    $sql .= " CHECK ($col->{check})" if $col->{check};
    $sql .= " GENERATED ALWAYS AS ($col->{generated}) STORED"
      if $col->{generated};
    return $sql;
}

sub heap_sql
{
    my ($schema, $table) = @_;
    return "CREATE TABLE $schema.$table->{name} ("
      . join(', ', map { column_clause($_) } @{ $table->{cols} })
      . ', PRIMARY KEY (' . name_list(undef, identity($table)) . '))';
}

sub common_options
{
    my ($table) = @_;
    return (($table->{duplicate_given} ? "on_duplicate '$table->{on_duplicate}'" : ()),
        ($table->{ttl} ? "ttl '$table->{ttl}'" : ()));
}

sub partitions_sql
{
    my ($table, @options) = @_;
    my $options = join(', ', @options, common_options($table));
    return ("CREATE TABLE f.$table->{name} ("
          . join(', ', map { column_clause($_) } @{ $table->{cols} })
          . ") PARTITION BY $table->{partition_by}",
        map { "CREATE FOREIGN TABLE f.$_->[0] PARTITION OF f.$table->{name} $_->[1] "
              . "SERVER flow OPTIONS ($options)" } @{ $table->{parts} });
}

sub foreign_sql
{
    my ($table) = @_;
    my $by_table = $table->{by_table};
    my %word = (key => "role 'key'", time => "role 'time'",
        expire => "role 'expire_at'");
    my @options;

    if ($by_table)
    {
        push @options, "key_columns '"
          . join(',', map { $_->{name} } keys_of($table)) . "'";
        push @options, "time_column '$_->{name}'" foreach time_of($table);
        push @options, "expire_column '$_->{name}'"
          foreach grep { $_->{role} eq 'expire' } @{ $table->{cols} };
    }
    return partitions_sql($table, @options) if $table->{parts};
    push @options, "store '$table->{store}'" if $table->{store};
    push @options, common_options($table);
    return "CREATE FOREIGN TABLE f.$table->{name} ("
      . join(', ', map { column_clause($_, $by_table ? undef : $word{ $_->{role} }) }
          @{ $table->{cols} })
      . ') SERVER flow'
      . (@options ? ' OPTIONS (' . join(', ', @options) . ')' : '');
}

# Row triggers: one that changes a new row, and one that keeps a log of what
# happened.  Not where INSERT replaces, which the heap's triggers see as UPDATE.
sub trigger_sql
{
    my ($schema, $table) = @_;
    my $on = "ON $schema.$table->{name} FOR EACH ROW EXECUTE FUNCTION oracle";

    return unless $table->{triggers};
    my $touched = $table->{touched};
    return (
        ($touched ? "CREATE FUNCTION $schema.$table->{name}_touch() RETURNS trigger LANGUAGE plpgsql AS "
              . "\$\$ BEGIN NEW." . quote_name($touched->{name}) . " := $table->{touch_value}; "
              . 'IF ' . $table->{touch_when} . ' THEN RETURN NULL; END IF; RETURN NEW; END $$' : ()),
        ($touched ? "CREATE TRIGGER a BEFORE INSERT OR UPDATE ON $schema.$table->{name} FOR EACH ROW "
              . "EXECUTE FUNCTION $schema.$table->{name}_touch()" : ()),
        "CREATE TRIGGER z AFTER INSERT OR UPDATE OR DELETE $on.note()");
}

sub add_triggers
{
    my ($table) = @_;
    my @values = grep { $_->{role} eq 'value' && !$_->{generated} } @{ $table->{cols} };
    my $col = pick(identity($table));

    $table->{triggers} = 1;
    return if chance(0.3);
    my $touched = $table->{touched} = pick(@values);
    $table->{touch_value} = literal($touched->{type}, value($touched->{type}));
    # some rows are not written at all
    $table->{touch_names} = { map { $_->{name} => 1 } $touched, $col };
    $table->{touch_when} = 'hashtext(NEW.' . quote_name($col->{name}) . '::text) % 7 = 0';
    return;
}

# create_table(TABLE, SELF): the statements, [those for FlowDB, those for the
# heap]; with SELF both are heap tables.
sub create_table
{
    my ($table, $self) = @_;

    if ($table->{base})
    {
        my $with = $table->{barrier} ? ' WITH (security_barrier)' : '';
        my @sql = twin("CREATE VIEW \@.$table->{name}$with AS SELECT * FROM "
              . "\@.$table->{base}{name} x WHERE $table->{check}$table->{option}");
        return ([ $sql[0] ], [ $sql[1] ]);
    }
    return ([ $self ? heap_sql('f', $table) : foreign_sql($table), trigger_sql('f', $table) ],
        [ heap_sql('h', $table), trigger_sql('h', $table) ]);
}

# alter_table(TABLE, SELF): a random change, (SQL for FlowDB, for the heap,
# the table as it is afterwards).
sub alter_table
{
    my ($table, $self) = @_;
    my %new = (%$table, cols => [ @{ $table->{cols} } ]);
    my ($f, $h) = map { "ALTER " . ($_ eq 'f' && !$self && !$table->{parts} ? 'FOREIGN ' : '')
          . "TABLE $_.$table->{name} " } ('f', 'h');
    my $dice = below(10);
    my $sql;

    if ($dice == 0 && $CAN{on_duplicate} && !$self && !$table->{parts})
    {
        return ($f . 'OPTIONS (' . ($table->{duplicate_given} ? 'SET' : 'ADD')
              . " on_duplicate '" . ($new{on_duplicate} = pick($table->{triggers} ? () : 'replace', 'ignore', 'error'))
              . "')", 'SELECT 1', { %new, duplicate_given => 1 });
    }
    # a value that others are made from, or the last, stays
    my %used = (%{ $table->{touch_names} // {} },
        map { $_->{of} ? ($_->{of} => 1) : () } @{ $table->{cols} });
    my @values = grep { !$used{ $_->{name} } } values_of($table);
    if ($dice < 5 && @values > 1 && (grep { !$_->{generated} } values_of($table)) > 1)
    {
        my $col = pick(@values);
        $new{cols} = [ grep { $_ != $col } @{ $new{cols} } ];
        return alter_table($table, $self) unless grep { !$_->{generated} } values_of(\%new);
        $sql = 'DROP COLUMN ' . quote_name($col->{name});
    }
    elsif ($dice < 7)
    {
        my @cols = grep { !$table->{touch_names} || !$table->{touch_names}{ $_->{name} } }
          $table->{by_table} ? values_of($table) : @{ $table->{cols} };
        my $col = pick(@cols) // return alter_table($table, $self);
        # a name that was in use before, too
        my $name = new_name('r');
        $name = pick(@{ $table->{old_names} })
          if $table->{old_names} && @{ $table->{old_names} } && chance(0.5);
        $new{cols} = [ map { $_ == $col ? { %$_, name => $name } : $_ } @{ $new{cols} } ];
        $new{cols} = [ map { ($_->{of} // '') eq $col->{name} ? { %$_, of => $name } : $_ } @{ $new{cols} } ];
        $new{old_names} = [ grep { $_ ne $name } @{ $table->{old_names} // [] }, $col->{name} ];
        $sql = 'RENAME COLUMN ' . quote_name($col->{name}) . ' TO ' . quote_name($name);
    }
    else
    {
        my $col = random_column('value', pick(types_of()));
        delete $col->{notnull};
        delete $col->{default} unless $CAN{added_defaults};
        push @{ $new{cols} }, $col;
        $sql = 'ADD COLUMN ' . column_clause($col);
    }
    return ($f . $sql, $h . $sql, \%new);
}

sub drop_table
{
    my ($table, $self) = @_;
    return map { "DROP VIEW $_.$table->{name}" } ('f', 'h') if $table->{base};
    my $foreign = $self || $table->{parts} ? '' : 'FOREIGN ';
    return ("DROP ${foreign}TABLE f.$table->{name}",
        "DROP TABLE h.$table->{name}");
}

1;
