import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { gcs } from '../connectors/gcs/connector.ts';
import { sharepoint } from '../connectors/sharepoint/connector.ts';
import { Secret } from '../src/contract/secret.ts';
import { openDirectory } from '../src/secrets/open-directory.ts';
import { openReader } from '../src/secrets/open-reader.ts';
import { managerOf, purpose, ref } from './manager.ts';
import { runtimeFor } from './runtime.ts';
import { Between } from './servers/between.ts';
import { EntraServer } from './servers/entra.ts';
import { GcsServer } from './servers/gcs.ts';
import { trustedCertificate } from './servers/tls.ts';

const signal = new AbortController().signal;
let between: Between;
let folder: string;
beforeAll(async () => {
  between = await new Between().listen();
  folder = await mkdtemp(join(tmpdir(), 'lockgate-between-'));
});
afterAll(async () => {
  await between[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const ANSWERS = [
  ...[200, 401, 403, 404, 409, 500, 502].map((status) => ({ status, body: 'page' as const })),
  ...[401, 403, 404].map((status) => ({ status, body: 'json' as const })),
];

async function kubeconfig(): Promise<string> {
  const file = join(folder, 'kubeconfig.json');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'here', cluster: { server: between.endpoint, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'me', user: { token: 'fake-token' } }],
    contexts: [{ name: 'here', context: { cluster: 'here', user: 'me', namespace: 'lockgate' } }],
    'current-context': 'here',
  };
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

const MANAGERS: Readonly<Record<string, () => Promise<Record<string, string>>>> = {
  vault: async () => ({ LOCKGATE_VAULT_ADDR: between.endpoint, LOCKGATE_VAULT_TOKEN: 'fake-token' }),
  securestore: async () => ({ LOCKGATE_SECURESTORE_URL: between.endpoint, LOCKGATE_SECURESTORE_TOKEN: 'fake-token' }),
  kubernetes: async () => ({ LOCKGATE_KUBERNETES_KUBECONFIG: await kubeconfig() }),
};

describe.each(Object.entries(MANAGERS))('whoever answers in the place of %s', (backend, environment) => {
  const opened = async () => {
    const settings = managerOf({ LOCKGATE_SECRET_MANAGER: backend, ...(await environment()) });
    return { reader: openReader(settings), directory: openDirectory(settings, 'default', Date.now) };
  };

  test('says neither that a secret is not there nor that it may not be read, and lists nothing', async () => {
    const { reader, directory } = await opened();
    for (const answer of ANSWERS) {
      between.answer = answer;
      const away = { code: 'secret_manager_unavailable' };
      const about = JSON.stringify(answer);
      await expect(reader.access(ref('my-creds'), purpose), about).rejects.toMatchObject(away);
      await expect(Array.fromAsync(directory.list()), about).rejects.toMatchObject(away);
      await expect(directory.describe('my-creds'), about).rejects.toMatchObject(away);
      await expect(directory.put('my-creds', 's3', new Secret({ a: 1 })), about).rejects.toMatchObject(away);
      await expect(directory.remove('my-creds'), about).rejects.toMatchObject(away);
    }
  });

  test('drop by drop is not waited for without end', async () => {
    const { reader } = await opened();
    between.answer = { status: 200, body: 'drops' };
    const sooner = vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      const stop = new AbortController();
      setTimeout(() => stop.abort(), ms / 50);
      return stop.signal;
    });
    try {
      const access = reader.access(ref('my-creds'), purpose);
      await expect(access).rejects.toMatchObject({ code: 'secret_manager_unavailable' });
    } finally {
      sooner.mockRestore();
    }
  });
});

test('whoever answers in the place of Google’s token endpoint refuses no credential', async () => {
  await using server = await new GcsServer().listen();
  server.buckets.set('docs', new Map());
  const file = { ...server.createKeyFile('alone'), endpoint: server.endpoint, token_uri: between.endpoint };
  const token = join(folder, 'token');
  await writeFile(token, 'fake-token');
  const federation = {
    type: 'external_account',
    endpoint: server.endpoint,
    audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/ours',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${between.endpoint}/v1/token`,
    credential_source: { file: token },
  };
  for (const credential of [file, federation]) {
    const runtime = { ...runtimeFor(server.endpoint, between.endpoint), ambient: true };
    await using source = gcs.open(new Secret(gcs.parseCredential(credential)), gcs.parseLocation('gs://docs'), runtime);
    // The library tries again what is a server's fault, for longer than a test should take.
    for (const answer of ANSWERS.filter(({ status }) => status < 500)) {
      between.answer = answer;
      const listing = source.listPage(null, signal);
      await expect(listing, JSON.stringify(answer)).rejects.toMatchObject({ code: 'unavailable', retryable: true });
    }
  }
});

test('whoever answers in the place of Microsoft Graph says of no site that it is not there', async () => {
  await using entra = await new EntraServer(await trustedCertificate()).listen();
  const app = { ...entra.registerApp(['Sites.Selected']), graph_endpoint: between.endpoint };
  await using source = sharepoint.open(
    new Secret(sharepoint.parseCredential(app)),
    sharepoint.parseLocation('https://contoso.sharepoint.com/sites/Handbook'),
    runtimeFor(between.endpoint, entra.authority),
  );
  for (const answer of ANSWERS) {
    between.answer = answer;
    const listing = source.listPage(null, signal);
    await expect(listing, JSON.stringify(answer)).rejects.toMatchObject({ code: 'unavailable', retryable: true });
  }
});
