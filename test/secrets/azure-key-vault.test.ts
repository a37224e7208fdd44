import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import { withPatience } from '../../src/layers/patient.ts';
import { openDirectory } from '../../src/secrets/open-directory.ts';
import { openReader } from '../../src/secrets/open-reader.ts';
import { everything, findIn, findInFiles } from '../canary.ts';
import { secretManagerConformance } from '../conformance/secret-manager.ts';
import { Deployment } from '../deployment.ts';
import { managerOf, purpose, quickClock, ref } from '../manager.ts';
import { EntraServer } from '../servers/entra.ts';
import { KeyVaultServer } from '../servers/key-vault.ts';
import { type TestCertificate, trustedCertificate } from '../servers/tls.ts';

let certificate: TestCertificate;
let entra: EntraServer;
let app: ReturnType<EntraServer['registerApp']>;

/** Once, whichever of the groups below comes first. */
async function begin() {
  certificate ??= await trustedCertificate();
  if (!entra) {
    entra = await new EntraServer(certificate).listen();
    app = entra.registerApp();
    for (const name of Object.keys(process.env)) if (name.startsWith('AZURE_')) vi.stubEnv(name, undefined);
    for (const [name, value] of Object.entries(identity())) vi.stubEnv(name, value);
  }
  const server = await new KeyVaultServer(certificate, entra).listen();
  const environment = { LOCKGATE_SECRET_MANAGER: 'azure-key-vault', LOCKGATE_AZURE_KEY_VAULT: server.endpoint };
  const settings = (more: Record<string, string> = {}) => managerOf({ ...environment, ...more });
  return { server, environment, settings };
}

function identity(): Record<string, string> {
  return {
    AZURE_TENANT_ID: app.tenant_id,
    AZURE_CLIENT_ID: app.client_id,
    AZURE_CLIENT_SECRET: app.client_secret,
    AZURE_AUTHORITY_HOST: entra.authority,
  };
}

afterAll(async () => {
  vi.unstubAllEnvs();
  await entra[Symbol.asyncDispose]();
});

secretManagerConformance('azure-key-vault', async () => {
  const { server, settings } = await begin();
  const directory = openDirectory(settings(), 'default', Date.now);
  let fetched = 0;
  let isSilent = false;
  server.fault = (action) => {
    if (action === 'get') fetched++;
    return isSilent ? { kind: 'stall' } : undefined;
  };
  return {
    directory,
    reader: openReader(settings()),
    capabilities: { writes: true, versions: true },
    seed: async (id, type, credential) => void (await directory.put(id, type, new Secret(credential))),
    seedForeign: async (fields) => {
      const version = {
        id: 'abc1',
        value: JSON.stringify(fields),
        contentType: '',
        tags: {},
        created: 1,
        enabled: true,
      };
      server.secrets.set('of-another-tool', [version]);
      return 'of-another-tool';
    },
    silent: (silent) => {
      isSilent = silent;
    },
    valuesRead: () => fetched,
    otherWorkspace: () => ({ directory: openDirectory(settings(), 'other', Date.now), workspace: 'other' }),
    close: () => server[Symbol.asyncDispose](),
  };
});

