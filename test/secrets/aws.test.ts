import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import { withPatience } from '../../src/layers/patient.ts';
import { openDirectory } from '../../src/secrets/open-directory.ts';
import { openReader } from '../../src/secrets/open-reader.ts';
import { everything, findIn, findInFiles } from '../canary.ts';
import { secretManagerConformance } from '../conformance/secret-manager.ts';
import { Deployment } from '../deployment.ts';
import { managerOf, purpose, quickClock, ref } from '../manager.ts';
import { AwsSecretsManagerServer } from '../servers/aws-secrets-manager.ts';
import { StsServer } from '../servers/sts.ts';

const KEY = 'AKIAFAKEMANAGER';
const SECRET = `fakeManagerSecret/${Math.random().toString(36).slice(2)}+=`;

async function start() {
  const server = await new AwsSecretsManagerServer().listen();
  server.keys.set(KEY, { secretAccessKey: SECRET });
  const environment: Record<string, string> = {
    LOCKGATE_SECRET_MANAGER: 'aws',
    LOCKGATE_AWS_REGION: 'us-east-1',
    LOCKGATE_AWS_ENDPOINT: server.endpoint,
  };
  const settings = (more: Record<string, string> = {}) => managerOf({ ...environment, ...more });
  return { server, environment, settings };
}

beforeAll(() => {
  // The machine that runs the tests may have an identity of its own.
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) vi.stubEnv(name, undefined);
});
beforeEach(() => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', KEY);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', SECRET);
});
afterAll(() => {
  vi.unstubAllEnvs();
});

secretManagerConformance('aws', async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', KEY);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', SECRET);
  const { server, settings } = await start();
  const directory = openDirectory(settings(), 'default', Date.now);
  return {
    directory,
    reader: openReader(settings()),
    capabilities: { writes: true, versions: true },
    seed: async (id, type, credential) => void (await directory.put(id, type, new Secret(credential))),
    seedForeign: async (fields) => {
      const versions = [{ id: 'v-1', value: JSON.stringify(fields), createdAt: 1 }];
      server.secrets.set('team/app', { name: 'team/app', tags: [], kmsKeyId: undefined, versions, deletedAt: null });
      return 'team/app';
    },
    silent: (silent) => {
      server.fault = () => (silent ? { kind: 'stall' } : undefined);
    },
    valuesRead: () => server.counts.get('GetSecretValue') ?? 0,
    otherWorkspace: () => ({ directory: openDirectory(settings(), 'other', Date.now), workspace: 'other' }),
    close: () => server[Symbol.asyncDispose](),
  };
});

