import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { Secret } from '../../src/contract/secret.ts';
import { withPatience } from '../../src/layers/patient.ts';
import { openDirectory } from '../../src/secrets/open-directory.ts';
import { openReader } from '../../src/secrets/open-reader.ts';
import { everything, findIn, findInFiles } from '../canary.ts';
import { secretManagerConformance } from '../conformance/secret-manager.ts';
import { Deployment } from '../deployment.ts';
import { managerOf, purpose, quickClock, ref } from '../manager.ts';
import { VaultServer } from '../servers/vault.ts';

const READER = [
  ['GET', 'secret/data/lockgate/'],
  ['GET', 'secret/data/team/'],
  ['GET', 'secret/data/no'],
] as const;
const WRITER = [
  ['POST', 'secret/data/lockgate/'],
  ...['GET', 'POST', 'LIST', 'DELETE'].map((method) => [method, 'secret/metadata/lockgate/'] as const),
] as const;

async function start() {
  const server = await new VaultServer().listen();
  server.policies.set('reader', READER);
  server.policies.set('writer', WRITER);
  server.policies.set('both', [...READER, ...WRITER]);
  server.policies.set('nothing', []);
  const settings = (more: Record<string, string>) =>
    managerOf({ LOCKGATE_SECRET_MANAGER: 'vault', LOCKGATE_VAULT_ADDR: server.endpoint, ...more });
  const byToken = (policy: string) => settings({ LOCKGATE_VAULT_TOKEN: server.createToken(policy) });
  return { server, settings, byToken };
}

secretManagerConformance('vault', async () => {
  const { server, byToken } = await start();
  const directory = openDirectory(byToken('writer'), 'default', Date.now);
  return {
    directory,
    reader: openReader(byToken('reader')),
    capabilities: { writes: true, versions: true, numbersRestart: true },
    seed: async (id, type, credential) => void (await directory.put(id, type, new Secret(credential))),
    seedForeign: async (fields) => {
      server.entries.set('team/app', {
        notes: null,
        versions: [{ data: fields, created: new Date().toISOString(), deletion: '', destroyed: false }],
      });
      return 'team/app';
    },
    valuesRead: () => server.counts.get('GET data') ?? 0,
    otherWorkspace: () => ({ directory: openDirectory(byToken('writer'), 'other', Date.now), workspace: 'other' }),
    close: () => server[Symbol.asyncDispose](),
  };
});

secretManagerConformance('vault with version 1 of the engine', async () => {
  const server = await new VaultServer().listen();
  server.kv = 1;
  const everythingBut = (...verbs: string[]) => verbs.map((verb) => [verb, 'secret/'] as const);
  server.policies.set('reader', everythingBut('GET'));
  server.policies.set('writer', everythingBut('POST', 'LIST', 'DELETE'));
  const settings = (policy: string) =>
    managerOf({
      LOCKGATE_SECRET_MANAGER: 'vault',
      LOCKGATE_VAULT_ADDR: server.endpoint,
      LOCKGATE_VAULT_KV: '1',
      LOCKGATE_VAULT_TOKEN: server.createToken(policy),
    });
  const directory = openDirectory(settings('writer'), 'default', Date.now);
  return {
    directory,
    reader: openReader(settings('reader')),
    capabilities: { writes: true, versions: false, numbersRestart: true, notesWithValue: true },
    seed: async (id, type, credential) => void (await directory.put(id, type, new Secret(credential))),
    seedForeign: async (fields) => {
      const version = { data: fields, created: '', deletion: '', destroyed: false };
      server.entries.set('team/app', { notes: null, versions: [version] });
      return 'team/app';
    },
    valuesRead: () => server.counts.get('value') ?? 0,
    otherWorkspace: () => ({ directory: openDirectory(settings('writer'), 'other', Date.now), workspace: 'other' }),
    close: () => server[Symbol.asyncDispose](),
  };
});

