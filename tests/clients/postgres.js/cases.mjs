// postgres.js: extended protocol, pipelined by itself, its own pool, COPY streams and LISTEN.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';

import { diagnosis, digest, driver, main, subject, test } from '../lib/report.mjs';

const postgres = driver('postgres');

const SUBJECT = subject();
const SCHEMA = SUBJECT.schema;
const NO_TLS = SUBJECT.tls ? undefined : 'the URL asks for no TLS';
const FIELDS = ['severity', 'code', 'message', 'detail', 'hint', 'position', 'internal_position', 'internal_query', 'where', 'schema_name', 'table_name', 'column_name', 'type_name', 'constraint_name'];

function options(changes = {}) {
  const { host, port, user, password, database, tls } = { ...SUBJECT, ...changes };
  return { host, port, user, password, database, ssl: tls ? { rejectUnauthorized: false } : false, max: 1, idle_timeout: 0, onnotice: () => {}, connection: { application_name: 'postgres.js suite' }, ...changes };
}

async function session(work, changes) {
  const sql = postgres(options(changes));
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 10 });
  }
}

async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    if (error.name !== 'PostgresError') throw error;
    return diagnosis(error, FIELDS);
  }
  throw new Error('no error');
}

const seen = (result) => ({ command: result.command, count: result.count, rows: [...result], columns: result.columns?.map((c) => [c.name, c.type]) ?? null });

async function table(sql, name, definition) {
  await sql.unsafe(`create schema if not exists ${SCHEMA}; set search_path = ${SCHEMA}; drop table if exists ${name} cascade; create table ${name} (${definition})`);
}

test('fresh schema', () => session(async (sql) => {
  await sql.unsafe(`drop schema if exists ${SCHEMA} cascade`);
  return seen(await sql.unsafe(`create schema ${SCHEMA}`));
}));

test('connect over TLS', () => session(async (sql) => seen(await sql`select 1 as n`)), NO_TLS);
test('connect without TLS', () => session(async (sql) => seen(await sql`select 1 as n`), { tls: false }));

test('wrong password, unknown user, wrong database', async () => {
  const attempt = (changes) => refused(session((sql) => sql`select 1`, changes));
  return [await attempt({ password: 'not-it' }), await attempt({ user: 'nobody_at_all' }), await attempt({ database: 'no_such_database' })];
});

test('parameters of the connection', () => session(async (sql) => {
  await sql`select 1`;
  // The psycopg suite has a case of its own for session_authorization.
  const { application_name, session_authorization: _, ...rest } = sql.parameters;
  return { rest, application_name, shown: [...(await sql`select current_setting('application_name') as a, current_setting('statement_timeout') as t, current_setting('DateStyle') as d`)] };
}, { connection: { application_name: 'the suite', statement_timeout: 5000, DateStyle: 'ISO, DMY' } }));

test('search_path by start-up parameter', () => session(async (sql) => [...(await sql`show search_path`)], { connection: { search_path: SCHEMA } }));

test('queries and parameters', () => session(async (sql) => [
  seen(await sql`select ${3}::int + ${4}::int as sum, ${'ü🌍'}::text as t, ${null}::text as nil, ${true}::bool as b, ${sql.json({ a: [1, null] })} as j, ${sql.array([1, 2])} as a, ${new Date(0)}::timestamptz as at, ${Buffer.from([0, 255])}::bytea as raw`),
  seen(await sql`select 1 where false`), seen(await sql`create temp table t (n int, s text)`), seen(await sql`insert into t ${sql([{ n: 1, s: 'a' }, { n: 2, s: null }])}`), seen(await sql`update t set ${sql({ s: 'z' })} where n in ${sql([1, 2])} returning *`), seen(await sql`delete from t`),
]));

