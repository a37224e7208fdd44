import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gcs } from '../../connectors/gcs/connector.ts';
import { Secret } from '../../src/contract/secret.ts';
import { withVerification } from '../../src/layers/verify.ts';
import { bytesOf, connectorConformance, expectRefusals, listAll } from '../conformance/connector.ts';
import { runtimeFor } from '../runtime.ts';
import type { Fault } from '../servers/fault.ts';
import { GcsServer } from '../servers/gcs.ts';

const FAULTS = {
  cut: { kind: 'cut', after: 70_000 },
  corrupt: { kind: 'corrupt' },
  short: { kind: 'short' },
  reset: { kind: 'reset' },
  stall: { kind: 'stall' },
  error500: { kind: 'error', status: 500, code: 'backendError' },
  throttled: { kind: 'error', status: 429, code: 'rateLimitExceeded' },
  denied: { kind: 'error', status: 403, code: 'forbidden' },
} as const satisfies Record<string, Fault>;

connectorConformance('gcs', async () => {
  const server = await new GcsServer().listen();
  server.buckets.set('docs', new Map());
  const file = server.createKeyFile('reader');
  const revoked: Record<string, string> = { ...server.createKeyFile('revoked'), endpoint: server.endpoint };
  server.accounts.delete(revoked.client_email as string);
  return {
    connector: gcs,
    runtime: runtimeFor(server.endpoint),
    credential: { ...file, endpoint: server.endpoint },
    rejectedCredential: revoked,
    requiredFields: ['type', 'project_id', 'private_key', 'client_email'],
    secretValues: [file.private_key as string, (file.private_key as string).split('\n')[3] as string],
    badPaths: ['', 'gs:', 'gs://', 's3://bucket', 'gs://UPPER', 'gs://a', `gs://docs/${'x'.repeat(1025)}`],
    path: (prefix) => `gs://docs/${prefix}`,
    put: (key, body) => server.put('docs', key, body),
    remove: (key) => server.delete('docs', key),
    setPageSize: (keys) => {
      server.pageSize = keys;
    },
    faults: {
      fail: (kind, count, on) => {
        let left = count;
        server.fault = (request) => (request.operation === on && left-- > 0 ? FAULTS[kind] : undefined);
      },
      clear: () => {
        server.fault = () => undefined;
      },
    },
    close: () => server[Symbol.asyncDispose](),
  };
});

