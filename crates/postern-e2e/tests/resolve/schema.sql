CREATE SCHEMA app;
CREATE SCHEMA other;
GRANT USAGE ON SCHEMA app, other TO PUBLIC;
CREATE TYPE app.mood AS ENUM ('sad', 'happy');
CREATE TYPE app.address AS (street text, city text);
CREATE DOMAIN app.tenant AS int;
CREATE TABLE app.tenants (tenant_id int PRIMARY KEY, name text);
CREATE TABLE app.users (
    id serial PRIMARY KEY, tenant_id int NOT NULL REFERENCES app.tenants, email text UNIQUE, ssn text,
    addr app.address, tags text[], doc jsonb, feeling app.mood, UNIQUE (tenant_id, email));
CREATE TABLE app.orders (
    id serial PRIMARY KEY, tenant_id int NOT NULL REFERENCES app.tenants, user_id int REFERENCES app.users,
    gone int, total numeric(10, 2), created timestamptz DEFAULT now());
ALTER TABLE app.orders DROP COLUMN gone;
CREATE TABLE app.domains (id int, tenant_id app.tenant, code char(5), kind name);
CREATE TABLE other.users (id int, secret text);
CREATE TABLE public.orders (id int, public_note text);
CREATE TABLE public.notes (id int, "Mixed Case" text, note text);
CREATE TABLE app.base (id int, label text);
CREATE TABLE app.child (extra text) INHERITS (app.base);
CREATE TABLE app.grandchild () INHERITS (app.child);
CREATE TABLE app.events (tenant_id int, at date, what text) PARTITION BY RANGE (at);
CREATE TABLE app.events_2024 (what text, tenant_id int, at date);
ALTER TABLE app.events ATTACH PARTITION app.events_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE VIEW app.people AS SELECT id, tenant_id, email AS mail, upper(ssn) AS loud, ssn FROM app.users WHERE feeling <> 'sad';
CREATE VIEW app.rich AS
    SELECT p.mail, p.tenant_id, o.total, p.ssn FROM app.people p JOIN app.orders o ON o.user_id = p.id AND o.tenant_id = p.tenant_id;
CREATE VIEW app.both_ids AS SELECT id, tenant_id FROM app.users UNION ALL SELECT id, tenant_id FROM app.orders;
CREATE VIEW app.counts AS SELECT tenant_id, count(*) AS n FROM app.users GROUP BY tenant_id;
CREATE VIEW app.first_ten AS SELECT * FROM app.users ORDER BY id LIMIT 10;
CREATE MATERIALIZED VIEW app.stored AS SELECT email, ssn FROM app.users;
CREATE FUNCTION app.add_one(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE FUNCTION app.over(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION app.over(text) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION app.shout(app.users) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN upper($1.email); END';
CREATE FUNCTION app.pairs(n int, OUT a int, OUT b text) RETURNS SETOF record LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION app.table_of(n int DEFAULT 1) RETURNS TABLE (x int, y text) LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION app.some_users() RETURNS SETOF app.users LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION app.one_out(OUT result int) LANGUAGE plpgsql AS 'BEGIN result := 1; END';
CREATE FUNCTION app.any_record() RETURNS record LANGUAGE plpgsql AS 'BEGIN RETURN ROW(1, 2); END';
CREATE FUNCTION app.many(VARIADIC ints int[]) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION app.same(anyelement) RETURNS anyelement LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE PROCEDURE app.work(int) LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION app.mood_equals(app.mood, text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE OPERATOR app.=== (LEFTARG = app.mood, RIGHTARG = text, FUNCTION = app.mood_equals);
CREATE FUNCTION app.to_address(text) RETURNS app.address LANGUAGE plpgsql AS 'BEGIN RETURN ROW($1, $1); END';
CREATE CAST (text AS app.address) WITH FUNCTION app.to_address(text);
CREATE AGGREGATE app.total_of(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE TABLE app.ruled (a int);
CREATE RULE r AS ON INSERT TO app.ruled DO INSTEAD DELETE FROM app.users;
INSERT INTO app.tenants VALUES (1, 'one'), (2, 'two');
GRANT ALL ON ALL TABLES IN SCHEMA app, other, public TO PUBLIC;