test('simple protocol', () => session(async (sql) => (await sql`select 1 as a; select 'x' as b; create temp table t (n int); insert into t values (1), (2); select * from t`.simple()).map(seen)));
test('empty query', () => session(async (sql) => [seen(await sql``), seen(await sql.unsafe('')), seen(await sql.unsafe('-- nothing')), seen(await sql`select 1 as n`)]));
test('raw values', () => session(async (sql) => [...(await sql`select 1::int4 as i, 'ü' as t, null as n, 1.5::float8 as f`.raw())]));
test('values and describe', () => session(async (sql) => {
  const { string, types, columns } = await sql`select ${1}::int as n, ${'x'}::text as t`.describe();
  return [[...(await sql`select 1, 'x', null`.values())], string, types, columns.map((c) => [c.name, c.type])];
}));

const LITERALS = {
  int2: ['-32768', '32767'], int4: ['-2147483648', '2147483647'], int8: ['-9223372036854775808', '9223372036854775807'], numeric: ['123456789012345678901234567890.0123456789', 'NaN'], float4: ['3.4028235e+38'],
  float8: ['1.7976931348623157e+308', '5e-324', '-0', 'NaN', 'Infinity'], bool: ['true', 'false'], text: ['', 'Grüße, 世界 🌍', "quo'te \\ back", 'x'.repeat(70000)], 'char(5)': ['ab'], bytea: ['\\x', '\\x00ff27'], date: ['2024-02-29'], time: ['23:59:59.999999'],
  timestamp: ['2024-02-29 12:34:56.789'], timestamptz: ['2024-02-29 12:34:56.789+00'], interval: ['1 year 2 mons -3 days 04:05:06.7'], uuid: ['01234567-89ab-cdef-0123-456789abcdef'], json: ['{"a":  [1, 2.5]}'], jsonb: ['{"a": [1, null]}'],
  'int4[]': ['{}', '{1,NULL,3}', '{{1,2},{3,4}}'], 'text[]': ['{"a,b","q\\"","",NULL}'], int4range: ['[1,5)', 'empty'], inet: ['10.0.0.1/8'], point: ['(1,2)'], money: ['12.34'], tsvector: ["'a':1 'b':2"], int4multirange: ['{[1,3),[5,7)}'],
};

test('common types back', () => session(async (sql) => {
  await sql`set TimeZone = 'UTC'`;
  const results = {};
  for (const [kind, values] of Object.entries(LITERALS)) {
    results[kind] = [];
    for (const value of values) results[kind].push((await sql.unsafe(`select ($1::text)::${kind} as v, (($1::text)::${kind})::text as t`, [value]))[0]);
    results[kind].push((await sql.unsafe(`select $1::${kind} as v`, [null]))[0]);
  }
  return results;
}));

// PostgreSQL may be built without XML; then it says so.
test('xml', () => session((sql) => sql.unsafe('select ($1::text)::xml as v', ['<a/>']).then((rows) => [...rows], (error) => error.code)));

test('a megabyte of bytea', () => session(async (sql) => {
  const raw = Buffer.alloc(1 << 20, Buffer.from(Array.from({ length: 251 }, (_, n) => n)));
  await table(sql, 'blobs', 'b bytea');
  await sql`insert into blobs values (${raw})`;
  const rows = await sql`select b, md5(b) as m from blobs`;
  if (!rows[0].b.equals(raw)) throw new Error('not the same bytes');
  return [...rows];
}));

test('big result', () => session(async (sql) => {
  const rows = await sql`select n, repeat('r', n % 50) as t, n * 1.5 as x from generate_series(1, 100000) n`.values();
  return [rows.length, digest(rows)];
}));

test('one statement many times', () => session(async (sql) => {
  let sum = 0;
  for (let n = 0; n < 300; n++) sum += (await sql`select ${n}::int * 2 as v`)[0].v;
  return [sum, [...(await sql`select count(*) from pg_prepared_statements where statement like '%* 2 as v%'`)].length];
}));

test('without prepared statements', () => session(async (sql) => {
  const results = [];
  for (let n = 0; n < 10; n++) results.push((await sql`select ${n}::int as n`)[0].n);
  return results;
}, { prepare: false }));

