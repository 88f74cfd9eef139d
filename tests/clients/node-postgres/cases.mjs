// node-postgres (pg), with pg-cursor, pg-query-stream and pg-copy-streams.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';

import { diagnosis, digest, driver, main, subject, test } from '../lib/report.mjs';

const pg = driver('pg');
const Cursor = driver('pg-cursor');
const QueryStream = driver('pg-query-stream');
const { from: copyFrom, to: copyTo } = driver('pg-copy-streams');

const SUBJECT = subject();
const SCHEMA = SUBJECT.schema;
const NO_TLS = SUBJECT.tls ? undefined : 'the URL asks for no TLS';
const FIELDS = ['severity', 'code', 'message', 'detail', 'hint', 'position', 'internalPosition', 'internalQuery', 'where', 'schema', 'table', 'column', 'dataType', 'constraint'];

function options(changes = {}) {
  const { host, port, user, password, database, tls } = { ...SUBJECT, ...changes };
  return { host, port, user, password, database, ssl: tls ? { rejectUnauthorized: false } : false, ...changes };
}

async function session(work, changes) {
  const client = new pg.Client(options(changes));
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    if (!error.code || !error.severity) throw error;
    return diagnosis(error, FIELDS);
  }
  throw new Error('no error');
}

const seen = ({ command, rowCount, fields, rows }) => ({ command, rowCount, fields: fields.map((f) => [f.name, f.dataTypeID, f.dataTypeSize, f.dataTypeModifier, f.format]), rows });

async function table(c, name, definition) {
  await c.query(`set search_path = ${SCHEMA}; drop table if exists ${name} cascade; create table ${name} (${definition})`);
}

test('fresh schema', () => session(async (c) => {
  await c.query(`drop schema if exists ${SCHEMA} cascade`);
  return seen(await c.query(`create schema ${SCHEMA}`));
}));

test('connect over TLS', () => session(async (c) => [c.connection.stream.encrypted, (await c.query('select 1 as n')).rows]), NO_TLS);

test('connect without TLS', () => session(async (c) => [Boolean(c.connection.stream.encrypted), (await c.query('select 1 as n')).rows], { tls: false }));

test('connect over TLS with channel binding', () => session(async (c) => (await c.query('select 1 as n')).rows, { enableChannelBinding: true }), NO_TLS);

test('wrong password, unknown user, wrong database', async () => {
  const attempt = (changes) => refused(session(() => {}, changes));
  return [await attempt({ password: 'not-it' }), await attempt({ user: 'nobody_at_all' }), await attempt({ database: 'no_such_database' })];
});

test('start-up parameters', () => session(async (c) => (await c.query("select current_setting('application_name') as a, current_setting('statement_timeout') as t, current_setting('lock_timeout') as l")).rows,
  { application_name: 'the suite', statement_timeout: 5000, lock_timeout: 4000 }));

test('parameter status', async () => {
  const client = new pg.Client(options());
  const status = {};
  client.connection.on('parameterStatus', (message) => { status[message.parameterName] = message.parameterValue; });
  await client.connect();
  const shown = (await client.query('show server_version')).rows;
  await client.end();
  delete status.application_name;
  // The psycopg suite has a case of its own for this one.
  delete status.session_authorization;
  return { status, shown };
});

test('simple queries', () => session(async (c) => {
  const results = [];
  for (const text of ["select 1 as a, 'x' as b, null as c", 'values (1), (2)', 'select 1 where false', 'create temp table t (n int)', 'insert into t values (1), (2)', 'update t set n = 3', 'delete from t', 'begin', 'commit', "set work_mem = '5MB'", '']) results.push([text, seen(await c.query(text))]);
  return results;
}));

test('several statements in one query', () => session(async (c) => (await c.query("select 1 as a; select 'x' as b; create temp table t (n int); insert into t values (1), (2); select * from t")).map(seen)));

test('several statements, one fails', () => session(async (c) => {
  await table(c, 'together', 'n int');
  return [await refused(c.query('insert into together values (1); select 1/0; insert into together values (2)')), (await c.query('select count(*) from together')).rows];
}));

test('parameters', () => session(async (c) => seen(await c.query('select $1::int + $2::int as sum, $3::text as t, $4::text as nil, $5::bool as b, $6::jsonb as j, $7::int[] as a, $8::timestamptz as at, $9::bytea as raw',
  [3, 4, 'ü🌍', null, true, { a: [1, null] }, [1, 2, null], new Date(0), Buffer.from([0, 255])]))));

test('binary results', () => session(async (c) => seen(await c.query({ text: "select $1::int4 as i, 2::int8 as b, 1.5::float8 as f, 'x'::text as t, true as o, '\\x01'::bytea as raw, timestamptz '2024-02-29 12:00:00+00' as at", values: [7], binary: true }))));

