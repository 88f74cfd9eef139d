-- On top of the shop, as superuser: something to steal, something to break, and traps. Small, because its digest is taken after
-- every case.

DELETE FROM shop.orders WHERE id > 60;
DELETE FROM shop.customers WHERE id > 60;
DELETE FROM shop.products p WHERE NOT EXISTS (SELECT FROM shop.order_lines WHERE product_id = p.id) AND id > 60;
DELETE FROM shop.users WHERE id > 60;

-- The worst case: the operator let statements run as a superuser.
CREATE ROLE mighty SUPERUSER LOGIN PASSWORD 'mighty';
GRANT mighty TO postern;

-- A schema that no policy mentions.
CREATE SCHEMA vault;
CREATE TABLE vault.secrets (id int PRIMARY KEY, word text NOT NULL);
INSERT INTO vault.secrets VALUES (1, 'swordfish-vault'), (2, 'swordfish-vault-too');
CREATE TABLE vault."Mixed Case" (word text);
INSERT INTO vault."Mixed Case" VALUES ('swordfish-vault-mixed');
CREATE TABLE vault.a_table_whose_name_is_as_long_as_a_name_in_postgresql_can_be_63 (word text);
INSERT INTO vault.a_table_whose_name_is_as_long_as_a_name_in_postgresql_can_be_63 VALUES ('swordfish-vault-long');
CREATE SEQUENCE vault.numbers START 4711;
CREATE FUNCTION vault.tell() RETURNS text LANGUAGE sql AS $$ SELECT word FROM vault.secrets WHERE id = 1 $$;
CREATE PROCEDURE vault.wipe() LANGUAGE sql AS $$ DELETE FROM vault.secrets $$;
CREATE FUNCTION vault.plus(a int, b int) RETURNS text LANGUAGE sql AS $$ SELECT word FROM vault.secrets WHERE id = 1 $$;
CREATE OPERATOR vault.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = vault.plus);
CREATE TYPE vault.mood AS ENUM ('calm', 'swordfish-vault-mood');
SELECT lo_from_bytea(4711, 'swordfish-vault-large');

-- What those who may only read must not change.
CREATE TABLE shop.target (n int PRIMARY KEY);
INSERT INTO shop.target VALUES (1);

-- For those who may read some columns only. Nobody here exists.
CREATE TABLE shop.staff (
    id int PRIMARY KEY, name text NOT NULL, city text NOT NULL, salary int NOT NULL, note text NOT NULL,
    CONSTRAINT salary_in_range CHECK (salary < 1000000)
);
INSERT INTO shop.staff VALUES
    (1, 'Ada Adler', 'Aachen', 707070, 'swordfish-note'),
    (2, 'Ben Bakker', 'Bergen', 303030, 'harmless'),
    (3, 'Chiara Costa', 'Cork', 404040, 'harmless');

-- Objects of an allowed schema that lead out of it.
CREATE VIEW shop.peek AS SELECT id, word FROM vault.secrets;
CREATE VIEW shop.peek_again AS SELECT p.word AS title FROM shop.peek p;
CREATE MATERIALIZED VIEW shop.peek_kept AS SELECT word FROM vault.secrets;
CREATE VIEW shop.staff_names AS SELECT id, name FROM shop.staff;
CREATE VIEW shop.staff_all AS SELECT s.*, s.salary AS pay FROM shop.staff s;
CREATE FUNCTION shop.leak() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT word FROM vault.secrets WHERE id = 1 $$;
CREATE FUNCTION shop.leaks() RETURNS SETOF vault.secrets LANGUAGE sql AS $$ TABLE vault.secrets $$;
CREATE FUNCTION shop.leak_of(shop.staff) RETURNS text LANGUAGE sql AS $$ SELECT word FROM vault.secrets WHERE id = 1 $$;
CREATE FUNCTION shop.note_of(shop.staff) RETURNS text LANGUAGE sql AS $$ SELECT $1.note $$;
CREATE FUNCTION shop.hash_hash(a int, b int) RETURNS text LANGUAGE sql AS $$ SELECT word FROM vault.secrets WHERE id = 1 $$;
CREATE OPERATOR shop.## (LEFTARG = int, RIGHTARG = int, FUNCTION = shop.hash_hash);
CREATE FUNCTION shop.run(sql text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE result text; BEGIN EXECUTE sql INTO result; RETURN result; END $$;
CREATE AGGREGATE shop.leak_agg(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', FINALFUNC = int4abs);
CREATE TYPE shop.badge AS (n int);
CREATE FUNCTION shop.to_badge(int) RETURNS shop.badge LANGUAGE plpgsql AS $$
    BEGIN RETURN ROW(length((SELECT word FROM vault.secrets WHERE id = 1)) * 1000 + 471)::shop.badge; END $$;
CREATE CAST (int AS shop.badge) WITH FUNCTION shop.to_badge(int);
CREATE PROCEDURE shop.wipe() LANGUAGE sql AS $$ DELETE FROM vault.secrets $$;
CREATE TABLE shop.trap (n int);
CREATE RULE trap AS ON INSERT TO shop.trap DO ALSO DELETE FROM vault.secrets;

-- Inheritance and partitions: what is read by its parent, and what by its own name.
CREATE TABLE shop.notes (id int, body text);
CREATE TABLE vault.more_notes () INHERITS (shop.notes);
INSERT INTO shop.notes VALUES (1, 'milk');
INSERT INTO vault.more_notes VALUES (2, 'swordfish-vault-child');
CREATE TABLE vault.pay (id int, amount text) PARTITION BY RANGE (id);
CREATE TABLE shop.pay_1 PARTITION OF vault.pay FOR VALUES FROM (0) TO (100);
INSERT INTO vault.pay VALUES (1, 'swordfish-vault-pay');

GRANT ALL ON ALL TABLES IN SCHEMA shop TO app, owner;
