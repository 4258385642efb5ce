-- W1: one row an INSERT, autocommit; each client has hosts of its own
\set h random(0, :hosts - 1)
\set v random(0, 99)
insert into @T@ values ('host_' || (:h + :hosts * (:client_id + 1)), clock_timestamp(), :v, :v, :v, :v, :v, :v, :v, :v, :v, :v);
