-- Generated rows for the shop: the same at every run. Run by role `owner`:
--   psql -v scale=1 -f data.sql
-- At scale 1: 20 tenants, 200 users, 20,000 customers, 1,000 products, 80,000 orders, 240,000 order lines.
-- Nobody here exists: mail addresses end in .example, card numbers only pass the Luhn check.

BEGIN;

-- Appends the Luhn check digit to the digits given.
CREATE FUNCTION pg_temp.with_luhn(digits text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT digits || (10 - sum(CASE WHEN doubled > 9 THEN doubled - 9 ELSE doubled END) % 10) % 10
    FROM (
        SELECT substr(reverse(digits), place, 1)::int * CASE WHEN place % 2 = 1 THEN 2 ELSE 1 END AS doubled
        FROM generate_series(1, length(digits)) AS place
    ) AS places
$$;

CREATE FUNCTION pg_temp.pick(choices text[], n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT choices[1 + n % cardinality(choices)]
$$;

CREATE FUNCTION pg_temp.full_name(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.pick('{Ada,Ben,Chiara,Dilan,Elif,Femi,Goran,Hanna,Ines,Jonas,Kaya,Lena,Milo,Noor,Olga,Pavel}', n)
        || ' ' ||
        pg_temp.pick('{Adler,Bakker,Costa,Dufour,Eriksen,Ferrari,Garcia,Horvat,Ivanov,Jansen,Kaya,Lund,Marin}', n / 16)
$$;

INSERT INTO shop.tenants (id, name, plan, created_at)
SELECT n, 'Tenant ' || n, pg_temp.pick('{free,team,business}', n), timestamptz '2024-01-01 00:00Z' + n * interval '9 days'
FROM generate_series(1, 20) AS n;

INSERT INTO shop.users (id, tenant_id, email, full_name, is_admin, last_seen)
SELECT n, 1 + n % 20, 'user' || n || '@tenant' || 1 + n % 20 || '.example', pg_temp.full_name(n * 7), n <= 20,
       timestamptz '2026-01-01 00:00Z' - n * interval '3 hours'
FROM generate_series(1, 200) AS n;

INSERT INTO shop.customers (id, tenant_id, full_name, email, card_number, tax_number, city, created_at)
SELECT n, 1 + n % 20, pg_temp.full_name(n), 'customer' || n || '@mail.example',
       pg_temp.with_luhn('4' || lpad((n::bigint * 7919 % 100000000000000)::text, 14, '0')),
       'DE' || lpad((n::bigint * 104729 % 1000000000)::text, 9, '0'),
       pg_temp.pick('{Aachen,Bergen,Cork,Delft,Evora,Faro,Gdynia,Havre}', n / 3),
       timestamptz '2025-01-01 00:00Z' + n * interval '13 minutes'
FROM generate_series(1, greatest(20, (20000 * :scale)::int)) AS n;

INSERT INTO shop.products (id, tenant_id, sku, name, price_cents, stock)
SELECT n, 1 + n % 20, 'SKU-' || lpad(n::text, 5, '0'),
       pg_temp.pick('{Lamp,Chair,Kettle,Notebook,Bicycle,Umbrella,Backpack}', n) || ' ' || n,
       99 + n * 37 % 9900, n * 13 % 500
FROM generate_series(1, 1000) AS n;

-- Customer, order and product of a line belong to one tenant: all three numbers are the same modulo 20.
INSERT INTO shop.orders (id, tenant_id, customer_id, status, placed_at)
SELECT n, 1 + n % 20, 1 + (n - 1) % customers.count, pg_temp.pick('{new,paid,sent,sent,sent,returned}', n / 5),
       timestamptz '2025-06-01 00:00Z' + n * interval '4 minutes'
FROM (SELECT count(*) / 20 * 20 AS count FROM shop.customers) AS customers,
     generate_series(1, (80000 * :scale)::int) AS n;

INSERT INTO shop.order_lines (order_id, line, tenant_id, product_id, quantity, price_cents)
SELECT o.id, line, o.tenant_id, p.id, 1 + (o.id + line) % 4, p.price_cents
FROM shop.orders o
CROSS JOIN generate_series(1, 3) AS line
JOIN shop.products p ON p.id = 1 + (o.id - 1 + 20 * line * (1 + o.id % 7)) % 1000;

-- Made last: building them once is faster than row by row.
CREATE INDEX ON shop.customers (tenant_id);
CREATE INDEX ON shop.orders (tenant_id, placed_at);
CREATE INDEX ON shop.orders (customer_id);
CREATE INDEX ON shop.order_lines (product_id);

SELECT setval(pg_get_serial_sequence('shop.' || name, 'id'), 1000000)
FROM unnest('{tenants,users,customers,products,orders}'::text[]) AS name;

COMMIT;
ANALYZE;
