import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { s3 } from '../../connectors/s3/connector.ts';
import { Secret } from '../../src/contract/secret.ts';
import { withVerification } from '../../src/layers/verify.ts';
import { bytesOf, connectorConformance, expectRefusals, listAll } from '../conformance/connector.ts';
import { runtimeFor } from '../runtime.ts';
import type { Fault } from '../servers/fault.ts';
import { S3Server } from '../servers/s3.ts';
import { StsServer } from '../servers/sts.ts';

const KEY = 'AKIAFAKEFAKEFAKEFAKE';
const SECRET = 'fakeSecret/never+real=';
const FAULTS = {
  cut: { kind: 'cut', after: 70_000 },
  corrupt: { kind: 'corrupt' },
  short: { kind: 'short' },
  reset: { kind: 'reset' },
  stall: { kind: 'stall' },
  error500: { kind: 'error', status: 500, code: 'InternalError' },
  throttled: { kind: 'error', status: 503, code: 'SlowDown' },
  denied: { kind: 'error', status: 403, code: 'AccessDenied' },
} as const satisfies Record<string, Fault>;

connectorConformance('s3', async () => {
  const server = await new S3Server().listen();
  server.keys.set(KEY, { secretAccessKey: SECRET });
  server.buckets.set('docs', new Map());
  return {
    connector: s3,
    runtime: runtimeFor(server.endpoint),
    credential: { access_key_id: KEY, secret_access_key: SECRET, endpoint: server.endpoint },
    rejectedCredential: { access_key_id: KEY, secret_access_key: 'wrong', endpoint: server.endpoint },
    requiredFields: ['access_key_id', 'secret_access_key'],
    secretValues: [KEY, SECRET],
    badPaths: ['', 's3:', 's3://', 'gs://bucket', 's3://a', 'bucket/prefix', `s3://docs/${'x'.repeat(1025)}`],
    path: (prefix) => `s3://docs/${prefix}`,
    outlined: true,
    put: (key, body) => server.put('docs', key, body),
    remove: (key) => server.delete('docs', key),
    setPageSize: (keys) => {
      server.pageSize = keys;
    },
    faults: {
      fail: (kind, count, on) => {
        let left = count;
        const operation = on === 'list' ? 'ListObjectsV2' : 'GetObject';
        server.fault = (request) => (request.operation === operation && left-- > 0 ? FAULTS[kind] : undefined);
      },
      clear: () => {
        server.fault = () => undefined;
      },
    },
    close: () => server[Symbol.asyncDispose](),
  };
});