const LITERALS = {
  int2: ['-32768', '32767'], int4: ['-2147483648', '2147483647'], int8: ['-9223372036854775808', '9223372036854775807'], numeric: ['123456789012345678901234567890.0123456789', 'NaN', '0.000000000000000000001'],
  float4: ['3.4028235e+38', '1e-45'], float8: ['1.7976931348623157e+308', '5e-324', '-0', 'NaN', 'Infinity'], bool: ['true', 'false'], text: ['', 'Grüße, 世界 🌍', "quo'te \\ back"], 'char(5)': ['ab'],
  bytea: ['\\x', '\\x00ff27'], date: ['2024-02-29', 'infinity'], time: ['23:59:59.999999'], timestamp: ['2024-02-29 12:34:56.789'], timestamptz: ['2024-02-29 12:34:56.789+00'], interval: ['1 year 2 mons -3 days 04:05:06.7'],
  uuid: ['01234567-89ab-cdef-0123-456789abcdef'], json: ['{"a":  [1, 2.5]}'], jsonb: ['{"a": [1, null]}'], 'int4[]': ['{}', '{1,NULL,3}', '{{1,2},{3,4}}'], 'text[]': ['{"a,b","q\\"","",NULL}'], int4range: ['[1,5)', 'empty'],
  inet: ['10.0.0.1/8'], point: ['(1,2)'], circle: ['<(1,2),3>'], money: ['12.34'], tsvector: ["'a':1 'b':2"], bit: ['1'], int4multirange: ['{[1,3),[5,7)}'],
};

test('common types there and back', () => session(async (c) => {
  const results = {};
  await c.query("set TimeZone = 'UTC'");
  for (const [kind, values] of Object.entries(LITERALS)) {
    results[kind] = [];
    for (const value of values) results[kind].push((await c.query(`select $1::${kind} as v, ($1::${kind})::text as t`, [value])).rows[0]);
    results[kind].push((await c.query(`select $1::${kind} as v`, [null])).rows[0]);
  }
  return results;
}));

// PostgreSQL may be built without XML; then it says so.
test('xml', () => session((c) => c.query('select $1::xml as v, ($1::xml)::text as t', ['<a/>']).then(({ rows }) => rows, (error) => error.code)));

test('a megabyte of bytea', () => session(async (c) => {
  const raw = Buffer.alloc(1 << 20, Buffer.from(Array.from({ length: 251 }, (_, n) => n)));
  await table(c, 'blobs', 'b bytea');
  await c.query('insert into blobs values ($1)', [raw]);
  const { rows } = await c.query('select b, md5(b) as m from blobs');
  if (!rows[0].b.equals(raw)) throw new Error('not the same bytes');
  return rows;
}));

test('composite and enum', () => session(async (c) => {
  await c.query(`set search_path = ${SCHEMA}; create type pair as (n int, t text); create type mood as enum ('sad', 'ok')`);
  return [(await c.query("select $1::pair as p, ($1::pair).n, $2::mood as m, array[$2::mood]::text[] as a", ['(5,"a,b")', 'ok'])).rows, await refused(c.query('select $1::mood', ['grim']))];
}));

test('big result', () => session(async (c) => {
  const { rows } = await c.query({ text: "select n, repeat('r', n % 50), n * 1.5 from generate_series(1, 100000) n", rowMode: 'array' });
  return [rows.length, digest(rows)];
}));

test('named statement many times', () => session(async (c) => {
  let sum = 0;
  for (let n = 0; n < 300; n++) sum += (await c.query({ name: 'twice', text: 'select $1::int * 2 as v', values: [n] })).rows[0].v;
  return [sum, (await c.query("select name, statement from pg_prepared_statements where name = 'twice'")).rows.length];
}));

test('named statement across transactions and errors', () => session(async (c) => {
  const run = (n) => c.query({ name: 'divide', text: 'select 10 / $1::int as v', values: [n] });
  const results = [];
  for (const n of [1, 0, 2]) {
    await c.query('begin');
    results.push(n ? (await run(n)).rows : await refused(run(n)));
    if (!n) results.push(await refused(run(5)));
    results.push((await c.query('commit')).command);
  }
  return results;
}));

test('named statement after DDL', () => session(async (c) => session(async (other) => {
  await table(c, 'changing', 'a int');
  await c.query('insert into changing values (1)');
  const run = () => c.query({ name: 'all', text: 'select * from changing' });
  const results = [(await run()).rows];
  await other.query(`alter table ${SCHEMA}.changing add column b int default 5`);
  results.push(await refused(run()));
  await c.query('deallocate "all"');
  results.push(await refused(run()));
  return results;
})));

