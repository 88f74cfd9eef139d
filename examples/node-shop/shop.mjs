// The shop's front end with node-postgres and SQL of its own.
//
//   node shop.mjs postgresql://app:app@127.0.0.1:6432/demo [TENANT]
//
// Goes through everything the shop does, once, and prints what came of each flow as one line of JSON. The driver is
// looked for in $NODE_MODULES, then as usual.

import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';

const from = process.env.NODE_MODULES ? path.join(process.env.NODE_MODULES, 'x.js') : import.meta.url;
const pg = createRequire(from)('pg');

const [, , url, tenantText = '8'] = process.argv;
const tenant = Number(tenantText);
const pool = new pg.Pool({ connectionString: url, max: 2 });

async function inTransaction(work) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

async function listProducts() {
  const { rows } = await pool.query(
    'SELECT id, sku, name, price_cents FROM shop.products WHERE tenant_id = $1 ORDER BY name, id LIMIT $2 OFFSET $3',
    [tenant, 4, 4],
  );
  return rows.map((row) => row.sku);
}

async function searchCustomers() {
  const { rows } = await pool.query({
    name: 'search-customers',
    text: `SELECT c.id, c.full_name, count(o.id)::int AS orders
             FROM shop.customers c LEFT JOIN shop.orders o ON o.customer_id = c.id AND o.tenant_id = c.tenant_id
            WHERE c.tenant_id = $1 AND c.city = $2
            GROUP BY c.id ORDER BY c.id LIMIT 5`,
    values: [tenant, 'Bergen'],
  });
  return rows.length;
}

async function productsByNumber() {
  const { rows } = await pool.query(
    'SELECT id, name FROM shop.products WHERE tenant_id = $1 AND id = ANY ($2::int[]) ORDER BY id',
    [tenant, [7, 27, 47]],
  );
  return rows.map((row) => row.id);
}

async function createOrder() {
  return inTransaction(async (client) => {
    const customer = await client.query('SELECT id FROM shop.customers WHERE tenant_id = $1 ORDER BY id LIMIT 1', [tenant]);
    const product = await client.query(
      'SELECT id, price_cents, stock FROM shop.products WHERE tenant_id = $1 AND stock > $2 ORDER BY id LIMIT 1 FOR UPDATE',
      [tenant, 5],
    );
    const order = await client.query(
      'INSERT INTO shop.orders (tenant_id, customer_id) VALUES ($1, $2) RETURNING id, status',
      [tenant, customer.rows[0].id],
    );
    const { id, price_cents: price } = product.rows[0];
    await client.query(
      'INSERT INTO shop.order_lines (order_id, line, tenant_id, product_id, quantity, price_cents) VALUES ($1, $2, $3, $4, $5, $6)',
      [order.rows[0].id, 1, tenant, id, 3, price],
    );
    await client.query('UPDATE shop.products SET stock = stock - $1 WHERE id = $2 AND tenant_id = $3', [3, id, tenant]);
    const total = await client.query(
      'SELECT total_cents::int AS total FROM shop.order_totals WHERE id = $1 AND tenant_id = $2',
      [order.rows[0].id, tenant],
    );
    return [order.rows[0].status, total.rows[0].total === 3 * price];
  });
}

async function payOrder() {
  return inTransaction(async (client) => {
    const { rows } = await client.query(
      "UPDATE shop.orders SET status = 'paid' WHERE tenant_id = $1 AND status = 'new' AND id = (SELECT max(id) FROM shop.orders WHERE tenant_id = $1) RETURNING status",
      [tenant],
    );
    return rows.length;
  });
}

async function soldOut() {
  try {
    await inTransaction(async (client) => {
      await client.query('UPDATE shop.products SET stock = stock - $1 WHERE id = $2 AND tenant_id = $3', [1, 7, tenant]);
      throw new Error('sold out');
    });
  } catch (error) {
    return error.message;
  }
  return 'no error';
}

async function report() {
  const { rows } = await pool.query(
    `WITH months AS (
       SELECT date_trunc('month', o.placed_at) AS month, sum(l.quantity * l.price_cents) AS cents
         FROM shop.orders o JOIN shop.order_lines l ON l.order_id = o.id AND l.tenant_id = o.tenant_id
        WHERE o.tenant_id = $1 AND o.placed_at < $2
        GROUP BY 1)
     SELECT to_char(month, 'YYYY-MM') AS month, cents::bigint FROM months ORDER BY month`,
    [tenant, '2026-01-01'],
  );
  return rows.map((row) => row.month);
}

try {
  for (const flow of [listProducts, searchCustomers, productsByNumber, createOrder, payOrder, soldOut, report]) {
    console.log(JSON.stringify([flow.name, await flow()]));
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await pool.end();
}
