-- IMPORT FOREIGN SCHEMA: what was stored comes back.
SET timezone = 'UTC';
CREATE SCHEMA origin;
CREATE SCHEMA copy;
SET search_path = origin, public;
CREATE SERVER i FOREIGN DATA WRAPPER flowdb_fdw;
CREATE SERVER "odd Server" FOREIGN DATA WRAPPER flowdb_fdw;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN short AS varchar(5);
CREATE COLLATION mine (provider = libc, locale = 'C');
CREATE FOREIGN TABLE cpu (usage numeric(5,2), host text OPTIONS (role 'key') COLLATE "C",
  ts timestamptz OPTIONS (role 'time'), region bytea OPTIONS (role 'key'), note varchar(10),
  "Odd ""name" text COLLATE mine, m mood, s short, a int[], until timestamptz OPTIONS (role 'expire_at'),
  gone int, "order" time(3)) SERVER i OPTIONS (store 'cpu');
CREATE FOREIGN TABLE "Odd Name" (key text, v int) SERVER i OPTIONS (store 'Odd Name; DROP "x"''');
CREATE FOREIGN TABLE owned (key text, v int) SERVER i;
CREATE FOREIGN TABLE never_written (key text, v int) SERVER i OPTIONS (store 'never');
CREATE FOREIGN TABLE other (key text, v int) SERVER "odd Server" OPTIONS (store 'other');
INSERT INTO cpu VALUES (1.25, 'web', '2024-01-01', '\x01', 'n', 'odd', 'happy', 'short', '{1,2}', NULL, 1, '12:00');
INSERT INTO "Odd Name" VALUES ('a', 1);
INSERT INTO owned VALUES ('a', 1);
INSERT INTO other VALUES ('a', 1);
ALTER FOREIGN TABLE cpu RENAME note TO remark;
-- In a transaction that is not over, for itself and for nobody else.
BEGIN;
CREATE FOREIGN TABLE rolled_back (key text, v int) SERVER i OPTIONS (store 'rolled back');
INSERT INTO rolled_back VALUES ('a', 1);
IMPORT FOREIGN SCHEMA flowdb FROM SERVER i INTO copy;
SELECT foreign_table_name FROM information_schema.foreign_tables WHERE foreign_table_schema = 'copy' ORDER BY 1;
ROLLBACK;
IMPORT FOREIGN SCHEMA "any name" FROM SERVER i INTO copy;
SELECT foreign_table_name FROM information_schema.foreign_tables WHERE foreign_table_schema = 'copy' ORDER BY 1;
\d copy.cpu
\d copy."Odd Name; DROP ""x""'"
SELECT * FROM copy.cpu;
SELECT * FROM copy."Odd Name; DROP ""x""'";
-- Both show the same rows.
INSERT INTO copy.cpu (host, region, ts, usage) VALUES ('db', '\x02', '2024-01-02', 99);
SELECT host, region, usage FROM cpu ORDER BY host;
IMPORT FOREIGN SCHEMA flowdb FROM SERVER i INTO copy;
\echo :SQLSTATE

-- Some of them.
DROP FOREIGN TABLE copy.cpu, copy."Odd Name; DROP ""x""'";
IMPORT FOREIGN SCHEMA flowdb LIMIT TO (cpu, nope) FROM SERVER i INTO copy;
SELECT foreign_table_name FROM information_schema.foreign_tables WHERE foreign_table_schema = 'copy' ORDER BY 1;
DROP FOREIGN TABLE copy.cpu;
IMPORT FOREIGN SCHEMA flowdb EXCEPT (cpu) FROM SERVER i INTO copy;
SELECT foreign_table_name FROM information_schema.foreign_tables WHERE foreign_table_schema = 'copy' ORDER BY 1;
IMPORT FOREIGN SCHEMA flowdb FROM SERVER "odd Server" INTO copy;
\d copy.other
IMPORT FOREIGN SCHEMA flowdb FROM SERVER i INTO copy OPTIONS (import_default 'true');
\echo :SQLSTATE

-- What cannot come back is said, and keeps nothing else away.
DROP FOREIGN TABLE copy."Odd Name; DROP ""x""'";
ALTER FOREIGN TABLE cpu DROP m;
DROP TYPE mood;
IMPORT FOREIGN SCHEMA flowdb FROM SERVER i INTO copy;
SELECT foreign_table_name FROM information_schema.foreign_tables WHERE foreign_table_schema = 'copy' ORDER BY 1;
\d copy.cpu
DROP FOREIGN TABLE copy.cpu;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE FOREIGN TABLE again (host text OPTIONS (role 'key'), region bytea OPTIONS (role 'key'), m mood) SERVER i OPTIONS (store 'cpu');
SELECT m FROM again;
\echo :SQLSTATE
DO $$
BEGIN
  EXECUTE format('CREATE FOREIGN TABLE long (key text, v int) SERVER i OPTIONS (store %L)', repeat('s', 64));
END $$;
INSERT INTO long VALUES ('a', 1);
IMPORT FOREIGN SCHEMA flowdb EXCEPT (cpu, "Odd Name; DROP ""x""'") FROM SERVER i INTO copy;

-- Not for those who may not use the server.
CREATE ROLE flowdb_regress_import;
GRANT ALL ON SCHEMA copy TO flowdb_regress_import;
SET ROLE flowdb_regress_import;
IMPORT FOREIGN SCHEMA flowdb FROM SERVER i INTO copy;
\echo :SQLSTATE
RESET ROLE;
DROP OWNED BY flowdb_regress_import;
DROP ROLE flowdb_regress_import;
SET client_min_messages = warning;
DROP SCHEMA origin, copy CASCADE;
DROP SERVER i CASCADE;
DROP SERVER "odd Server" CASCADE;