describe('azure-key-vault alone', () => {
  let at: Awaited<ReturnType<typeof begin>>;
  beforeAll(async () => {
    at = await begin();
  });
  afterEach(() => {
    at.server.fault = () => undefined;
    at.server.permitted.clear();
  });
  afterAll(() => at.server[Symbol.asyncDispose]());
  const directory = (more?: Record<string, string>) => openDirectory(at.settings(more), 'default', Date.now);
  const access = (id: string, version?: string) =>
    withPatience(openReader(at.settings()), quickClock).access(ref(id, version), purpose);

  test('120 secrets are listed by pages, without a value, each once, and only those of the prefix', async () => {
    const many = directory({ LOCKGATE_SECRET_PREFIX: 'many' });
    for (let i = 0; i < 120; i++) await many.put(`m-${i}`, i % 2 ? 's3' : 'gcs', new Secret({ i }));
    await directory().put('other', 's3', new Secret({}));
    at.server.counts.clear();
    expect((await Array.fromAsync(many.list({ connectorType: 's3' }))).length).toBe(60);
    expect(at.server.counts.get('list')).toBe(5);
    expect(at.server.counts.get('get')).toBeUndefined();
  });

  test('refusals, absences, disabled and deleted secrets are told apart', async () => {
    await directory().put('guarded', 's3', new Secret({ n: 1 }));
    at.server.permitted.set(app.client_id, ['list', 'versions', 'set']);
    expect((await directory().describe('guarded')).versions?.length).toBe(1);
    await expect(access('guarded')).rejects.toMatchObject({ code: 'secret_access_denied' });
    at.server.permitted.set(app.client_id, ['get']);
    expect((await access('guarded')).value.reveal()).toEqual({ n: 1 });
    await expect(Array.fromAsync(directory().list())).rejects.toMatchObject({ code: 'secret_access_denied' });
    await expect(directory().put('guarded', 's3', new Secret({}))).rejects.toMatchObject({
      code: 'secret_access_denied',
    });
    at.server.permitted.clear();
    const versions = [...at.server.secrets].find(([name]) => name.includes('guarded'))?.[1];
    if (!versions?.[0]) throw new Error('not stored');
    versions[0].enabled = false;
    await expect(access('guarded')).rejects.toMatchObject({ code: 'credential_disabled' });
    await directory().put('back', 's3', new Secret({ n: 1 }));
    await directory().remove('back');
    await expect(access('back')).rejects.toMatchObject({ code: 'credential_not_found' });
    await directory().put('back', 's3', new Secret({ n: 2 }));
    expect((await access('back')).value.reveal()).toEqual({ n: 2 });
    expect((await directory().describe('back')).versions?.length).toBe(2);
  });

  test('another type, another hand’s secret and too large a value are refused', async () => {
    await directory().put('typed', 's3', new Secret({}));
    await expect(directory().put('typed', 'gcs', new Secret({}))).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
    const versions = [...at.server.secrets].find(([name]) => name.includes('typed'))?.[1];
    Object.assign(versions?.[0]?.tags ?? {}, { 'lockgate-id': 'somebody-elses' });
    await expect(access('typed')).rejects.toMatchObject({ code: 'credential_not_found' });
    await expect(directory().put('typed', 's3', new Secret({}))).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
    await expect(directory().put('big', 's3', new Secret('x'.repeat(26_000)))).rejects.toMatchObject({
      code: 'credential_too_large',
    });
  });

  test('a vault that is away or throttles for a moment is asked again; a secret that was revoked is a refusal', async () => {
    await directory().put('patient', 's3', new Secret({ n: 1 }));
    for (const status of [429, 500, 503]) {
      let left = 2;
      at.server.fault = () =>
        left-- > 0 ? { kind: 'error', status, code: 'Throttled', headers: { 'retry-after': '0' } } : undefined;
      expect((await access('patient')).value.reveal(), String(status)).toEqual({ n: 1 });
    }
    at.server.fault = () => undefined;
    const again = async () => (await access('patient')).value.reveal();
    for (const fault of [429, 500, 503, 'reset'] as const) {
      let left = 2;
      entra.fault = ({ operation }) => {
        if (operation !== 'token' || left-- <= 0) return undefined;
        return fault === 'reset'
          ? { kind: 'reset' }
          : { kind: 'error', status: fault, code: 'temporarily_unavailable' };
      };
      expect(await again(), String(fault)).toEqual({ n: 1 });
      expect(left, String(fault)).toBeLessThan(0);
    }
    entra.fault = () => undefined;
    vi.stubEnv('AZURE_CLIENT_SECRET', 'wrong');
    await expect(access('patient')).rejects.toMatchObject({ code: 'secret_access_denied' });
    vi.stubEnv('AZURE_CLIENT_SECRET', app.client_secret);
  });

  test('settings that cannot work name their variable, and no failure shows what was sent', async () => {
    for (const value of ['', 'x', 'http://vault.example.com', 'not a vault']) {
      expect(() => at.settings({ LOCKGATE_AZURE_KEY_VAULT: value }), value).toThrow(/LOCKGATE_AZURE_KEY_VAULT/);
    }
    expect(at.settings({ LOCKGATE_AZURE_KEY_VAULT: 'my-vault' })).toMatchObject({
      url: 'https://my-vault.vault.azure.net',
    });
    const canary = `canary-${Math.random().toString(36).slice(2)}`;
    await directory().put('quiet', 's3', new Secret({ canary }));
    const shown: string[] = [everything(directory()), everything(openReader(at.settings()))];
    for (const status of [400, 403, 404, 409, 412, 501]) {
      at.server.fault = () => ({ kind: 'error', status, code: 'x', message: `${canary} ${entra.tokens.join(' ')}` });
      const calls = [
        access('quiet'),
        directory().put('quiet', 's3', new Secret({ canary })),
        directory().describe('quiet'),
        Array.fromAsync(directory().list()),
      ];
      for (const outcome of await Promise.allSettled(calls)) shown.push(everything(outcome));
    }
    expect(shown.length).toBe(26);
    expect(findIn(Buffer.from(shown.join('\n')), [canary, app.client_secret, ...entra.tokens])).toEqual([]);
  });

  test('a sync from the command line takes its credential from there, and leaves none of it anywhere', async () => {
    await using deployment = await Deployment.start();
    deployment.s3.put('docs', 'a.txt', 'text');
    const authority = join(deployment.folder, 'authority.pem');
    await writeFile(authority, certificate.cert);
    deployment.environment = {
      ...deployment.environment,
      ...at.environment,
      ...identity(),
      NODE_EXTRA_CA_CERTS: authority,
      AZURE_LOG_LEVEL: 'verbose',
    };
    await deployment.putSecret();
    await deployment.connect();
    const { code, stdout, stderr } = await deployment.run('sync', 'handbook');
    expect(stdout, stderr).toContain('1 added');
    expect(code).toBe(0);
    const values = [deployment.secretAccessKey, app.client_secret, ...entra.tokens];
    expect(findIn(Buffer.from(stdout + stderr), values)).toEqual([]);
    expect(findIn(Buffer.from(await deployment.everyRow()), values)).toEqual([]);
    expect(await findInFiles(deployment.folder, values)).toEqual([]);
  });
});