test('one statement name in two sessions', () => session(async (a) => session(async (b) => {
  const run = (c, text) => c.query({ name: 'shared', text });
  await run(a, "select 'a' as v");
  await run(b, "select 'b' as v");
  return [(await run(a, "select 'a' as v")).rows, (await run(b, "select 'b' as v")).rows];
})));

test('queries sent without waiting', () => session(async (c) => {
  const results = await Promise.allSettled(Array.from({ length: 50 }, (_, n) => (n === 25 ? c.query('select 1/0') : c.query('select $1::int as n', [n]))));
  return results.map((r) => (r.status === 'fulfilled' ? r.value.rows[0].n : r.reason.code));
}));

test('transactions and savepoints', () => session(async (c) => {
  await table(c, 'rows', 'n int primary key');
  const results = [];
  await c.query('begin isolation level serializable');
  await c.query('insert into rows values (1)');
  await c.query('savepoint s');
  results.push(await refused(c.query('insert into rows values (1)')), await refused(c.query('select 1')));
  await c.query('rollback to savepoint s');
  await c.query('insert into rows values (2)');
  results.push((await c.query('show transaction_isolation')).rows, (await c.query('commit')).command);
  await c.query('begin');
  await c.query('insert into rows values (3)');
  await refused(c.query('select nope'));
  results.push((await c.query('commit')).command);
  return [...results, (await c.query('select n from rows order by n')).rows];
}));

test('errors', () => session(async (c) => {
  const results = {};
  for (const text of ['selec 1', 'select * from no_such_table', 'select nope', 'select 1/0', "select 'x'::int", "select 'open", "select 'ä' || nope", 'select $1', "do $$ begin raise exception 'made up' using errcode = 'ZX123', detail = 'd', hint = 'h', table = 't', column = 'c', constraint = 'k', schema = 's', datatype = 'y'; end $$"]) {
    results[text] = [await refused(c.query(text)), await refused(c.query({ text, values: [], queryMode: 'extended' }))];
  }
  results.after = (await c.query('select 1 as n')).rows;
  return results;
}));

test('constraint violations', () => session(async (c) => {
  await table(c, 'strict', 'id int primary key, name text not null, age int constraint grown check (age > 17), parent int references strict');
  await c.query("insert into strict values (1, 'a', 20, null)");
  const results = [];
  for (const values of [[1, 'b', 30, null], [2, null, 30, null], [3, 'c', 3, null], [4, 'd', 30, 99]]) results.push(await refused(c.query('insert into strict values ($1, $2, $3, $4)', values)));
  return results;
}));

test('cursor', () => session(async (c) => {
  const cursor = c.query(new Cursor('select n from generate_series(1, $1::int) n', [1000]));
  const sizes = [];
  let sum = 0;
  for (let rows = await cursor.read(300); rows.length; rows = await cursor.read(300)) {
    sizes.push(rows.length);
    for (const row of rows) sum += row.n;
  }
  await cursor.close();
  const early = c.query(new Cursor('select n from generate_series(1, 100000) n'));
  const first = await early.read(2);
  await early.close();
  const failing = c.query(new Cursor('select 1 / (5 - n) as v from generate_series(1, 10) n'));
  const good = await failing.read(3);
  const bad = await refused(failing.read(5));
  return [sizes, sum, first, good, bad, (await c.query('select 1 as n')).rows];
}));

test('query stream', () => session(async (c) => {
  let count = 0;
  let sum = 0;
  for await (const row of c.query(new QueryStream('select n from generate_series(1, 20000) n', [], { batchSize: 500 }))) {
    count += 1;
    sum += row.n;
  }
  let early = 0;
  for await (const row of c.query(new QueryStream('select n from generate_series(1, 20000) n', [], { batchSize: 10 }))) {
    early = row.n;
    if (early === 25) break;
  }
  return [count, sum, early, (await c.query('select 1 as n')).rows];
}));

test('copy in and out', () => session(async (c) => {
  await table(c, 'copied', 'n int primary key, t text');
  const lines = Array.from({ length: 20000 }, (_, n) => `${n}\trow ü ${n}\n`);
  const write = c.query(copyFrom('copy copied from stdin'));
  await pipeline(Readable.from(lines), write);
  const results = [write.rowCount];
  for (const form of ['text', 'csv', 'binary']) {
    const chunks = [];
    for await (const chunk of c.query(copyTo(`copy (select * from copied order by n) to stdout (format ${form})`))) chunks.push(chunk);
    const data = Buffer.concat(chunks);
    await c.query('create temp table if not exists back (like copied); truncate back');
    const back = c.query(copyFrom(`copy back from stdin (format ${form})`));
    await pipeline(Readable.from([data]), back);
    results.push([data.length, digest([data]), back.rowCount, (await c.query("select md5(string_agg(b::text, '' order by n)) from back b")).rows]);
  }
  return results;
}));

