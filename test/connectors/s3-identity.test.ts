import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { s3 } from '../../connectors/s3/connector.ts';
import type { Runtime } from '../../src/contract/connector.ts';
import { Secret } from '../../src/contract/secret.ts';
import { everything, findIn } from '../canary.ts';
import { bytesOf, listAll } from '../conformance/connector.ts';
import { runtimeFor } from '../runtime.ts';
import { IamServer, type Principal } from '../servers/iam.ts';
import { S3Server } from '../servers/s3.ts';
import { StsServer } from '../servers/sts.ts';
import { whileTimeFlies } from '../time.ts';

const KEY = 'AKIAFAKEAMBIENT';
const SECRET = 'fakeAmbientSecret/never+real=';
const ROLE = 'arn:aws:iam::123456789012:role/reader';
const signal = new AbortController().signal;

describe('s3 by other means than keys', () => {
  let server: S3Server;
  let sts: StsServer;
  let folder: string;
  beforeAll(async () => {
    server = await new S3Server().listen();
    server.keys.set(KEY, { secretAccessKey: SECRET });
    server.put('docs', 'a', 'text');
    sts = await new StsServer(server).listen();
    sts.keys.set(KEY, { secretAccessKey: SECRET });
    folder = await mkdtemp(join(tmpdir(), 'lockgate-aws-'));
    // The machine that runs the tests may have an identity of its own.
    for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) vi.stubEnv(name, undefined);
    vi.stubEnv('AWS_CONFIG_FILE', join(folder, 'none'));
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', join(folder, 'none'));
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  });
  afterEach(() => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_WEB_IDENTITY_TOKEN_FILE', 'AWS_ROLE_ARN'])
      vi.stubEnv(name, undefined);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await sts[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const open = (fields: Record<string, unknown>, more: Partial<Runtime> = { ambient: true }, path = 's3://docs') =>
    s3.open(new Secret(s3.parseCredential({ endpoint: server.endpoint, ...fields })), s3.parseLocation(path), {
      ...runtimeFor(server.endpoint, sts.endpoint),
      ...more,
    });

  test('the machine’s own identity is used only where the deployment lends it out, and goes nowhere else', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', KEY);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', SECRET);
    for (const auth of ['ambient', 'web_identity']) {
      expect(() => open({ auth }, {})).toThrow(
        expect.objectContaining({
          code: 'ambient_refused',
          hint: expect.stringContaining('LOCKGATE_AMBIENT_CREDENTIALS'),
        }),
      );
    }
    expect(() => open({ auth: 'ambient', endpoint: 'https://elsewhere.example.com' })).toThrow(
      expect.objectContaining({ code: 'endpoint_refused' }),
    );
    await using source = open({ auth: 'ambient' });
    expect((await bytesOf(source.read((await listAll(source))[0] as never, undefined, signal))).toString()).toBe(
      'text',
    );
    expect(inspect(source, { depth: 20, showHidden: true })).not.toContain(SECRET);
  });

  test('a machine without identity says so', async () => {
    await using source = open({ auth: 'ambient' });
    expect(await source.check(signal)).toMatchObject({
      problem: { code: 'credential_rejected', hint: expect.stringContaining('instance profile') },
    });
    await using web = open({ auth: 'web_identity' });
    expect(await web.check(signal)).toMatchObject({ problem: { code: 'credential_rejected' } });
  });

  test('a role is assumed on top of the machine’s identity', async () => {
    sts.roles.set(ROLE, { trusts: [KEY], externalId: 'ours' });
    vi.stubEnv('AWS_ACCESS_KEY_ID', KEY);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', SECRET);
    const fields = { auth: 'ambient', role_arn: ROLE, external_id: 'ours', sts_endpoint: sts.endpoint };
    await using source = open(fields);
    expect((await listAll(source)).length).toBe(1);
    await using wrong = open({ ...fields, external_id: 'theirs' });
    expect((await wrong.check(signal)).problem).toMatchObject({ code: 'credential_rejected' });
  });

  test('a web identity is exchanged for keys, and a token that is not trusted is rejected', async () => {
    const token = 'fake.web.identity';
    await writeFile(join(folder, 'token'), token);
    vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', join(folder, 'token'));
    vi.stubEnv('AWS_ROLE_ARN', ROLE);
    sts.roles.set(ROLE, { trusts: [token] });
    await using source = open({ auth: 'web_identity', sts_endpoint: sts.endpoint });
    expect((await listAll(source)).length).toBe(1);
    sts.roles.set(ROLE, { trusts: [] });
    await using refused = open({ auth: 'web_identity', sts_endpoint: sts.endpoint });
    expect((await refused.check(signal)).problem).toMatchObject({ code: 'credential_rejected' });
  });

  test('an identity service that does not answer is away after a while, and asked anew by the next call', async () => {
    sts.roles.set(ROLE, { trusts: [KEY] });
    const fields = { access_key_id: KEY, secret_access_key: SECRET, role_arn: ROLE, sts_endpoint: sts.endpoint };
    await using source = open(fields, {});
    sts.fault = () => ({ kind: 'stall' });
    await whileTimeFlies(() =>
      expect(source.listPage(null, signal)).rejects.toMatchObject({ code: 'unavailable', retryable: true }),
    );
    sts.fault = () => undefined;
    expect((await listAll(source)).length).toBe(1);
  });

  test('an identity service that throttles or is away is waited for', async () => {
    const token = 'fake.web.identity';
    await writeFile(join(folder, 'token'), token);
    vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', join(folder, 'token'));
    vi.stubEnv('AWS_ROLE_ARN', ROLE);
    sts.roles.set(ROLE, { trusts: [KEY, token] });
    const role = { access_key_id: KEY, secret_access_key: SECRET, role_arn: ROLE, sts_endpoint: sts.endpoint };
    for (const fields of [role, { auth: 'web_identity', sts_endpoint: sts.endpoint }]) {
      await using source = open(fields);
      for (const [status, code, expected] of [
        [400, 'Throttling', 'throttled'],
        [400, 'RequestLimitExceeded', 'throttled'],
        [400, 'IDPCommunicationError', 'unavailable'],
        [429, 'TooManyRequests', 'unavailable'],
        [503, 'ServiceUnavailable', 'unavailable'],
      ] as const) {
        sts.fault = () => ({ kind: 'error', status, code });
        await expect(source.listPage(null, signal), code).rejects.toMatchObject({ code: expected, retryable: true });
      }
      sts.fault = () => undefined;
      expect((await listAll(source)).length).toBe(1);
    }
  });

  test('whatever the role gives out is not shown, also when it is sent back', async () => {
    sts.roles.set(ROLE, { trusts: [KEY] });
    const fields = { access_key_id: KEY, secret_access_key: SECRET, role_arn: ROLE, sts_endpoint: sts.endpoint };
    await using source = open(fields, {});
    const [entry] = await listAll(source);
    const given = [...server.keys.values()].flatMap(({ secretAccessKey, sessionToken }) => [
      secretAccessKey,
      sessionToken ?? SECRET,
    ]);
    const shown = [everything(source)];
    for (const status of [200, 301, 400, 403, 404, 500, 503]) {
      server.fault = () => ({ kind: 'error', status, code: given.join(' '), message: given.join(' ') });
      const calls = [
        source.listPage(null, signal),
        source.read(entry as never, undefined, signal),
        source.check(signal),
      ];
      for (const outcome of await Promise.allSettled(calls))
        if (outcome.status === 'rejected') shown.push(everything(outcome.reason));
    }
    server.fault = () => undefined;
    expect(shown.length).toBeGreaterThan(10);
    expect(findIn(Buffer.from(shown.join('\n')), given)).toEqual([]);
    expect(findIn(Buffer.from(everything({ hidden: given[0] })), given)).not.toEqual([]);
  });

  test('a public bucket is read without a signature', async () => {
    server.put('public', 'a', 'for all');
    server.open.add('public');
    await using source = open({ auth: 'anonymous' }, {}, 's3://public');
    expect((await bytesOf(source.read((await listAll(source))[0] as never, undefined, signal))).toString()).toBe(
      'for all',
    );
    await using closed = open({ auth: 'anonymous' }, {});
    expect((await closed.check(signal)).readable).toBe(false);
  });

  test('an access point stands in the place of a bucket', async () => {
    server.put('reader-123456789012', 'folder/a', 'through the access point');
    const keys = {
      access_key_id: KEY,
      secret_access_key: SECRET,
      region: 'us-east-1',
      endpoint: server.endpoint.replace('127.0.0.1', 'localhost'),
    };
    const toLoopback: Runtime['egress'] = {
      assertEndpoint: () => undefined,
      lookupFor: () => (_, options, callback) =>
        options.all ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4),
    };
    const path = 's3://arn:aws:s3:us-east-1:123456789012:accesspoint/reader/folder';
    await using source = open({ ...keys, force_path_style: false }, { egress: toLoopback }, path);
    const [entry] = await listAll(source);
    expect(entry?.path).toBe('a');
    expect((await bytesOf(source.read(entry as never, undefined, signal))).toString()).toBe('through the access point');
    for (const bad of [
      's3://arn:aws:s3:us-east-1:1:accesspoint/reader',
      's3://arn:aws:iam::123456789012:role/reader',
    ]) {
      expect(() => s3.parseLocation(bad), bad).toThrow();
    }
  });

  test('acceleration and IPv6 change the host that is asked', async () => {
    const hosts: unknown[] = [];
    const { connect } = tls;
    Object.assign(tls, {
      connect: ({ host }: tls.ConnectionOptions) => {
        hosts.push(host);
        throw new Error('not sent');
      },
    });
    syncBuiltinESMExports();
    try {
      for (const more of [
        {},
        { use_accelerate: true },
        { use_dualstack: true },
        { use_accelerate: true, use_dualstack: true },
      ]) {
        await using source = open(
          { access_key_id: KEY, secret_access_key: SECRET, region: 'eu-west-1', endpoint: undefined, ...more },
          {},
        );
        await source.listPage(null, new AbortController().signal).catch(() => undefined);
      }
    } finally {
      Object.assign(tls, { connect });
      syncBuiltinESMExports();
    }
    expect(hosts).toEqual([
      'docs.s3.eu-west-1.amazonaws.com',
      'docs.s3-accelerate.amazonaws.com',
      'docs.s3.dualstack.eu-west-1.amazonaws.com',
      'docs.s3-accelerate.dualstack.amazonaws.com',
    ]);
    expect(() =>
      s3.parseCredential({
        access_key_id: KEY,
        secret_access_key: SECRET,
        endpoint: 'https://x.example',
        use_accelerate: true,
      }),
    ).toThrow(/use_accelerate/);
  });

  test('a check says what a key may do beyond its task, where the key may ask, and nothing where it may not', async () => {
    await using iam = await new IamServer().listen();
    const fields = {
      access_key_id: KEY,
      secret_access_key: SECRET,
      sts_endpoint: iam.endpoint,
      iam_endpoint: iam.endpoint,
    };
    iam.keys.set(KEY, { secretAccessKey: SECRET });
    const user = { arn: 'arn:aws:iam::123456789012:user/reader', allowed: ['s3:GetObject'], mayAsk: true };
    const warningsOf = async (principal: Principal, more: Record<string, unknown> = {}) => {
      iam.principals.set(KEY, principal);
      const runtime = runtimeFor(server.endpoint, iam.endpoint);
      await using source = open({ ...fields, ...more }, runtime);
      const report = await source.check(signal);
      expect(report).toMatchObject({ reachable: true, readable: true });
      return report.warnings;
    };
    expect(await warningsOf(user)).toEqual([]);
    expect(iam.asked).toContain('arn:aws:iam::123456789012:user/reader s3:PutObject arn:aws:s3:::docs/*');
    const writer = { ...user, allowed: ['s3:GetObject', 's3:DeleteObject', 's3:PutBucketPolicy'] };
    expect(await warningsOf(writer)).toEqual([
      "The credential may also delete objects, change the bucket's policy. A sync needs s3:ListBucket and s3:GetObject only.",
    ]);
    expect(await warningsOf({ ...writer, mayAsk: false })).toEqual([]);
    expect((await warningsOf({ ...user, arn: 'arn:aws:iam::123456789012:root' }))[0]).toContain('the whole account');
    iam.asked.length = 0;
    await warningsOf({ ...writer, arn: 'arn:aws:sts::123456789012:assumed-role/reader/session' });
    expect(iam.asked[0]).toMatch(/^arn:aws:iam::123456789012:role\/reader /);
    // Of another service than Amazon's nobody is asked: the key does not go to strangers.
    iam.asked.length = 0;
    expect(await warningsOf(writer, { sts_endpoint: undefined })).toEqual([]);
    expect(iam.asked).toEqual([]);
  });
});
