import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { azure } from '../../connectors/azure/connector.ts';
import type { Runtime } from '../../src/contract/connector.ts';
import { Secret } from '../../src/contract/secret.ts';
import { bytesOf, listAll } from '../conformance/connector.ts';
import { runtimeFor } from '../runtime.ts';
import { Azurite } from '../servers/azurite.ts';
import { EntraServer } from '../servers/entra.ts';
import { closeServer, endpointOf, listenOnLoopback } from '../servers/loopback.ts';
import { trustedCertificate } from '../servers/tls.ts';
import { whileTimeFlies } from '../time.ts';

describe('azure by an application of Microsoft Entra ID', () => {
  let azurite: Azurite;
  let entra: EntraServer;
  const signal = new AbortController().signal;
  beforeAll(async () => {
    const certificate = await trustedCertificate();
    azurite = await Azurite.start(certificate);
    entra = await new EntraServer(certificate).listen();
    const container = azurite.service.getContainerClient('docs');
    await container.create();
    await container.getBlockBlobClient('a').upload('text', 4);
  });
  afterAll(async () => {
    await entra[Symbol.asyncDispose]();
    await azurite[Symbol.asyncDispose]();
  });
  const open = (app: Record<string, unknown>, more: Partial<Runtime> = {}) =>
    azure.open(
      new Secret(azure.parseCredential({ account_name: azurite.account, endpoint: azurite.endpoint, ...app })),
      azure.parseLocation('azure://docs'),
      { ...runtimeFor(new URL(azurite.endpoint).origin, entra.authority), ...more },
    );

  test('a secret and a certificate are exchanged for a token that reads', async () => {
    for (const app of [entra.registerApp(), await entra.registerCertificateApp()]) {
      const before = entra.tokens.length;
      await using source = open(app);
      const [[entry]] = await Promise.all([listAll(source), listAll(source), listAll(source)]);
      expect((await bytesOf(source.read(entry as never, undefined, signal))).toString()).toBe('text');
      expect(entra.tokens.length).toBe(before + 1);
    }
  });

  test('a wrong secret, a foreign certificate and an unknown application are rejected credentials', async () => {
    const app = entra.registerApp();
    const first = await entra.registerCertificateApp();
    const second = await entra.registerCertificateApp();
    const wrong = [
      { ...app, client_secret: 'wrong' },
      { ...first, certificate: second.certificate, private_key: second.private_key },
      { ...first, private_key: second.private_key },
      { ...app, client_id: '00000000-0000-0000-0000-000000000000' },
    ];
    for (const fields of wrong) {
      await using source = open(fields);
      const report = await source.check(signal);
      expect(report).toMatchObject({ readable: false, problem: { code: 'credential_rejected' } });
      expect(report.problem?.hint).toContain('tenant_id');
    }
  });

  test('an identity service that is away or throttles is waited for, and one that is not listed gets nothing', async () => {
    const app = entra.registerApp();
    for (const [status, code] of [
      [500, 'unavailable'],
      [503, 'unavailable'],
      [429, 'throttled'],
    ] as const) {
      entra.fault = ({ operation }) =>
        operation === 'token' ? { kind: 'error', status, code: 'temporarily_unavailable' } : undefined;
      await using source = open(app);
      await expect(source.listPage(null, signal)).rejects.toMatchObject({ code, retryable: true });
      entra.fault = () => undefined;
      expect((await source.listPage(null, signal)).entries.length).toBe(1);
    }
    const elsewhere = { ...app, authority: 'https://login.example.com' };
    expect(() => open(elsewhere)).toThrow(expect.objectContaining({ code: 'endpoint_refused' }));
  });

  test('an identity service that does not answer is away after a while; a call that ends before does not keep others waiting', async () => {
    const app = entra.registerApp();
    let stalls = 1;
    entra.fault = ({ operation }) => (operation === 'token' && stalls-- > 0 ? { kind: 'stall' } : undefined);
    await using source = open(app);
    const impatient = AbortSignal.timeout(200);
    const first = source.listPage(null, impatient);
    first.catch(() => undefined);
    await expect.poll(() => stalls).toBe(0);
    await expect.poll(() => impatient.aborted).toBe(true);
    expect((await source.listPage(null, signal)).entries.length).toBe(1);
    stalls = 1;
    await using other = open(app);
    await whileTimeFlies(() =>
      expect(other.listPage(null, signal)).rejects.toMatchObject({ code: 'unavailable', retryable: true }),
    );
    expect((await other.listPage(null, signal)).entries.length).toBe(1);
    entra.fault = () => undefined;
  });

  test('what the machine is comes from where its platform gives it out, if the deployment lends it out', async () => {
    const ambient = { ambient: true };
    const asked: string[] = [];
    let fault: number | 'silent' | 'reset' | null = null;
    const platform = createServer((request, response) => {
      if (fault === 'silent') return;
      if (fault === 'reset') return void request.socket.destroy();
      if (fault !== null) return void response.writeHead(fault).end('{"error":"invalid_request"}');
      const url = new URL(request.url ?? '/', 'http://localhost');
      asked.push(String(request.headers['x-identity-header']));
      const access_token = entra.issueFor(url.searchParams.get('resource') as string, 'the machine');
      const expires_on = String(Math.floor(Date.now() / 1000) + 3600);
      response.end(
        JSON.stringify({ access_token, expires_on, resource: url.searchParams.get('resource'), token_type: 'Bearer' }),
      );
    });
    await listenOnLoopback(platform);
    vi.stubEnv('IDENTITY_ENDPOINT', `${endpointOf(platform)}/msi/token`);
    vi.stubEnv('IDENTITY_HEADER', 'fake-header');
    await using managed = open({ auth: 'managed_identity' }, ambient);
    for (const [each, code, retryable] of [
      [400, 'credential_rejected', false],
      [404, 'unavailable', true],
      [410, 'unavailable', true],
      [429, 'throttled', true],
      [500, 'unavailable', true],
      ['reset', 'unavailable', true],
      ['silent', 'unavailable', true],
    ] as const) {
      fault = each;
      await whileTimeFlies(() =>
        expect(managed.listPage(null, signal), String(each)).rejects.toMatchObject({ code, retryable }),
      );
    }
    fault = null;
    expect((await listAll(managed)).length).toBe(1);
    expect(asked).toEqual(['fake-header']);

    const folder = await mkdtemp(join(tmpdir(), 'lockgate-azure-'));
    const { client_id } = entra.registerApp();
    await writeFile(join(folder, 'token'), 'federated.token');
    entra.apps.get(client_id)?.federated.add('federated.token');
    vi.stubEnv('AZURE_FEDERATED_TOKEN_FILE', join(folder, 'token'));
    vi.stubEnv('AZURE_TENANT_ID', entra.tenant);
    vi.stubEnv('AZURE_CLIENT_ID', client_id);
    vi.stubEnv('AZURE_AUTHORITY_HOST', entra.authority);
    await using workload = open({ auth: 'workload_identity' }, ambient);
    expect((await listAll(workload)).length).toBe(1);
    vi.stubEnv('AZURE_FEDERATED_TOKEN_FILE', undefined);
    await using none = open({ auth: 'workload_identity' }, ambient);
    expect((await none.check(signal)).problem).toMatchObject({
      code: 'credential_rejected',
      hint: expect.stringContaining('identity'),
    });
    vi.unstubAllEnvs();
    await closeServer(platform);
    await rm(folder, { recursive: true });
  });

  test('neither the source nor its errors show the secret, the private key or a token', async () => {
    const app = entra.registerApp();
    const other = await entra.registerCertificateApp();
    const shown: string[] = [];
    for (const fields of [app, other]) {
      await using source = open(fields);
      const [entry] = await listAll(source);
      shown.push(inspect(source, { depth: 20, showHidden: true }));
      for (const status of [400, 401, 403, 404, 429, 500]) {
        const message = JSON.stringify(fields);
        entra.fault = () => ({ kind: 'error', status, code: 'invalid_client', message });
        await using fresh = open(fields);
        const calls = [
          fresh.listPage(null, signal),
          fresh.check(signal),
          bytesOf(fresh.read(entry as never, undefined, signal)),
        ];
        for (const outcome of await Promise.allSettled(calls)) {
          shown.push(inspect(outcome, { depth: 20, showHidden: true }), JSON.stringify(outcome));
        }
        entra.fault = () => undefined;
      }
    }
    const values = [app.client_secret, other.private_key.split('\n')[2] as string, ...entra.tokens];
    expect(shown.length).toBeGreaterThan(20);
    for (const text of shown) for (const value of values) expect(text.includes(value), text).toBe(false);
  });
});
