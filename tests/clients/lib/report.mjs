// One JSON line for each case of a suite, and values written so that two runs can be compared. See report.py.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';

// A guard against a case that hangs, never a measure.
const CASE_GUARD_MS = 60_000;
const LONG_VALUE = 4000;

const cases = [];

// Drivers live in the cache folder, not beside the test files.
export const driver = createRequire(join(process.env.POSTERN_CLIENTS_CACHE, 'node', 'package.json'));

export function subject() {
  const url = new URL(process.env.POSTERN_TEST_URL);
  return {
    url: url.href,
    host: url.hostname,
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: url.pathname.slice(1),
    tls: url.searchParams.get('sslmode') !== 'disable',
    schema: process.env.POSTERN_TEST_SCHEMA,
  };
}

// Registers a case; `skip` is a reason, or nothing to run it.
export function test(name, run, skip) {
  cases.push({ name, run, skip });
}

export function digest(items) {
  const hash = createHash('sha256');
  for (const item of items) hash.update(Buffer.isBuffer(item) ? item : JSON.stringify(plain(item))).update('\n');
  return hash.digest('hex');
}

// Turns a value into JSON that keeps its type.
export function plain(value) {
  if (value === undefined) return { undefined: true };
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0) ? value : { number: Object.is(value, -0) ? '-0' : String(value) };
  if (typeof value === 'bigint') return { bigint: String(value) };
  if (typeof value === 'string') return value.length <= LONG_VALUE ? value : { string: value.length, sha256: createHash('sha256').update(value).digest('hex') };
  if (value instanceof Date) return { date: Number.isNaN(value.getTime()) ? 'invalid' : value.toISOString() };
  if (value instanceof Uint8Array) {
    const raw = Buffer.from(value);
    return raw.length <= LONG_VALUE ? { bytes: raw.toString('hex') } : { bytes: raw.length, sha256: createHash('sha256').update(raw).digest('hex') };
  }
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.keys(value).map((key) => [key, plain(value[key])]));
}

// The fields of an error or notice that the server itself chooses, and none that name its source code.
export function diagnosis(error, names) {
  const seen = {};
  for (const name of names) if (error[name] !== undefined) seen[name] = error[name];
  return seen;
}

function guarded(promise) {
  let timer;
  const guard = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${CASE_GUARD_MS} ms`)), CASE_GUARD_MS);
  });
  return Promise.race([promise, guard]).finally(() => clearTimeout(timer));
}

export async function main() {
  const only = process.argv.slice(2);
  for (const { name, run, skip } of cases) {
    if (only.length && !only.includes(name)) continue;
    let line = { case: name, ok: true, skipped: skip };
    if (!skip) {
      try {
        line = { case: name, ok: true, result: plain(await guarded(run())) };
      } catch (error) {
        line = { case: name, ok: false, result: `${error.name}: ${error.message}`, trace: String(error.stack) };
      }
    }
    process.stdout.write(JSON.stringify(line) + '\n');
  }
  // A connection that a failed case left open must not keep the program alive; but what was printed must be out first.
  process.stdout.write('', () => process.exit(0));
}
