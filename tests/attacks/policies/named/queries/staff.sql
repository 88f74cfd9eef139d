-- name: staff_by_id
-- roles: named
SELECT id, name FROM shop.staff WHERE id = $1;

-- name: staff_by_name
-- roles: named
SELECT id FROM shop.staff WHERE name = $1;

-- name: first_of_staff
-- roles: named
SELECT name FROM shop.staff ORDER BY id LIMIT 1;

-- name: remainder
-- roles: named
SELECT 'rest ' || mod(id, 7) FROM shop.staff WHERE id = $1;

-- name: in_aachen
-- roles: named
SELECT name FROM shop.staff WHERE city = 'Aachen' AND id < 3;

-- name: not_the_others
-- roles: named
SELECT name FROM shop.staff WHERE (id = 1) = true;

-- name: as_text
-- roles: named
SELECT id::text || 'x' FROM shop.staff WHERE id = '1'::int;

-- name: twice
-- roles: named
SELECT concat(name, ' ', name) FROM shop.staff WHERE id = 1;

-- name: from_list
-- roles: named
SELECT a.name FROM shop.staff a, shop.products b WHERE a.id = b.id AND a.id = $1;

-- name: letter
-- roles: named
SELECT body FROM shop.letters_01 WHERE id = $1;
