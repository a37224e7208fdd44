import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { type Endpoint, pathFields } from '../../src/contract/api/endpoint.ts';
import { API } from '../../src/contract/api/index.ts';
import { findIn } from '../canary.ts';
import { Service } from '../service.ts';

const RUNS = Number(process.env.LOCKGATE_FUZZ_RUNS ?? 12);
const HANG_MS = 10_000;
const CANARY = 'AKIAFAKECANARY1234+/=fake';

let service: Service;
beforeAll(async () => {
  service = await Service.start();
  service.deployment.environment.LOCKGATE_REQUESTS_PER_MINUTE = '1000000';
  await service.down();
  await service.up();
});
afterAll(async () => service[Symbol.asyncDispose](), 60_000);

type Json = Record<string, unknown>;

/** Values that fit a JSON Schema, as far as its shape says, with things in them that are hard to bear. */
function fitting(schema: Json): fc.Arbitrary<unknown> {
  const {
    type,
    properties,
    items,
    anyOf,
    oneOf,
    const: only,
    enum: values,
  } = schema as {
    type?: string;
    properties?: Record<string, Json>;
    items?: Json;
    anyOf?: Json[];
    oneOf?: Json[];
    const?: unknown;
    enum?: unknown[];
  };
  if (only !== undefined) return fc.constant(only);
  if (values) return fc.constantFrom(...values);
  if (anyOf ?? oneOf) return fc.oneof(...((anyOf ?? oneOf) as Json[]).map(fitting));
  if (type === 'string') return hard();
  if (type === 'integer' || type === 'number')
    return fc.oneof(fc.integer(), fc.constantFrom(0, -1, 1e308, 2 ** 53, 0.5), fc.double());
  if (type === 'boolean') return fc.boolean();
  if (type === 'null') return fc.constant(null);
  if (type === 'array') return fc.array(fitting(items ?? {}), { maxLength: 3 });
  if (properties) {
    return fc.record(Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, fitting(each)])), {
      requiredKeys: [],
    });
  }
  return fc.oneof(fc.dictionary(fc.string({ maxLength: 20 }), hard(), { maxKeys: 3 }), fc.jsonValue());
}

function hard(): fc.Arbitrary<string> {
  return fc.oneof(
    fc.string({ maxLength: 60, unit: 'binary' }),
    fc.constantFrom(
      '',
      '\0',
      '\ud800',
      '../../etc/passwd',
      "'; drop table lockgate.run; --",
      '$' + '{jndi:x}',
      '__proto__',
      'constructor',
      's3://docs',
      'x'.repeat(5000),
      '01890000-0000-7000-8000-000000000000',
      '2026-01-01T00:00:00Z',
      '* * * * *',
      '**/*.pdf',
      'vault.secret(default:x.y)',
      CANARY,
    ),
  );
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

test(`every route answers ${RUNS} shapes and ${RUNS} kinds of rubbish with words of its own, quickly, and repeats no credential`, async () => {
  const known = await service.client().call('collections.create', { name: 'known' });
  const slow: string[] = [];
  for (const [name, endpoint] of Object.entries(API) as [string, Endpoint][]) {
    const schema = z.toJSONSchema(endpoint.input, { io: 'input', unrepresentable: 'any' }) as Json;
    const inPath = pathFields(endpoint.path);
    const input = fc.oneof(
      fitting(schema),
      fc.jsonValue() as fc.Arbitrary<unknown>,
      fc.constant({ secret_access_key: CANARY, [CANARY]: CANARY, credential: CANARY, id: CANARY }),
    );
    const pathValue = fc.oneof(hard(), fc.constantFrom(known.id, 'known'));
    await fc.assert(
      fc.asyncProperty(input, pathValue, async (given, id) => {
        const fields = typeof given === 'object' && given !== null ? (given as Json) : {};
        const path = endpoint.path.replace(/\{\w+\}/, () => encodeURIComponent(id.toWellFormed()) || 'x');
        const rest = Object.entries(fields).filter(([key]) => !inPath.includes(key));
        const reads = endpoint.method === 'GET' || endpoint.method === 'DELETE';
        // A wait that is asked for is no hang.
        const query = new URLSearchParams(
          rest
            .filter(([key]) => key !== 'wait')
            .map(([key, value]): [string, string] => [key.toWellFormed(), textOf(value).toWellFormed()]),
        );
        const started = Date.now();
        const answer = await service.request(
          endpoint.method,
          reads ? `${path}?${query}`.slice(0, 12_000) : path,
          reads ? {} : { body: given },
        );
        const what = `${name} ${path.slice(0, 300)} ${JSON.stringify(given)?.slice(0, 500)}: ${answer.status} ${answer.text.slice(0, 300)}`;
        if (Date.now() - started > HANG_MS) slow.push(what);
        expect(answer.status, what).not.toBe(500);
        expect(answer.status, what).toBeLessThan(505);
        if (answer.status >= 400) {
          expect(answer.json, what).toMatchObject({ error: { code: expect.any(String), message: expect.any(String) } });
          if (id !== CANARY) expect(findIn(Buffer.from(answer.text), [CANARY]), what).toEqual([]);
        }
      }),
      { numRuns: RUNS * 2 },
    );
  }
  expect(slow).toEqual([]);
}, 600_000);

test('what is no request at all is refused as well', async () => {
  for (const [headers, body, status] of [
    [{ 'content-type': 'application/json' }, '{', 400],
    [{ 'content-type': 'application/json' }, '[1]', 400],
    [{ 'content-type': 'application/json' }, '"x"', 400],
    [{ 'content-type': 'application/json' }, '7', 400],
    [{ 'content-type': 'text/plain' }, 'x', 400],
    [{ 'content-type': 'application/xml' }, '<x/>', 400],
    [{ 'content-type': 'application/json' }, JSON.stringify({ name: 'x'.repeat(2_000_000) }), 400],
    [{ 'content-type': 'application/json', authorization: 'Basic eDp4' }, '{}', 401],
    [{ 'content-type': 'application/json', 'lockgate-workspace': '../other' }, '{}', 403],
  ] as const) {
    const answer = await service.request('POST', '/v1/collections', { headers, body });
    expect(answer.status, `${JSON.stringify(headers)} ${body.slice(0, 20)} ${answer.text}`).toBe(status);
    expect(answer.json).toMatchObject({ error: { code: expect.any(String) } });
  }
  for (const method of ['PUT', 'TRACE', 'OPTIONS', 'PROPFIND']) {
    const answer = await service.request(method, '/v1/collections').catch(() => null);
    if (answer) expect([400, 404, 405], method).toContain(answer.status);
  }
  const cors = await service.request('GET', '/v1/collections', { headers: { origin: 'https://evil.example' } });
  expect(cors.headers.get('access-control-allow-origin')).toBe(null);
});
