import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import { withPatience } from '../../src/layers/patient.ts';
import { openDirectory } from '../../src/secrets/open-directory.ts';
import { openReader } from '../../src/secrets/open-reader.ts';
import { everything, findIn, findInFiles } from '../canary.ts';
import { secretManagerConformance } from '../conformance/secret-manager.ts';
import { Deployment } from '../deployment.ts';
import { managerOf, purpose, quickClock, ref } from '../manager.ts';
import { GcpSecretManagerServer } from '../servers/gcp-secret-manager.ts';
import { GcsServer } from '../servers/gcs.ts';

/** A deployment's settings, and the servers behind them. */
async function gcp(account = 'lockgate') {
  const tokens = await new GcsServer().listen();
  const server = await new GcpSecretManagerServer(tokens).listen();
  const folder = await mkdtemp(join(tmpdir(), 'lockgate-gcp-'));
  const key = tokens.createKeyFile(account);
  await writeFile(join(folder, 'key.json'), JSON.stringify(key), { mode: 0o600 });
  const environment: Record<string, string> = {
    LOCKGATE_SECRET_MANAGER: 'gcp',
    LOCKGATE_GCP_PROJECT: 'fake-project',
    LOCKGATE_GCP_ENDPOINT: server.endpoint,
    LOCKGATE_GCP_CREDENTIALS_FILE: join(folder, 'key.json'),
  };
  const settings = (more: Record<string, string> = {}) => managerOf({ ...environment, ...more });
  const close = async () => {
    await server[Symbol.asyncDispose]();
    await tokens[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  };
  return { tokens, server, key, environment, settings, close };
}

secretManagerConformance('gcp', async () => {
  const { server, settings, close } = await gcp();
  const directory = openDirectory(settings(), 'default', Date.now);
  return {
    directory,
    reader: openReader(settings()),
    capabilities: { writes: true, versions: true, numbersRestart: true },
    seed: async (id, type, credential) => void (await directory.put(id, type, new Secret(credential))),
    seedForeign: async (fields) => {
      const name = 'projects/fake-project/secrets/PROD-TOCK-ns-bot';
      const data = Buffer.from(JSON.stringify(fields)).toString('base64');
      const versions = [{ data, createTime: new Date().toISOString(), state: 'ENABLED' as const }];
      server.secrets.set(name, { name, labels: {}, annotations: {}, versions });
      return 'PROD-TOCK-ns-bot';
    },
    valuesRead: () => server.counts.get('access') ?? 0,
    otherWorkspace: () => ({ directory: openDirectory(settings(), 'other', Date.now), workspace: 'other' }),
    close,
  };
});

test('plain names as other tools make them: two IDs that become one are an error and no overwriting', async () => {
  const { server, settings, close } = await gcp();
  const plain = settings({
    LOCKGATE_SECRET_PREFIX: 'PROD',
    LOCKGATE_SECRET_NAME_TEMPLATE: '{prefix}-TOCK-{workspace}-{id}',
  });
  const directory = openDirectory(plain, 'default', Date.now);
  await directory.put('my.creds', 's3', new Secret({ n: 1 }));
  expect([...server.secrets.keys()]).toEqual(['projects/fake-project/secrets/PROD-TOCK-default-mycreds']);
  await expect(directory.put('mycreds', 's3', new Secret({ n: 2 }))).rejects.toMatchObject({
    code: 'credential_wrong_type',
    message: expect.stringContaining('was not made for it'),
  });
  await expect(directory.describe('mycreds')).rejects.toMatchObject({ code: 'credential_not_found' });
  await expect(openReader(plain).access(ref('mycreds'), purpose)).rejects.toMatchObject({
    code: 'credential_not_found',
  });
  expect((await openReader(plain).access(ref('my.creds'), purpose)).value.reveal()).toEqual({ n: 1 });
  expect((await Array.fromAsync(directory.list())).map(({ id }) => id)).toEqual(['my.creds']);
  await close();
});

describe('gcp alone', () => {
  let at: Awaited<ReturnType<typeof gcp>>;
  beforeAll(async () => {
    at = await gcp();
  });
  afterAll(() => at.close());
  const directory = (more?: Record<string, string>) => openDirectory(at.settings(more), 'default', Date.now);
  const access = async (id: string, version?: string) =>
    withPatience(openReader(at.settings()), quickClock).access(ref(id, version), purpose);

  test('600 secrets are listed by pages, with the filter at the server, without a value and without their versions', async () => {
    await directory().put('template', 's3', new Secret({ n: 0 }));
    const [template] = [...at.server.secrets.values()];
    const other = directory({ LOCKGATE_SECRET_PREFIX: 'elsewhere' });
    for (let i = 0; i < 600; i++) await other.put(`many-${i}`, i % 2 ? 's3' : 'gcs', new Secret({ i }));
    at.server.counts.clear();
    expect((await Array.fromAsync(other.list({ connectorType: 's3' }))).length).toBe(300);
    expect((await Array.fromAsync(other.list())).length).toBe(600);
    expect(Object.fromEntries(at.server.counts)).toEqual({ list: 5 });
    expect((await Array.fromAsync(directory().list())).map(({ id }) => id)).toEqual(['template']);
    expect(template?.name).toMatch(/^projects\/fake-project\/secrets\/lockgate-default-template-[0-9a-f]{12}$/);
  });

  test('the version that is enabled is meant by the latest, and a disabled one says so', async () => {
    for (const n of [1, 2, 3]) await directory().put('disabled', 's3', new Secret({ n }));
    const stored = [...at.server.secrets.values()].find(({ annotations }) => annotations['lockgate-id'] === 'disabled');
    if (!stored) throw new Error('not stored');
    for (const version of stored.versions.slice(1)) version.state = 'DISABLED';
    expect((await access('disabled')).ref.version).toBe('1');
    await expect(access('disabled', '3')).rejects.toMatchObject({ code: 'credential_disabled' });
    for (const version of stored.versions) version.state = 'DESTROYED';
    await expect(access('disabled')).rejects.toMatchObject({ code: 'credential_disabled' });
    await expect(access('disabled', 'latest')).rejects.toMatchObject({ code: 'credential_not_found' });
  });

  test('who lists need not be able to read, and a refusal is not an absence', async () => {
    await directory().put('guarded', 's3', new Secret({ n: 1 }));
    at.server.permitted.set(at.key.client_email as string, [
      'list',
      'get',
      'versions',
      'create',
      'addVersion',
      'delete',
    ]);
    expect((await directory().describe('guarded')).versions?.length).toBe(1);
    await expect(access('guarded')).rejects.toMatchObject({ code: 'secret_access_denied' });
    at.server.permitted.set(at.key.client_email as string, ['get', 'access']);
    expect((await access('guarded')).value.reveal()).toEqual({ n: 1 });
    await expect(Array.fromAsync(directory().list())).rejects.toMatchObject({ code: 'secret_access_denied' });
    await expect(directory().put('guarded', 's3', new Secret({}))).rejects.toMatchObject({
      code: 'secret_access_denied',
    });
    at.server.permitted.clear();
  });

  test('a secret whose first version cannot be written does not stay, and one of another hand is not touched', async () => {
    at.server.fault = (action) =>
      action === 'addVersion' ? { kind: 'error', status: 403, code: 'PERMISSION_DENIED' } : undefined;
    await expect(directory().put('half', 's3', new Secret({}))).rejects.toMatchObject({ code: 'secret_access_denied' });
    at.server.fault = () => undefined;
    await expect(directory().describe('half')).rejects.toMatchObject({ code: 'credential_not_found' });
    await directory().put('taken', 's3', new Secret({ n: 1 }));
    const stored = [...at.server.secrets.values()].find(({ annotations }) => annotations['lockgate-id'] === 'taken');
    Object.assign(stored?.annotations ?? {}, { 'lockgate-id': 'somebody-elses' });
    await expect(access('taken')).rejects.toMatchObject({ code: 'credential_not_found' });
    await expect(directory().put('taken', 's3', new Secret({ n: 2 }))).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
    await expect(directory().remove('taken')).rejects.toMatchObject({ code: 'credential_not_found' });
    expect(stored?.versions.length).toBe(1);
    await expect(directory().put('template', 'gcs', new Secret({}))).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
    await expect(directory().put('big', 's3', new Secret('x'.repeat(70_000)))).rejects.toMatchObject({
      code: 'credential_too_large',
    });
  });

  test('a manager that is away or throttles for a moment is asked again; a token that was revoked is a refusal', async () => {
    await directory().put('patient', 's3', new Secret({ n: 1 }));
    for (const code of ['UNAVAILABLE', 'RESOURCE_EXHAUSTED']) {
      let left = 2;
      at.server.fault = () => (left-- > 0 ? { kind: 'error', status: 503, code } : undefined);
      expect((await access('patient')).value.reveal()).toEqual({ n: 1 });
    }
    at.server.fault = () => undefined;
    for (const fault of [429, 500, 503, 'reset'] as const) {
      let left = 2;
      at.tokens.fault = ({ operation }) => {
        if (operation !== 'token' || left-- <= 0) return undefined;
        return fault === 'reset' ? { kind: 'reset' } : { kind: 'error', status: fault, code: 'backendError' };
      };
      expect((await access('patient')).value.reveal(), String(fault)).toEqual({ n: 1 });
      expect(left, String(fault)).toBeLessThan(0);
    }
    at.tokens.fault = ({ operation }) =>
      operation === 'token' ? { kind: 'error', status: 400, code: 'invalid_grant' } : undefined;
    await expect(access('patient')).rejects.toMatchObject({ code: 'secret_access_denied' });
    at.tokens.fault = () => undefined;
  });

  test('settings that cannot work name their variable, and no failure shows the value, the key or a token', async () => {
    for (const [name, value] of [
      ['LOCKGATE_GCP_PROJECT', ''],
      ['LOCKGATE_GCP_LOCATION', 'Europe!'],
      ['LOCKGATE_SECRET_PREFIX', '-'],
      ['LOCKGATE_GCP_ENDPOINT', 'nowhere'],
    ] as const)
      expect(() => at.settings({ [name]: value || '?' }), name).toThrow(new RegExp(name));
    const canary = `canary-${Math.random().toString(36).slice(2)}`;
    await directory().put('quiet', 's3', new Secret({ canary }));
    const values = [canary, ...at.tokens.tokens.keys(), (at.key.private_key as string).split('\n')[3] as string];
    const shown: string[] = [];
    for (const code of [
      'NOT_FOUND',
      'PERMISSION_DENIED',
      'UNAUTHENTICATED',
      'FAILED_PRECONDITION',
      'INVALID_ARGUMENT',
      'Rubbish',
    ]) {
      at.server.fault = () => ({ kind: 'error', status: 400, code, message: values.join(' ') });
      const calls = [
        access('quiet'),
        directory().put('quiet', 's3', new Secret({ canary })),
        directory().describe('quiet'),
        Array.fromAsync(directory().list()),
      ];
      for (const outcome of await Promise.allSettled(calls)) shown.push(everything(outcome));
    }
    at.server.fault = () => undefined;
    const missing = openReader(at.settings({ LOCKGATE_GCP_CREDENTIALS_FILE: '/nowhere/key.json' }));
    const error = await missing.access(ref('quiet'), purpose).catch((failure: unknown) => failure);
    expect(error).toMatchObject({
      code: 'invalid_configuration',
      message: expect.stringContaining('LOCKGATE_GCP_CREDENTIALS_FILE'),
    });
    shown.push(everything(error), everything(directory()), everything(openReader(at.settings())));
    expect(shown.length).toBe(27);
    expect(findIn(Buffer.from(shown.join('\n')), values)).toEqual([]);
  });

  test('a sync from the command line takes its credential from there, and leaves none of it anywhere', async () => {
    await using deployment = await Deployment.start();
    deployment.s3.put('docs', 'a.txt', 'text');
    deployment.environment = { ...deployment.environment, ...at.environment };
    await deployment.putSecret();
    await deployment.connect();
    const { code, stdout, stderr } = await deployment.run('sync', 'handbook');
    expect(stdout, stderr).toContain('1 added');
    expect(code).toBe(0);
    expect((await deployment.run('doctor')).stdout).toContain('ok');
    const values = [deployment.secretAccessKey, ...at.tokens.tokens.keys()];
    expect(findIn(Buffer.from(await deployment.everyRow()), values)).toEqual([]);
    expect(await findInFiles(deployment.folder, values)).toEqual([]);
  });
});