test('sent without waiting', () => session(async (sql) => {
  const results = await Promise.allSettled(Array.from({ length: 200 }, (_, n) => (n % 50 === 25 ? sql`select ${n}::int / 0` : sql`select ${n}::int as n`)));
  return results.map((r) => (r.status === 'fulfilled' ? r.value[0].n : r.reason.code));
}));

test('statement after DDL', () => session(async (sql) => session(async (other) => {
  await table(sql, 'changing', 'a int');
  await sql`insert into changing values (1)`;
  const run = () => sql`select * from changing`;
  const results = [[...(await run())]];
  await other.unsafe(`alter table ${SCHEMA}.changing add column b int default 5`);
  // The driver prepares it again by itself.
  results.push([...(await run())]);
  return results;
})));

test('transactions and savepoints', () => session(async (sql) => {
  await table(sql, 'rows', 'n int primary key');
  const results = [];
  await sql.begin('isolation level serializable', async (tx) => {
    await tx`insert into rows values (1)`;
    results.push(await refused(tx.savepoint(async (sp) => { await sp`insert into rows values (2)`; await sp`insert into rows values (1)`; })));
    await tx`insert into rows values (3)`;
    results.push([...(await tx`show transaction_isolation`)]);
  });
  results.push(await refused(sql.begin(async (tx) => { await tx`insert into rows values (4)`; await tx`select 1/0`; })));
  results.push(await refused(sql.begin('read only', (tx) => tx`insert into rows values (5)`)));
  const many = await sql.begin((tx) => [tx`select 1 as n`, tx`select 2 as n`, tx`select 3 as n`]);
  return [...results, many.map((r) => r[0].n), [...(await sql`select n from rows order by n`)]];
}));

test('errors', () => session(async (sql) => {
  const results = {};
  for (const text of ['selec 1', 'select * from no_such_table', 'select nope', 'select 1/0', "select 'x'::int", "select 'open", "select 'ä' || nope", "do $$ begin raise exception 'made up' using errcode = 'ZX123', detail = 'd', hint = 'h', table = 't', column = 'c', constraint = 'k', schema = 's', datatype = 'y'; end $$"]) {
    results[text] = [await refused(sql.unsafe(text)), await refused(sql.unsafe(text, [], { prepare: true }))];
  }
  return { ...results, after: [...(await sql`select 1 as n`)] };
}));

test('constraint violations', () => session(async (sql) => {
  await table(sql, 'strict', 'id int primary key, name text not null, age int constraint grown check (age > 17), parent int references strict');
  await sql`insert into strict values (1, 'a', 20, null)`;
  const results = [];
  for (const [id, name, age, parent] of [[1, 'b', 30, null], [2, null, 30, null], [3, 'c', 3, null], [4, 'd', 30, 99]]) results.push(await refused(sql`insert into strict values (${id}, ${name}, ${age}, ${parent})`));
  return results;
}));

test('cursor', () => session(async (sql) => {
  const sizes = [];
  let sum = 0;
  await sql`select n from generate_series(1, 1000) n`.cursor(300, (rows) => { sizes.push(rows.length); for (const row of rows) sum += row.n; });
  let last = 0;
  for await (const [row] of sql`select n from generate_series(1, 100000) n`.cursor()) {
    last = row.n;
    if (last === 25) break;
  }
  const failing = await refused((async () => { for await (const _ of sql`select 1 / (5 - n) as v from generate_series(1, 10) n`.cursor(2)); })());
  return [sizes, sum, last, failing, [...(await sql`select 1 as n`)]];
}));

test('forEach', () => session(async (sql) => {
  let sum = 0;
  const result = await sql`select n from generate_series(1, 50000) n`.forEach((row) => { sum += row.n; });
  return [sum, result.count, result.command];
}));