describe('vault alone', () => {
  let at: Awaited<ReturnType<typeof start>>;
  beforeEach(async () => {
    at = await start();
    return () => at.server[Symbol.asyncDispose]();
  });
  afterEach(() => {
    at.server.fault = () => undefined;
  });
  const directory = (policy = 'writer') => openDirectory(at.byToken(policy), 'default', Date.now);
  const reader = (policy = 'reader') => withPatience(openReader(at.byToken(policy)), quickClock);

  test('one login serves many accesses, is renewed in its life, made anew at its end, and once when it is refused', async () => {
    await directory().put('busy', 's3', new Secret({ n: 1 }));
    at.server.logins.set('the-role the-secret-id', 'reader');
    const approle = {
      LOCKGATE_VAULT_AUTH: 'approle',
      LOCKGATE_VAULT_ROLE_ID: 'the-role',
      LOCKGATE_VAULT_SECRET_ID: 'the-secret-id',
    };
    const worker = openReader(at.settings(approle));
    await Promise.all(Array.from({ length: 50 }, () => worker.access(ref('busy'), purpose)));
    expect(at.server.counts.get('login')).toBe(1);
    at.server.tokens.clear();
    await worker.access(ref('busy'), purpose);
    expect(at.server.counts.get('login')).toBe(2);
    at.server.logins.clear();
    at.server.tokens.clear();
    await expect(worker.access(ref('busy'), purpose)).rejects.toMatchObject({ code: 'secret_access_denied' });

    at.server.logins.set('the-role the-secret-id', 'reader');
    Object.assign(at.server, { tokenSeconds: 1, maxSeconds: 2 });
    at.server.counts.clear();
    const short = openReader(at.settings(approle));
    const end = Date.now() + 3500;
    while (Date.now() < end) {
      await short.access(ref('busy'), purpose);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(at.server.counts.get('renew')).toBeGreaterThan(0);
    expect(at.server.counts.get('login')).toBeGreaterThan(1);
    expect(at.server.counts.get('login')).toBeLessThan(6);
  });

  test('a worker that may only fetch a wrapped secret ID reads as the runner, and a stolen one is noticed', async () => {
    await directory().put('busy', 's3', new Secret({ n: 1 }));
    at.server.policies.set('worker', [['POST', 'auth/approle/role/runner/secret-id']]);
    at.server.runners.set('runner', { roleId: 'runner-role-id', policy: 'reader' });
    const worker = at.server.createToken('worker');
    const wrapped = {
      LOCKGATE_VAULT_AUTH: 'approle',
      LOCKGATE_VAULT_ROLE_ID: 'runner-role-id',
      LOCKGATE_VAULT_RUNNER_ROLE: 'runner',
      LOCKGATE_VAULT_WORKER_TOKEN: worker,
    };
    const reading = openReader(at.settings(wrapped));
    expect((await reading.access(ref('busy'), purpose)).value.reveal()).toEqual({ n: 1 });
    await reading.access(ref('busy'), purpose);
    expect(at.server.counts.get('login')).toBe(1);
    expect(at.server.wrapped.size).toBe(0);
    // Who only has the worker's token reads nothing.
    const asWorker = openReader(at.settings({ LOCKGATE_VAULT_TOKEN: worker }));
    await expect(asWorker.access(ref('busy'), purpose)).rejects.toMatchObject({ code: 'secret_access_denied' });
    // Somebody unwraps it first.
    at.server.fault = ({ path }) => {
      if (path === 'sys/wrapping/unwrap') at.server.wrapped.clear();
      return undefined;
    };
    const stolen = openReader(at.settings(wrapped)).access(ref('busy'), purpose);
    await expect(stolen).rejects.toMatchObject({ code: 'secret_access_denied', hint: expect.stringMatching(/audit/) });
  });

  test('a given token is renewed in its life, and one in a file is read anew when it has ended', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-vault-'));
    await directory().put('busy', 's3', new Secret({ n: 1 }));
    Object.assign(at.server, { tokenSeconds: 2, maxSeconds: 3 });
    await writeFile(join(folder, 'token'), at.server.createToken('reader'));
    const reading = openReader(at.settings({ LOCKGATE_VAULT_TOKEN_FILE: join(folder, 'token') }));
    const end = Date.now() + 2500;
    while (Date.now() < end) {
      await reading.access(ref('busy'), purpose);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(at.server.counts.get('renew')).toBeGreaterThan(0);
    at.server.tokens.clear();
    await writeFile(join(folder, 'token'), at.server.createToken('reader'));
    await reading.access(ref('busy'), purpose);
    await rm(folder, { recursive: true });
  });

  test('a refused login is not tried again at once', async () => {
    const wrong = { LOCKGATE_VAULT_AUTH: 'approle', LOCKGATE_VAULT_ROLE_ID: 'x', LOCKGATE_VAULT_SECRET_ID: 'y' };
    const reading = openReader(at.settings(wrong));
    for (let n = 0; n < 20; n++) await expect(reading.access(ref(`id-${n}`), purpose)).rejects.toThrow();
    expect(at.server.counts.get('login')).toBe(1);
  });

  test('names by a template of the operator; two IDs that become one name are an error and no overwriting', async () => {
    const plain = at.settings({
      LOCKGATE_VAULT_TOKEN: at.server.createToken('both'),
      LOCKGATE_SECRET_PREFIX: 'PROD',
      LOCKGATE_SECRET_NAME_TEMPLATE: '{prefix}-TOCK-{workspace}-{id}',
    });
    at.server.policies.set('both', [
      ['GET', 'secret/'],
      ['POST', 'secret/'],
      ['LIST', 'secret/'],
      ['DELETE', 'secret/'],
    ]);
    const writing = openDirectory(plain, 'default', Date.now);
    await writing.put('my.creds', 's3', new Secret({ n: 1 }));
    expect([...at.server.entries.keys()]).toEqual(['PROD-TOCK-default-my.creds']);
    expect((await openReader(plain).access(ref('my.creds'), purpose)).value.reveal()).toEqual({ n: 1 });
    expect((await Array.fromAsync(writing.list())).map(({ id }) => id)).toEqual(['my.creds']);
    for (const template of ['no-id', '{id}-{what}', '{id} {workspace}', '{id}?']) {
      expect(() => at.settings({ LOCKGATE_VAULT_TOKEN: 'x', LOCKGATE_SECRET_NAME_TEMPLATE: template })).toThrow(
        /LOCKGATE_SECRET_NAME_TEMPLATE/,
      );
    }
  });

  test('the token of another issuer and a token in a file open it, and a file is read anew', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-vault-'));
    await directory().put('busy', 's3', new Secret({ n: 1 }));
    await writeFile(join(folder, 'jwt'), 'fake.service.account\n');
    at.server.logins.set('lockgate fake.service.account', 'reader');
    const kubernetes = {
      LOCKGATE_VAULT_AUTH: 'kubernetes',
      LOCKGATE_VAULT_ROLE: 'lockgate',
      LOCKGATE_VAULT_JWT_FILE: join(folder, 'jwt'),
    };
    expect((await openReader(at.settings(kubernetes)).access(ref('busy'), purpose)).value.reveal()).toEqual({ n: 1 });
    await writeFile(join(folder, 'token'), at.server.createToken('reader'));
    const byFile = at.settings({ LOCKGATE_VAULT_TOKEN_FILE: join(folder, 'token') });
    expect((await openReader(byFile).access(ref('busy'), purpose)).value.reveal()).toEqual({ n: 1 });
    at.server.namespace = 'team/data';
    const inNamespace = at.settings({
      LOCKGATE_VAULT_TOKEN_FILE: join(folder, 'token'),
      LOCKGATE_VAULT_NAMESPACE: 'team/data',
    });
    expect((await openReader(inNamespace).access(ref('busy'), purpose)).ref.version).toBe('1');
    await rm(folder, { recursive: true });
  });

  test('who adds cannot read and who reads cannot add; a refusal, a deletion and an absence are told apart', async () => {
    await directory().put('guarded', 's3', new Secret({ n: 1 }));
    await expect(reader('writer').access(ref('guarded'), purpose)).rejects.toMatchObject({
      code: 'secret_access_denied',
    });
    await expect(directory('reader').put('guarded', 's3', new Secret({}))).rejects.toMatchObject({
      code: 'secret_access_denied',
    });
    await expect(Array.fromAsync(directory('reader').list())).rejects.toMatchObject({ code: 'secret_access_denied' });
    await expect(reader('nothing').access(ref('guarded'), purpose)).rejects.toMatchObject({
      code: 'secret_access_denied',
    });
    const [entry] = [...at.server.entries.values()];
    if (!entry?.versions[0]) throw new Error('not stored');
    entry.versions[0].deletion = new Date().toISOString();
    await expect(reader().access(ref('guarded'), purpose)).rejects.toMatchObject({ code: 'credential_deleted' });
    entry.versions[0].deletion = '';
    entry.versions[0].destroyed = true;
    await expect(reader().access(ref('guarded'), purpose)).rejects.toMatchObject({ code: 'credential_deleted' });
    await expect(reader().access(ref('nobody'), purpose)).rejects.toMatchObject({ code: 'credential_not_found' });
  });

  test('a value without a type never exists, and another hand’s secret is not touched', async () => {
    at.server.fault = ({ method, path }) =>
      method === 'POST' && path.startsWith('secret/data')
        ? { kind: 'error', status: 403, code: 'permission denied' }
        : undefined;
    await expect(directory().put('half', 's3', new Secret({}))).rejects.toMatchObject({ code: 'secret_access_denied' });
    expect(at.server.entries.size).toBe(0);
    at.server.fault = () => undefined;
    await directory().put('taken', 's3', new Secret({ n: 1 }));
    const [entry] = [...at.server.entries.values()];
    if (!entry) throw new Error('not stored');
    entry.notes = { lockgate_id: 'somebody-elses' };
    await expect(directory().put('taken', 's3', new Secret({ n: 2 }))).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
    await expect(reader().access(ref('taken'), purpose)).rejects.toMatchObject({ code: 'credential_not_found' });
    expect(entry.versions.length).toBe(1);
    await directory().put('typed', 's3', new Secret({}));
    await expect(directory().put('typed', 'gcs', new Secret({}))).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
  });

  test('a Vault that is sealed, away or throttles for a moment is asked again', async () => {
    await directory().put('patient', 's3', new Secret({ n: 1 }));
    for (const fault of [
      { kind: 'error', status: 503, code: 'Vault is sealed' },
      { kind: 'error', status: 429, code: 'quota' },
      { kind: 'error', status: 412, code: 'required index state not present' },
      { kind: 'reset' },
    ] as const) {
      let left = 3;
      at.server.fault = () => (left-- > 0 ? fault : undefined);
      expect((await reader().access(ref('patient'), purpose)).value.reveal()).toEqual({ n: 1 });
    }
    at.server.fault = () => ({ kind: 'error', status: 503, code: 'Vault is sealed' });
    await expect(reader().access(ref('patient'), purpose)).rejects.toMatchObject({
      code: 'secret_manager_unavailable',
      message: 'Vault is sealed.',
    });
    await expect(Array.fromAsync(directory().list())).rejects.toMatchObject({ code: 'secret_manager_unavailable' });
  });

  test('settings that cannot work name their variable; the token leaves the environment; no failure shows what was sent', async () => {
    for (const [name, more] of [
      ['LOCKGATE_VAULT_ADDR', { LOCKGATE_VAULT_ADDR: 'nowhere' }],
      ['LOCKGATE_VAULT_TOKEN', {}],
      ['LOCKGATE_VAULT_MOUNT', { LOCKGATE_VAULT_TOKEN: 'x', LOCKGATE_VAULT_MOUNT: '../sys' }],
      ['LOCKGATE_VAULT_AUTH', { LOCKGATE_VAULT_AUTH: 'ldap' }],
      ['LOCKGATE_VAULT_ROLE_ID', { LOCKGATE_VAULT_AUTH: 'approle' }],
      ['LOCKGATE_VAULT_SECRET_ID', { LOCKGATE_VAULT_AUTH: 'approle', LOCKGATE_VAULT_ROLE_ID: 'x' }],
      ['LOCKGATE_VAULT_ROLE', { LOCKGATE_VAULT_AUTH: 'jwt' }],
    ] as const)
      expect(() => at.settings(more), name).toThrow(new RegExp(name));
    const token = at.server.createToken('both');
    const environment = {
      LOCKGATE_SECRET_MANAGER: 'vault',
      LOCKGATE_VAULT_ADDR: at.server.endpoint,
      LOCKGATE_VAULT_TOKEN: token,
    };
    const config = readConfig(environment);
    expect(JSON.stringify(environment)).not.toContain(token);
    expect(everything(config)).not.toContain(token);
    const settings = managerOf(environment);
    expect(config.secretManagers.byName.get('default')?.settings).toEqual(settings);

    const canary = `canary-${Math.random().toString(36).slice(2)}`;
    const [writing, reading] = [openDirectory(settings, 'default', Date.now), openReader(settings)];
    await writing.put('quiet', 's3', new Secret({ canary }));
    const shown: string[] = [everything(writing), everything(reading)];
    for (const status of [400, 403, 404, 405, 412, 429, 500, 503]) {
      at.server.fault = () => ({ kind: 'error', status, code: 'x', message: `${canary} ${token}` });
      const calls = [
        reading.access(ref('quiet'), purpose),
        writing.put('quiet', 's3', new Secret({ canary })),
        writing.describe('quiet'),
        Array.fromAsync(writing.list()),
      ];
      for (const outcome of await Promise.allSettled(calls)) shown.push(everything(outcome));
    }
    expect(shown.length).toBe(34);
    expect(findIn(Buffer.from(shown.join('\n')), [canary, token])).toEqual([]);
  });

  test('a sync from the command line takes its credential from there, and leaves none of it anywhere', async () => {
    await using deployment = await Deployment.start();
    deployment.s3.put('docs', 'a.txt', 'text');
    const token = at.server.createToken('both');
    deployment.environment = {
      ...deployment.environment,
      LOCKGATE_SECRET_MANAGER: 'vault',
      LOCKGATE_VAULT_ADDR: at.server.endpoint,
      LOCKGATE_VAULT_TOKEN: token,
    };
    await deployment.putSecret();
    await deployment.connect();
    const { code, stdout, stderr } = await deployment.run('sync', 'handbook');
    expect(stdout, stderr).toContain('1 added');
    expect(code).toBe(0);
    const values = [deployment.secretAccessKey, token];
    expect(findIn(Buffer.from(await deployment.everyRow()), values)).toEqual([]);
    expect(await findInFiles(deployment.folder, values)).toEqual([]);
  });
});