describe('s3 alone', () => {
  let server: S3Server;
  const signal = new AbortController().signal;
  beforeAll(async () => {
    server = await new S3Server().listen();
    server.keys.set(KEY, { secretAccessKey: SECRET });
    server.buckets.set('docs', new Map());
  });
  afterAll(() => server[Symbol.asyncDispose]());
  const open = (path: string, more: Record<string, unknown> = {}, allowed = [server.endpoint]) => {
    const credential = { access_key_id: KEY, secret_access_key: SECRET, endpoint: server.endpoint, ...more };
    const runtime = runtimeFor(...allowed);
    return s3.open(new Secret(s3.parseCredential(credential)), s3.parseLocation(path), runtime);
  };

  test('finds the region of a bucket by itself', async () => {
    server.put('far', 'a', 'x');
    server.regions.set('far', 'ap-southeast-2');
    await using source = open('s3://far');
    expect((await listAll(source)).length).toBe(1);
    await using pinned = open('s3://far', { region: 'ap-southeast-2' });
    expect((await listAll(pinned)).length).toBe(1);
  });

  test('a session token is sent and signed', async () => {
    server.keys.set('ASIAFAKE', { secretAccessKey: 'fake', sessionToken: 'fakeToken==' });
    const keys = { access_key_id: 'ASIAFAKE', secret_access_key: 'fake' };
    await using source = open('s3://docs', { ...keys, session_token: 'fakeToken==' });
    expect((await source.listPage(null, signal)).next.kind).toBe('end');
    await using without = open('s3://docs', keys);
    await expect(without.listPage(null, signal)).rejects.toMatchObject({ code: 'credential_rejected' });
  });

  test("a listing's stale token is replaced by the last key", async () => {
    for (const key of ['a', 'b', 'c', 'd']) server.put('docs', `stale/${key}`, key);
    server.pageSize = 2;
    await using source = open('s3://docs/stale');
    const first = await source.listPage(null, signal);
    if (first.next.kind !== 'more') throw new Error('one page only');
    const position = JSON.stringify({ ...JSON.parse(first.next.pageToken), token: '!' });
    expect((await listAll(source, position)).map(({ path }) => path)).toEqual(['c', 'd']);
    server.pageSize = 1000;
  });

  test('archived objects are known from the listing, and not read by a check', async () => {
    server.put('cold', 'a', 'x', { storageClass: 'GLACIER' });
    await using source = open('s3://cold');
    const [entry] = await listAll(source);
    expect(entry?.unreadable).toBe('archived');
    if (!entry) return;
    await expect(source.read(entry, undefined, signal)).rejects.toMatchObject({ code: 'archived' });
    expect((await source.check(signal)).readable).toBe(true);
  });

  test('additional checksums are verified, composite ones are not taken for the object', async () => {
    const body = Buffer.from('the body');
    const right = createHash('sha256').update(body).digest('base64');
    const wrong = createHash('sha256').update('another').digest('base64');
    // An ETag of several parts is no MD5.
    const etag = '"0123456789abcdef0123456789abcdef-2"';
    const put = (key: string, headers: Record<string, string>) => server.put('sums', key, body, { etag, headers });
    put('right', { 'x-amz-checksum-sha256': right, 'x-amz-checksum-type': 'FULL_OBJECT' });
    put('wrong', { 'x-amz-checksum-sha256': wrong, 'x-amz-checksum-type': 'FULL_OBJECT' });
    put('composite', { 'x-amz-checksum-sha256': `${wrong}-2`, 'x-amz-checksum-type': 'COMPOSITE' });
    // Of "123456789", the check values that the algorithms are published with.
    const check = Buffer.from('123456789');
    const stated = [
      ['crc32', 'cbf43926'],
      ['crc32c', 'e3069283'],
      ['crc64nvme', 'ae8b14860a799888'],
    ] as const;
    for (const [name, hex] of stated) {
      const good = { [`x-amz-checksum-${name}`]: Buffer.from(hex, 'hex').toString('base64') };
      server.put('sums', `${name}-right`, check, { etag, headers: good });
      server.put('sums', `${name}-wrong`, Buffer.from('12345678x'), { etag, headers: good });
    }
    await using source = withVerification(open('s3://sums'));
    for (const entry of await listAll(source)) {
      const read = bytesOf(source.read(entry, undefined, signal));
      if (entry.key.includes('wrong'))
        await expect(read, entry.key).rejects.toMatchObject({ code: 'checksum_mismatch' });
      else expect((await read).length, entry.key).toBe(entry.size);
    }
  });

  test("an ETag that is no MD5 because of the object's encryption is not taken for one", async () => {
    const headers = { 'x-amz-server-side-encryption': 'aws:kms' };
    server.put('docs', 'kms/a', 'x', { etag: '"0123456789abcdef0123456789abcdef"', headers });
    await using source = withVerification(open('s3://docs/kms'));
    const [entry] = await listAll(source);
    if (!entry) throw new Error('nothing listed');
    expect((await bytesOf(source.read(entry, undefined, signal))).toString()).toBe('x');
  });

  test('a role is assumed with the keys and its external ID, once for as long as its keys last', async () => {
    await using sts = await new StsServer(server).listen();
    const role_arn = 'arn:aws:iam::123456789012:role/lockgate-reader';
    sts.keys.set(KEY, { secretAccessKey: SECRET });
    sts.roles.set(role_arn, { trusts: [KEY], externalId: 'ours-alone' });
    server.put('docs', 'role/a', 'x');
    // The keys themselves may do nothing in S3.
    server.denied.set(KEY, ['ListObjectsV2', 'GetObject']);
    const role = { role_arn, external_id: 'ours-alone', sts_endpoint: sts.endpoint };
    const allowed = [server.endpoint, sts.endpoint];
    await using source = open('s3://docs/role', role, allowed);
    expect(await source.check(signal)).toMatchObject({ readable: true });
    await listAll(source);
    expect(sts.assumed).toBe(1);
    for (const wrong of [
      { external_id: 'theirs' },
      { external_id: undefined },
      { role_arn: `${role_arn}-other` },
      { secret_access_key: 'wrong' },
    ]) {
      await using refused = open('s3://docs/role', { ...role, ...wrong }, allowed);
      const report = await refused.check(signal);
      expect(report, JSON.stringify(wrong)).toMatchObject({
        readable: false,
        problem: { code: 'credential_rejected' },
      });
      expect(report.problem?.hint).toContain('trust policy');
    }
    // Keys that are about to expire are asked for anew.
    sts.sessionSeconds = 30;
    await using short = open('s3://docs/role', role, allowed);
    await short.listPage(null, signal);
    await short.listPage(null, signal);
    expect(sts.assumed).toBeGreaterThan(2);
    expect(() => open('s3://docs/role', role)).toThrow(expect.objectContaining({ code: 'endpoint_refused' }));
    server.denied.delete(KEY);
  });

  test('a bucket whose requesters pay is read only by those who say that they do', async () => {
    server.put('paid', 'a', 'x');
    server.requesterPays.add('paid');
    await using without = open('s3://paid');
    expect((await without.check(signal)).problem?.hint).toContain('requester_pays');
    await using source = open('s3://paid', { requester_pays: true });
    expect(await source.check(signal)).toMatchObject({ readable: true });
  });

  test("objects under a customer's key are read with it, and their ETag is not taken for an MD5", async () => {
    const key = Buffer.alloc(32, 7);
    const customerKeyMd5 = createHash('md5').update(key).digest('base64');
    const headers = { 'x-amz-server-side-encryption-customer-algorithm': 'AES256' };
    server.put('locked', 'a', 'x', { customerKeyMd5, headers, etag: '"0123456789abcdef0123456789abcdef"' });
    await using source = withVerification(open('s3://locked', { sse_customer_key: key.toString('base64') }));
    const [entry] = await listAll(source);
    if (!entry) throw new Error('nothing listed');
    expect((await bytesOf(source.read(entry, undefined, signal))).toString()).toBe('x');
    await using without = open('s3://locked');
    await expect(without.read(entry, undefined, signal)).rejects.toMatchObject({ code: 'invalid_request' });
    for (const bad of ['short', key.toString('hex')])
      expect(() => open('s3://locked', { sse_customer_key: bad })).toThrow(/sse_customer_key/);
  });

  test('what a refusal says is told apart, and words that nobody knows are none of ours', async () => {
    server.put('docs', 'refused/a', 'x');
    await using source = open('s3://docs/refused');
    const refuse = (status: number, word: string) => {
      server.fault = () => ({ kind: 'error', status, code: word });
    };
    await expectRefusals(source, refuse, [
      [503, 'SlowDown', 'throttled', true],
      [400, 'KMS.ThrottlingException', 'throttled', true],
      [400, 'KMS.DisabledException', 'permission_denied', false],
      [400, 'KMS.KMSInvalidStateException', 'permission_denied', false],
      [400, 'constructor', 'invalid_request', false],
      [403, 'toString', 'permission_denied', false],
      [500, '__proto__', 'unavailable', true],
    ]);
    server.fault = () => undefined;
  });

  test('a redirect is not followed', async () => {
    server.put('docs', 'redirect/a', 'x');
    await using source = open('s3://docs/redirect');
    const [entry] = await listAll(source);
    await using elsewhere = await new S3Server().listen();
    for (const status of [301, 302, 303, 307, 308]) {
      server.fault = () => ({
        kind: 'error',
        status,
        code: 'Moved',
        headers: { location: `${elsewhere.endpoint}/docs` },
      });
      await expect(source.listPage(null, signal)).rejects.toMatchObject({ name: 'ConnectorError' });
      await expect(source.read(entry as never, undefined, signal)).rejects.toMatchObject({ name: 'ConnectorError' });
    }
    server.fault = () => undefined;
    expect(elsewhere.counts.size).toBe(0);
  });

  test('an endpoint is contacted only when the deployment allows it', () => {
    expect(() => open('s3://docs', {}, [])).toThrow(expect.objectContaining({ code: 'endpoint_refused' }));
    for (const endpoint of [
      'https://10.0.0.1',
      'https://169.254.169.254',
      'https://[::1]:9000',
      'http://example.com',
      'https://localhost',
    ]) {
      expect(() => open('s3://docs', { endpoint }, []), endpoint).toThrow(
        expect.objectContaining({ code: 'endpoint_refused' }),
      );
    }
    expect(() => open('s3://docs', { endpoint: 'https://minio.example.com' }, [])).not.toThrow();
    expect(() => open('s3://docs', { endpoint: 'https://user:pass@minio.example.com' })).toThrow(/endpoint/);
  });

  test('a name that leads to an internal address is refused when it connects', async () => {
    const source = open('s3://docs', { endpoint: 'https://localhost.localdomain:9' }, []);
    const failure = await source.listPage(null, signal).catch((error) => error);
    expect(['endpoint_refused', 'unavailable']).toContain(failure.code);
    await source[Symbol.asyncDispose]();
  });

  test('a wrong bucket, a missing right and a wrong clock are told apart by a check', async () => {
    await using missing = open('s3://no-such-bucket');
    expect(await missing.check(signal)).toMatchObject({
      reachable: true,
      readable: false,
      problem: { code: 'not_found' },
    });
    server.keys.set('AKIALISTONLY', { secretAccessKey: 'fake' });
    server.denied.set('AKIALISTONLY', ['GetObject']);
    await using denied = open('s3://docs', { access_key_id: 'AKIALISTONLY', secret_access_key: 'fake' });
    const report = await denied.check(signal);
    expect(report).toMatchObject({ reachable: true, readable: false, problem: { code: 'permission_denied' } });
    expect(report.problem?.hint).toContain('s3:GetObject');
    server.now = () => Date.now() + 3_600_000;
    await using skewed = open('s3://docs');
    expect((await skewed.check(signal)).problem?.hint).toContain('clock');
    server.now = Date.now;
    await using nobody = open('s3://docs', { endpoint: 'http://127.0.0.1:9' }, ['http://127.0.0.1:9']);
    expect(await nobody.check(signal)).toMatchObject({ reachable: false, readable: false });
  });
});
