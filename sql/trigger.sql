-- Row and statement triggers on a FlowDB table.
CREATE SCHEMA test_trigger;
GRANT USAGE ON SCHEMA test_trigger TO PUBLIC;
SET search_path = test_trigger, public;
CREATE SERVER trg FOREIGN DATA WRAPPER flowdb_fdw;
CREATE FOREIGN TABLE f (k text COLLATE "C", ts bigint, v int, note text, twice int GENERATED ALWAYS AS (v * 2) STORED)
  SERVER trg OPTIONS (key_columns 'k', time_column 'ts');
CREATE TABLE audit (id serial, op text, old text, new text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_LEVEL = 'STATEMENT' THEN
    RAISE NOTICE '% % %', TG_WHEN, TG_OP, TG_TABLE_NAME;
    RETURN NULL;
  END IF;
  RAISE NOTICE '% % old %, new %', TG_WHEN, TG_OP, CASE WHEN TG_OP <> 'INSERT' THEN OLD END,
    CASE WHEN TG_OP <> 'DELETE' THEN NEW END;
  IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER b1 BEFORE INSERT OR UPDATE OR DELETE ON f FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER b2 BEFORE INSERT OR UPDATE OR DELETE ON f FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER a1 AFTER INSERT OR UPDATE OR DELETE ON f FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER a2 AFTER INSERT OR UPDATE OR DELETE ON f FOR EACH STATEMENT EXECUTE FUNCTION tell();
INSERT INTO f (k, ts, v) VALUES ('a', 1, 1), ('a', 2, 2);
UPDATE f SET v = v + 10, note = 'n' WHERE k = 'a';
UPDATE f SET ts = ts + 1 WHERE k = 'a';
DELETE FROM f WHERE v = 11;
DELETE FROM f RETURNING *;
INSERT INTO f (k, ts, v) VALUES ('a', 1, 1) ON CONFLICT DO NOTHING;
INSERT INTO f (k, ts, v) VALUES ('a', 1, 2) ON CONFLICT DO NOTHING;
DROP TRIGGER b1 ON f;
DROP TRIGGER b2 ON f;
DROP TRIGGER a1 ON f;
DROP TRIGGER a2 ON f;

-- BEFORE triggers change the row, its place too, or leave it out.
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RETURN CASE WHEN OLD.note = 'keep' THEN NULL ELSE OLD END;
  END IF;
  IF NEW.note = 'skip' THEN RETURN NULL; END IF;
  NEW.note := coalesce(NEW.note, '') || '!';
  IF NEW.v > 100 THEN NEW.ts := NEW.ts + 1000; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER change BEFORE INSERT OR UPDATE OR DELETE ON f FOR EACH ROW EXECUTE FUNCTION change();
INSERT INTO f (k, ts, v, note) VALUES ('b', 1, 1, 'x'), ('b', 2, 2, 'skip'), ('b', 3, 300, NULL);
UPDATE f SET v = v + 1 WHERE k = 'b';
UPDATE f SET note = 'skip' WHERE k = 'b' RETURNING *;
UPDATE f SET v = 500 WHERE k = 'b' AND ts = 1 RETURNING *;
UPDATE f SET note = 'kee' WHERE k = 'b' AND ts > 1500;
SELECT * FROM f WHERE k = 'b' ORDER BY ts;
DROP TRIGGER change ON f;
UPDATE f SET note = 'keep' WHERE k = 'b' AND ts > 1500;
CREATE TRIGGER change BEFORE DELETE ON f FOR EACH ROW EXECUTE FUNCTION change();
DELETE FROM f WHERE k = 'b' RETURNING ts;
SELECT ts FROM f WHERE k = 'b';
DROP TRIGGER change ON f;

-- A trigger that writes to the same table.
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.note = 'self' THEN
    UPDATE f SET v = -1 WHERE k = NEW.k AND ts = NEW.ts;
  ELSIF NEW.note = 'next' THEN
    UPDATE f SET v = -1, note = NULL WHERE k = NEW.k AND ts = NEW.ts + 1;
  ELSIF NEW.note = 'copy' THEN
    INSERT INTO f (k, ts, v) VALUES (NEW.k || '2', NEW.ts, NEW.v);
  END IF;
  RETURN NEW;
END $$;
INSERT INTO f (k, ts, v) SELECT 'c', i, i FROM generate_series(1, 4) i;
CREATE TRIGGER meddle BEFORE UPDATE ON f FOR EACH ROW EXECUTE FUNCTION meddle();
UPDATE f SET note = 'self' WHERE k = 'c' AND ts = 1;
\echo :SQLSTATE
UPDATE f SET note = 'next' WHERE k = 'c' AND ts < 3;
\echo :SQLSTATE
UPDATE f SET note = 'next' WHERE k = 'c' AND ts = 3;
UPDATE f SET note = 'copy', v = v * 10 WHERE k = 'c';
SELECT k, ts, v, note FROM f WHERE k ^@ 'c' ORDER BY k, ts;
DROP TRIGGER meddle ON f;
CREATE TRIGGER meddle AFTER UPDATE ON f FOR EACH ROW WHEN (NEW.note = 'next') EXECUTE FUNCTION meddle();
UPDATE f SET note = 'next' WHERE k = 'c' AND ts < 3;
SELECT k, ts, v, note FROM f WHERE k = 'c' ORDER BY ts;
DROP TRIGGER meddle ON f;
CREATE FUNCTION meddle_delete() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN DELETE FROM f WHERE k = OLD.k AND ts = OLD.ts; RETURN OLD; END $$;
CREATE TRIGGER meddle BEFORE DELETE ON f FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION meddle_delete();
DELETE FROM f WHERE k = 'c' AND ts = 1;
\echo :SQLSTATE
DROP TRIGGER meddle ON f;

-- An audit trail, and a failing AFTER trigger that takes all back.
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit (op, old, new) VALUES (TG_OP, to_jsonb(OLD) ->> 'v', to_jsonb(NEW) ->> 'v');
  IF TG_OP = 'UPDATE' AND NEW.v = 666 THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON f FOR EACH ROW EXECUTE FUNCTION audit();
INSERT INTO f (k, ts, v) VALUES ('d', 1, 1), ('d', 2, 2);
UPDATE f SET v = v + 664 WHERE k = 'd';
UPDATE f SET v = v + 1 WHERE k = 'd' AND ts = 2;
DELETE FROM f WHERE k = 'd' AND ts = 1;
SELECT k, ts, v FROM f WHERE k = 'd';
SELECT op, old, new FROM audit ORDER BY id;
DROP TRIGGER audit ON f;

-- What core refuses on foreign tables.
CREATE TRIGGER t AFTER UPDATE ON f REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION tell();
\echo :SQLSTATE
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON f FOR EACH ROW EXECUTE FUNCTION tell();
\echo :SQLSTATE
CREATE VIEW fv AS SELECT k, ts, v FROM f WHERE k = 'v';
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN UPDATE f SET v = NEW.v WHERE k = OLD.k AND ts = OLD.ts; RETURN NEW; END $$;
CREATE TRIGGER i INSTEAD OF UPDATE ON fv FOR EACH ROW EXECUTE FUNCTION instead();
INSERT INTO fv VALUES ('v', 1, 1);
UPDATE fv SET v = 9 RETURNING *;
SELECT * FROM fv;
SET client_min_messages = warning;
DROP SERVER trg CASCADE;
DROP SCHEMA test_trigger CASCADE;