describe('gcs alone', () => {
  let server: GcsServer;
  let file: Record<string, string>;
  const signal = new AbortController().signal;
  beforeAll(async () => {
    server = await new GcsServer().listen();
    server.buckets.set('docs', new Map());
    file = { ...server.createKeyFile('alone'), endpoint: server.endpoint };
  });
  afterAll(() => server[Symbol.asyncDispose]());
  const open = (path: string, more: Record<string, unknown> = {}, allowed = [server.endpoint]) =>
    gcs.open(new Secret(gcs.parseCredential({ ...file, ...more })), gcs.parseLocation(path), runtimeFor(...allowed));

  test('one token serves many calls, and a new one is fetched when it has expired', async () => {
    server.put('docs', 'token/a', 'x');
    const before = server.tokens.size;
    await using source = open('gs://docs/token');
    for (let i = 0; i < 5; i++) await source.listPage(null, signal);
    expect(server.tokens.size).toBe(before + 1);
    server.tokenSeconds = 1;
    await using short = open('gs://docs/token');
    await short.listPage(null, signal);
    await short.listPage(null, signal);
    expect(server.tokens.size).toBeGreaterThan(before + 2);
    server.tokenSeconds = 3600;
  });

  test('a token that is revoked is a rejected credential; a missing right is not', async () => {
    await using source = open('gs://docs/token');
    await source.listPage(null, signal);
    server.tokens.clear();
    await expect(source.listPage(null, signal)).rejects.toMatchObject({ code: 'credential_rejected' });
    const lister: Record<string, string> = { ...server.createKeyFile('lister'), endpoint: server.endpoint };
    server.permitted.set(lister.client_email as string, ['list']);
    await using denied = open('gs://docs/token', lister);
    const report = await denied.check(signal);
    expect(report).toMatchObject({ reachable: true, readable: false, problem: { code: 'permission_denied' } });
    expect(report.problem?.hint).toContain('storage.objects.get');
  });

  test('a key whose line breaks were lost is repaired', async () => {
    const pem = file.private_key as string;
    for (const private_key of [pem.replaceAll('\n', '\\n'), pem.replaceAll('\n', ' '), pem.replaceAll('\n', '')]) {
      await using source = open('gs://docs/token', { private_key });
      expect((await listAll(source)).length).toBe(1);
    }
    expect(() => open('gs://docs', { private_key: 'canary' })).toThrow(/private_key/);
  });

  test('gzip-encoded objects are stored as they are stored', async () => {
    const body = gzipSync('text that was compressed '.repeat(100));
    server.put('docs', 'gzip/a.txt', body, { contentEncoding: 'gzip', contentType: 'text/plain' });
    await using source = withVerification(open('gs://docs/gzip'));
    const [entry] = await listAll(source);
    if (!entry) throw new Error('nothing listed');
    expect(entry.size).toBe(body.length);
    expect((await bytesOf(source.read(entry, undefined, signal))).equals(body)).toBe(true);
  });

  test('composite objects are verified by their CRC-32C', async () => {
    server.put('docs', 'composite/a', 'parts', { composite: true });
    await using source = withVerification(open('gs://docs/composite'));
    const [entry] = await listAll(source);
    if (!entry) throw new Error('nothing listed');
    expect((await bytesOf(source.read(entry, undefined, signal))).toString()).toBe('parts');
    server.fault = ({ operation }) => (operation === 'read' ? { kind: 'corrupt' } : undefined);
    await expect(bytesOf(source.read(entry, undefined, signal))).rejects.toMatchObject({ code: 'checksum_mismatch' });
    server.fault = () => undefined;
  });

  test('check tells what the account may do beyond its task', async () => {
    server.put('docs', 'rights/a', 'x');
    await using source = open('gs://docs/rights');
    expect((await source.check(signal)).warnings).toEqual([]);
    server.granted.set(file.client_email as string, [
      'storage.objects.get',
      'storage.objects.delete',
      'storage.buckets.setIamPolicy',
    ]);
    expect((await source.check(signal)).warnings.join()).toMatch(
      /may also delete objects, change the bucket's permissions\./,
    );
    server.granted.clear();
    // Where Google does not say, nothing is said.
    server.fault = ({ key }) => (key === 'testPermissions' ? { kind: 'error', status: 403, code: 'x' } : undefined);
    expect(await source.check(signal)).toMatchObject({ readable: true, warnings: [] });
    server.fault = () => undefined;
  });

  test('a bucket whose requesters pay needs the project, and gets it', async () => {
    server.put('paid', 'a', 'x');
    server.requesterPays.add('paid');
    await using without = open('gs://paid');
    expect((await without.check(signal)).problem?.hint).toContain('user_project');
    await using source = open('gs://paid', { user_project: 'paying-project' });
    expect(await source.check(signal)).toMatchObject({ readable: true });
  });

  test("a listing's stale token is replaced by the last name", async () => {
    for (const key of ['a', 'b', 'c', 'd']) server.put('docs', `stale/${key}`, key);
    server.pageSize = 2;
    await using source = open('gs://docs/stale');
    const first = await source.listPage(null, signal);
    if (first.next.kind !== 'more') throw new Error('one page only');
    const position = JSON.stringify({ ...JSON.parse(first.next.pageToken), token: '!' });
    expect((await listAll(source, position)).map(({ path }) => path)).toEqual(['c', 'd']);
    server.pageSize = 1000;
  });

  test('hosts inside the key file are used only when they are Google’s or listed', () => {
    const refused = expect.objectContaining({ code: 'endpoint_refused' });
    const bare = { endpoint: undefined, token_uri: 'https://oauth2.googleapis.com/token' };
    expect(() => open('gs://docs', bare, [])).not.toThrow();
    expect(() => open('gs://docs', { ...bare, token_uri: 'https://tokens.example.com/token' }, [])).toThrow(refused);
    expect(() => open('gs://docs', { ...bare, token_uri: 'http://169.254.169.254/token' }, [])).toThrow(refused);
    expect(() => open('gs://docs', { ...bare, universe_domain: 'evil.example' }, [])).toThrow(refused);
    expect(() => open('gs://docs', { ...bare, endpoint: 'https://storage.example.com' }, [])).toThrow(refused);
    const universe = {
      ...bare,
      universe_domain: 'sovereign.example',
      token_uri: 'https://oauth2.sovereign.example/token',
    };
    const listed = ['https://storage.sovereign.example', 'https://oauth2.sovereign.example'];
    expect(() => open('gs://docs', universe, listed)).not.toThrow();
    for (const type of ['external_account', 'authorized_user']) {
      expect(() => open('gs://docs', { type }), type).toThrow(/type/);
    }
  });

  test('what a refusal says is told apart: throttling, also where the status says forbidden, and keys', async () => {
    server.put('docs', 'refused/a', 'x');
    await using source = open('gs://docs/refused');
    const refuse = (status: number, word: string) => {
      server.fault = () => ({ kind: 'error', status, code: word });
    };
    await expectRefusals(source, refuse, [
      [403, 'rateLimitExceeded', 'throttled', true],
      [403, 'userRateLimitExceeded', 'throttled', true],
      [403, 'forbidden', 'permission_denied', false],
      [400, 'cloudKmsDisabledKey', 'permission_denied', false],
      [400, 'resourceIsEncryptedWithCustomerEncryptionKey', 'permission_denied', false],
      [400, 'invalid', 'invalid_request', false],
      [403, 'constructor', 'permission_denied', false],
      [429, 'toString', 'throttled', true],
      [500, '__proto__', 'unavailable', true],
    ]);
    server.fault = () => undefined;
  });

  test('a redirect to another origin, be it only another port, is not followed and gets no token', async () => {
    server.put('docs', 'redirect/a', 'x');
    await using source = open('gs://docs/redirect');
    const [entry] = await listAll(source);
    await using elsewhere = await new GcsServer().listen();
    let asked = 0;
    elsewhere.fault = () => {
      asked++;
      return undefined;
    };
    for (const status of [301, 302, 303, 307, 308]) {
      const headers = { location: `${elsewhere.endpoint}/storage/v1/b/docs/o` };
      server.fault = () => ({ kind: 'error', status, code: 'moved', headers });
      for (const call of [() => source.listPage(null, signal), () => source.read(entry as never, undefined, signal)]) {
        await expect(call(), String(status)).rejects.toMatchObject({ code: 'invalid_request', retryable: false });
      }
    }
    server.fault = () => undefined;
    expect(asked).toBe(0);
    expect((await listAll(source)).length).toBe(1);
  });

  test('neither the source, its parts nor its errors show the key or a token', async () => {
    server.put('docs', 'leak/a', 'x');
    const source = open('gs://docs/leak');
    const [entry] = await listAll(source);
    if (!entry) throw new Error('nothing listed');
    const values = [(file.private_key as string).split('\n')[2] as string, ...server.tokens.keys()];
    const shown: string[] = [inspect(source, { depth: 20, showHidden: true })];
    for (const status of [200, 301, 307, 400, 401, 403, 404, 412, 500]) {
      const message = values.join(' ');
      server.fault = () => ({
        kind: 'error',
        status,
        code: 'x',
        message,
        headers: { location: `http://127.0.0.1:9/?${encodeURIComponent(message)}` },
      });
      const calls = [
        source.listPage(null, signal),
        bytesOf(source.read(entry, undefined, signal)),
        open('gs://docs').listPage(null, signal),
      ];
      for (const outcome of await Promise.allSettled(calls)) {
        shown.push(inspect(outcome, { depth: 20, showHidden: true }), JSON.stringify(outcome));
      }
    }
    server.fault = () => undefined;
    for (const text of shown) for (const value of values) expect(text.includes(value)).toBe(false);
  });
});
