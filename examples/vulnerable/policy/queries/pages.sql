-- name: product
-- roles: app
-- max_rows: 1
SELECT id, name, price_cents, stock FROM shop.products WHERE id = $1;

-- name: search
-- roles: app
-- max_rows: 20
SELECT id, name, price_cents FROM shop.products WHERE name = $1 ORDER BY id LIMIT 20;

-- name: sign_in
-- roles: app
-- max_rows: 1
SELECT id, full_name FROM shop.users WHERE email = $1 AND is_admin = true;