test('copy that fails', () => session(async (c) => {
  await table(c, 'failing', 'n int primary key');
  const results = [];
  results.push(await refused(pipeline(Readable.from(['1\n', 'x\n', '3\n']), c.query(copyFrom('copy failing from stdin')))));
  results.push(await refused(pipeline(Readable.from(['1\n', '1\n']), c.query(copyFrom('copy failing from stdin')))));
  const gone = c.query(copyFrom('copy failing from stdin'));
  gone.on('error', () => {});
  gone.write('7\n');
  await pause(100);
  const ended = new Promise((resolve) => { gone.once('error', resolve); gone.once('close', resolve); });
  gone.destroy(new Error('the source broke'));
  await ended;
  const out = async () => { for await (const _ of c.query(copyTo('copy (select 1 / (500 - n) from generate_series(1, 1000) n) to stdout'))); };
  results.push(await refused(out()));
  return [...results, (await c.query('select count(*) from failing')).rows];
}));

test('notices', () => session(async (c) => {
  const notices = [];
  c.on('notice', (notice) => notices.push(diagnosis(notice, FIELDS)));
  await c.query("do $$ begin raise notice 'one %', 1 using hint = 'h'; raise warning 'two'; end $$");
  await c.query('drop table if exists no_such_table');
  return notices;
}));

test('listen and notify', () => session(async (a) => session(async (b) => {
  const got = [];
  const done = new Promise((resolve) => a.on('notification', ({ channel, payload }) => { got.push([channel, payload]); if (payload === 'last') resolve(); }));
  await a.query('listen node_news');
  await a.query("notify node_news, 'from myself'");
  for (let n = 0; n < 5; n++) await b.query('select pg_notify($1, $2)', ['node_news', String(n)]);
  await b.query("notify node_news; notify other, 'unheard'; notify node_news, 'last'");
  await done;
  return got;
})));

test('cancel by the protocol', () => session(async (c) => {
  let over = false;
  const running = refused(c.query('select pg_sleep(50)')).finally(() => { over = true; });
  const pid = c.processID;
  const key = c.secretKey;
  for (let tries = 0; tries < 20 && !over; tries++) {
    await pause(300);
    if (over) break;
    await new Promise((resolve, reject) => {
      const other = new pg.Client(options());
      other.connection.once('connect', () => (SUBJECT.tls ? other.connection.requestSsl() : other.connection.cancel(pid, key)));
      other.connection.once('sslconnect', () => other.connection.cancel(pid, key));
      other.connection.once('end', resolve);
      other.connection.on('error', (error) => (error.code === 'ECONNRESET' ? resolve() : reject(error)));
      other.connection.connect(SUBJECT.port, SUBJECT.host);
    });
    await Promise.race([running, pause(2000)]);
  }
  return [await running, (await c.query('select 1 as n')).rows];
}));

test('statement_timeout', () => session(async (c) => [await refused(c.query('select pg_sleep(50)')), (await c.query('select 1 as n')).rows], { statement_timeout: 100 }));

test('session state over transactions', () => session(async (c) => {
  await c.query("set work_mem = '7MB'");
  await c.query('create temp table scratch (n int)');
  await c.query('begin');
  await c.query('insert into scratch values (1)');
  await c.query("set local work_mem = '8MB'");
  const inside = (await c.query('show work_mem')).rows;
  await c.query('commit');
  const results = [inside, (await c.query('show work_mem')).rows, (await c.query('select * from scratch')).rows, (await c.query('select pg_try_advisory_lock(990021)')).rows, (await c.query('select pg_advisory_unlock(990021)')).rows];
  await c.query('discard all');
  return [...results, await refused(c.query('table scratch'))];
}));

test('pool', async () => {
  const pool = new pg.Pool({ ...options(), max: 4 });
  try {
    const rows = await Promise.all(Array.from({ length: 40 }, (_, n) => pool.query('select $1::int as n', [n])));
    const client = await pool.connect();
    await client.query('begin');
    const failed = await refused(client.query('select 1/0'));
    await client.query('rollback');
    client.release();
    return [rows.map((r) => r.rows[0].n), failed, (await pool.query('select 1 as n')).rows];
  } finally {
    await pool.end();
  }
});

test('long identifiers', () => session(async (c) => (await c.query(`select 1 as ${'e'.repeat(63)}, 2 as ${'l'.repeat(80)}, 3 as "${'ü'.repeat(40)}"`)).fields.map((f) => f.name)));

test('a large statement', () => session(async (c) => (await c.query(`select sum(v) from (values ${Array.from({ length: 500 }, (_, n) => `($${n + 1}::int)`).join(', ')}) t(v) -- ${'x'.repeat(200000)}`, Array.from({ length: 500 }, (_, n) => n))).rows));

await main();