describe('aws alone', () => {
  let at: Awaited<ReturnType<typeof start>>;
  beforeAll(async () => {
    at = await start();
  });
  afterEach(() => {
    at.server.fault = () => undefined;
    at.server.permitted.clear();
  });
  afterAll(() => at.server[Symbol.asyncDispose]());
  const directory = (more?: Record<string, string>) => openDirectory(at.settings(more), 'default', Date.now);
  const access = (id: string, version?: string) =>
    withPatience(openReader(at.settings()), quickClock).access(ref(id, version), purpose);
  const stored = (id: string) =>
    [...at.server.secrets.values()].find(({ tags }) => tags.some(({ Value }) => Value === id));

  test('600 secrets are listed by pages, without a value, and what only has a similar name is not', async () => {
    const many = directory({ LOCKGATE_SECRET_PREFIX: 'many' });
    for (let i = 0; i < 600; i++) await many.put(`m-${i}`, i % 2 ? 's3' : 'gcs', new Secret({ i }));
    at.server.secrets.set('many/default/foreign', {
      name: 'many/default/foreign',
      tags: [],
      kmsKeyId: undefined,
      versions: [],
      deletedAt: null,
    });
    at.server.counts.clear();
    expect((await Array.fromAsync(many.list({ connectorType: 's3' }))).length).toBe(300);
    expect(Object.fromEntries(at.server.counts)).toEqual({ ListSecrets: 7 });
  });

  test('new secrets get the deployment’s tags and key, and names that AWS takes', async () => {
    const tagged = directory({ LOCKGATE_AWS_TAGS: 'team=data, stage=production', LOCKGATE_AWS_KMS_KEY: 'alias/ours' });
    await tagged.put('tagged.id_1', 's3', new Secret({}));
    const secret = stored('tagged.id_1');
    expect(secret?.name).toMatch(/^lockgate\/default\/tagged\.id_1-[0-9a-f]{12}$/);
    expect(secret?.kmsKeyId).toBe('alias/ours');
    expect(Object.fromEntries(secret?.tags.map(({ Key, Value }) => [Key, Value]) ?? [])).toEqual({
      team: 'data',
      stage: 'production',
      'lockgate:id': 'tagged.id_1',
      'lockgate:type': 's3',
      'lockgate:workspace': 'default',
    });
  });

  test('what is scheduled for deletion is not there, says so to who reads it, and is restored when it is stored again', async () => {
    await directory().put('back', 's3', new Secret({ n: 1 }));
    await directory().remove('back');
    expect((await Array.fromAsync(directory().list())).map(({ id }) => id)).not.toContain('back');
    await expect(directory().describe('back')).rejects.toMatchObject({ code: 'credential_not_found' });
    await expect(access('back')).rejects.toMatchObject({
      code: 'credential_deleted',
      hint: expect.stringContaining('restores'),
    });
    await directory().put('back', 's3', new Secret({ n: 2 }));
    expect((await access('back')).value.reveal()).toEqual({ n: 2 });
  });

  test('refusals, absences and another hand’s secrets are told apart', async () => {
    await directory().put('guarded', 's3', new Secret({ n: 1 }));
    at.server.permitted.set(KEY, ['ListSecrets', 'DescribeSecret', 'ListSecretVersionIds']);
    expect((await directory().describe('guarded')).versions?.length).toBe(1);
    await expect(access('guarded')).rejects.toMatchObject({ code: 'secret_access_denied' });
    await expect(directory().put('guarded', 's3', new Secret({}))).rejects.toMatchObject({
      code: 'secret_access_denied',
    });
    at.server.permitted.set(KEY, ['DescribeSecret', 'GetSecretValue']);
    await expect(Array.fromAsync(directory().list())).rejects.toMatchObject({ code: 'secret_access_denied' });
    at.server.permitted.clear();
    await expect(directory().put('guarded', 'gcs', new Secret({}))).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
    const id = stored('guarded')?.tags.find(({ Key }) => Key === 'lockgate:id');
    Object.assign(id ?? {}, { Value: 'somebody-elses' });
    await expect(access('guarded')).rejects.toMatchObject({ code: 'credential_not_found' });
    await expect(directory().put('guarded', 's3', new Secret({ n: 2 }))).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'wrong');
    await expect(access('guarded')).rejects.toMatchObject({ code: 'secret_access_denied' });
    await expect(directory().put('big', 's3', new Secret('x'.repeat(70_000)))).rejects.toMatchObject({
      code: 'credential_too_large',
    });
  });

  test('a manager that is away or throttles for a moment is asked again', async () => {
    await directory().put('patient', 's3', new Secret({ n: 1 }));
    for (const [status, code] of [
      [400, 'ThrottlingException'],
      [500, 'InternalServiceError'],
    ] as const) {
      let left = 8;
      at.server.fault = () => (left-- > 0 ? { kind: 'error', status, code } : undefined);
      expect((await access('patient')).value.reveal(), code).toEqual({ n: 1 });
    }
    at.server.fault = () => ({ kind: 'error', status: 400, code: 'ThrottlingException' });
    await expect(access('patient')).rejects.toMatchObject({ code: 'secret_manager_throttled' });
    await expect(Array.fromAsync(directory().list())).rejects.toMatchObject({ code: 'secret_manager_throttled' });
  });

  test('a web identity asks STS first: one that throttles is asked again, one that does not trust it refuses', async () => {
    await directory().put('federated', 's3', new Secret({ n: 1 }));
    await using sts = await new StsServer(at.server).listen();
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-aws-'));
    await writeFile(join(folder, 'token'), 'fake.web.identity');
    const role = 'arn:aws:iam::123456789012:role/worker';
    sts.roles.set(role, { trusts: ['fake.web.identity'] });
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, undefined);
    vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', join(folder, 'token'));
    vi.stubEnv('AWS_ROLE_ARN', role);
    vi.stubEnv('AWS_ENDPOINT_URL_STS', sts.endpoint);
    for (const [status, code] of [
      [400, 'Throttling'],
      [400, 'IDPCommunicationError'],
      [503, 'ServiceUnavailable'],
    ] as const) {
      let left = 8;
      sts.fault = () => (left-- > 0 ? { kind: 'error', status, code } : undefined);
      expect((await access('federated')).value.reveal(), code).toEqual({ n: 1 });
      expect(left, code).toBeLessThan(0);
    }
    sts.roles.set(role, { trusts: [] });
    await expect(access('federated')).rejects.toMatchObject({ code: 'secret_access_denied' });
  });

  test('settings that cannot work name their variable, and no failure shows what was sent', async () => {
    for (const [name, value] of [
      ['LOCKGATE_AWS_REGION', 'Frankfurt'],
      ['LOCKGATE_SECRET_PREFIX', 'a/b'],
      ['LOCKGATE_AWS_ENDPOINT', 'nowhere'],
      ['LOCKGATE_AWS_TAGS', 'no pairs'],
    ] as const)
      expect(() => at.settings({ [name]: value }), name).toThrow(new RegExp(name));
    const canary = `canary-${Math.random().toString(36).slice(2)}`;
    await directory().put('quiet', 's3', new Secret({ canary }));
    const values = [canary, SECRET];
    const shown: string[] = [];
    for (const code of [
      'AccessDeniedException',
      'ResourceNotFoundException',
      'InvalidRequestException',
      'ValidationException',
      'Rubbish',
    ]) {
      at.server.fault = () => ({ kind: 'error', status: 400, code, message: `you sent ${values.join(' ')}` });
      const calls = [
        access('quiet'),
        directory().put('quiet', 's3', new Secret({ canary })),
        directory().describe('quiet'),
        Array.fromAsync(directory().list()),
      ];
      for (const outcome of await Promise.allSettled(calls)) shown.push(everything(outcome));
    }
    shown.push(everything(directory()), everything(openReader(at.settings())));
    expect(shown.length).toBe(22);
    expect(findIn(Buffer.from(shown.join('\n')), values)).toEqual([]);
  });

  test('a sync from the command line takes its credential from there, and leaves none of it anywhere', async () => {
    await using deployment = await Deployment.start();
    deployment.s3.put('docs', 'a.txt', 'text');
    const identity = { AWS_ACCESS_KEY_ID: KEY, AWS_SECRET_ACCESS_KEY: SECRET };
    deployment.environment = { ...deployment.environment, ...at.environment, ...identity };
    await deployment.putSecret();
    await deployment.connect();
    const { code, stdout, stderr } = await deployment.run('sync', 'handbook');
    expect(stdout, stderr).toContain('1 added');
    expect(code).toBe(0);
    const values = [deployment.secretAccessKey, SECRET];
    expect(findIn(Buffer.from(await deployment.everyRow()), values)).toEqual([]);
    expect(await findInFiles(deployment.folder, values)).toEqual([]);
  });
});