// Out goes less than a stream's buffer holds (16 KiB): when the last data fill it, the driver pauses its socket, and since
// a stream that has ended asks for no more, nothing ever wakes it.
test('copy in and out', () => session(async (sql) => {
  await table(sql, 'copied', 'n int primary key, t text');
  const lines = Array.from({ length: 200 }, (_, k) => Array.from({ length: 100 }, (_, n) => `${k * 100 + n}\trow ü ${n}\n`).join(''));
  await pipeline(Readable.from(lines), await sql`copy copied from stdin`.writable());
  const results = [[...(await sql`select count(*), sum(n) from copied`)]];
  for (const form of ['text', 'csv', 'binary']) {
    const chunks = [];
    for await (const chunk of await sql.unsafe(`copy (select * from copied where n < 400 order by n) to stdout (format ${form})`).readable()) chunks.push(chunk);
    const data = Buffer.concat(chunks);
    await sql.unsafe('create temp table if not exists back (like copied); truncate back');
    await pipeline(Readable.from([data]), await sql.unsafe(`copy back from stdin (format ${form})`).writable());
    results.push([data.length, digest([data]), [...(await sql`select md5(string_agg(b::text, '' order by n)) from back b`)]]);
  }
  return results;
}));

// The driver does not hand on an error of the server once data flow in, so only one before that is a case.
test('copy that is refused', () => session(async (sql) => [await refused(sql`copy no_such_table from stdin`.writable()), [...(await sql`select 1 as n`)]]));

test('notices', async () => {
  const notices = [];
  await session((sql) => sql`do $$ begin raise notice 'one' using hint = 'h'; raise warning 'two'; end $$`, { onnotice: (notice) => notices.push(diagnosis(notice, ['severity', 'code', 'message', 'hint', 'where'])) });
  return notices;
});

test('listen and notify', () => session(async (sql) => {
  const got = [];
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const { unlisten } = await sql.listen('postgresjs_news', (payload) => { got.push(payload); if (payload === 'last') done(); });
  for (let n = 0; n < 5; n++) await sql.notify('postgresjs_news', `ü ${n}`);
  await sql.notify('other', 'unheard');
  await sql.notify('postgresjs_news', 'last');
  await all;
  await unlisten();
  return got;
}));

test('cancel', () => session(async (sql) => {
  const query = sql`select pg_sleep(50)`;
  let over = false;
  const running = refused(query).finally(() => { over = true; });
  for (let tries = 0; tries < 20 && !over; tries++) {
    await pause(500);
    if (over) break;
    query.cancel();
    await Promise.race([running, pause(2000)]);
  }
  return [await running, [...(await sql`select 1 as n`)]];
}));

test('statement_timeout', () => session(async (sql) => [await refused(sql`select pg_sleep(50)`), [...(await sql`select 1 as n`)]], { connection: { statement_timeout: 100 } }));

test('session state on a reserved connection', () => session(async (sql) => {
  const one = await sql.reserve();
  await one`set work_mem = '7MB'`;
  await one`create temp table scratch (n int)`;
  await one`insert into scratch values (1)`;
  await one`begin`;
  await one`set local work_mem = '8MB'`;
  const results = [[...(await one`show work_mem`)]];
  await one`rollback`;
  results.push([...(await one`show work_mem`)], [...(await one`select * from scratch`)], [...(await one`select pg_try_advisory_lock(990031)`)], [...(await one`select pg_advisory_unlock(990031)`)]);
  one.release();
  return results;
}));

test('pool', () => session(async (sql) => (await Promise.all(Array.from({ length: 60 }, (_, n) => sql.begin(async (tx) => {
  await tx`select set_config('my.number', ${String(n)}, true)`;
  return (await tx`select current_setting('my.number') as n`)[0].n;
})))), { max: 5 }));

test('long identifiers', () => session(async (sql) => (await sql.unsafe(`select 1 as ${'e'.repeat(63)}, 2 as ${'l'.repeat(80)}, 3 as "${'ü'.repeat(40)}"`)).columns.map((c) => c.name)));

await main();
