import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import { withPatience } from '../../src/layers/patient.ts';
import { openDirectory } from '../../src/secrets/open-directory.ts';
import { openReader } from '../../src/secrets/open-reader.ts';
import { everything, findIn, findInFiles } from '../canary.ts';
import { secretManagerConformance } from '../conformance/secret-manager.ts';
import { Deployment } from '../deployment.ts';
import { managerOf, purpose, quickClock, ref } from '../manager.ts';
import { KubernetesServer } from '../servers/kubernetes.ts';
import { trustedCertificate } from '../servers/tls.ts';

const READER = 'fake-token-of-workers';
const WRITER = 'fake-token-of-who-adds';

async function start() {
  const certificate = await trustedCertificate();
  const server = await new KubernetesServer(certificate).listen();
  server.tokens.set(READER, { namespace: 'lockgate', verbs: ['get', 'list'] });
  server.tokens.set(WRITER, { namespace: 'lockgate', verbs: ['create', 'list', 'delete'] });
  const folder = await mkdtemp(join(tmpdir(), 'lockgate-kubernetes-'));
  const kubeconfig = async (token: string) => {
    const path = join(folder, `${token}.yaml`);
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'here',
          cluster: {
            server: server.endpoint,
            'certificate-authority-data': Buffer.from(certificate.cert).toString('base64'),
          },
        },
      ],
      users: [{ name: 'me', user: { token } }],
      contexts: [{ name: 'here', context: { cluster: 'here', user: 'me', namespace: 'lockgate' } }],
      'current-context': 'here',
    };
    await writeFile(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  };
  const files = {
    reader: await kubeconfig(READER),
    writer: await kubeconfig(WRITER),
    other: await kubeconfig('nobody'),
  };
  const environment = (as: keyof typeof files, more: Record<string, string> = {}) => ({
    LOCKGATE_SECRET_MANAGER: 'kubernetes',
    LOCKGATE_KUBERNETES_KUBECONFIG: files[as],
    ...more,
  });
  const directory = (as: keyof typeof files = 'writer', workspace = 'default', more = {}) =>
    openDirectory(managerOf(environment(as, more)), workspace, Date.now);
  const reader = (as: keyof typeof files = 'reader') =>
    withPatience(openReader(managerOf(environment(as))), quickClock);
  const close = async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  };
  return { server, environment, directory, reader, folder, close };
}

secretManagerConformance('kubernetes', async () => {
  const { server, directory, reader, close } = await start();
  const own = directory();
  return {
    directory: own,
    reader: reader(),
    capabilities: { writes: true, versions: true, numbersRestart: true },
    seed: async (id, type, credential) => void (await own.put(id, type, new Secret(credential))),
    seedForeign: async (fields) => {
      server.put('lockgate', 'of-another-tool', fields);
      return 'of-another-tool';
    },
    valuesRead: () => server.valuesSent,
    otherWorkspace: () => ({ directory: directory('writer', 'other'), workspace: 'other' }),
    close,
  };
});

describe('kubernetes alone', () => {
  let at: Awaited<ReturnType<typeof start>>;
  beforeAll(async () => {
    at = await start();
  });
  afterAll(() => at.close());
  afterEach(() => {
    at.server.fault = () => undefined;
  });

  test('who adds cannot read, who reads cannot add, and neither gets at another namespace', async () => {
    await at.directory().put('guarded', 's3', new Secret({ n: 1 }));
    expect(at.server.valuesSent).toBe(0);
    const denied = { code: 'secret_access_denied' };
    await expect(at.reader('writer').access(ref('guarded'), purpose)).rejects.toMatchObject(denied);
    await expect(at.directory('reader').put('guarded', 's3', new Secret({}))).rejects.toMatchObject(denied);
    await expect(Array.fromAsync(at.directory('other').list())).rejects.toMatchObject(denied);
    const elsewhere = at.directory('writer', 'default', { LOCKGATE_KUBERNETES_NAMESPACE: 'elsewhere' });
    await expect(Array.fromAsync(elsewhere.list())).rejects.toMatchObject(denied);
    expect((await at.reader().access(ref('guarded'), purpose)).value.reveal()).toEqual({ n: 1 });
  });

  test('600 secrets are listed by pages, without a value', async () => {
    const many = await start();
    const directory = many.directory();
    for (let at = 0; at < 600; at += 50) {
      await Promise.all(
        Array.from({ length: 50 }, (_, n) => directory.put(`secret-${at + n}`, 's3', new Secret({ n }))),
      );
    }
    many.server.counts.clear();
    expect((await Array.fromAsync(directory.list({ connectorType: 's3' }))).length).toBe(600);
    expect(many.server.counts.get('list')).toBe(3);
    expect(many.server.valuesSent).toBe(0);
    await many.close();
  });

  test('a version is never changed, and another hand’s secret is not touched', async () => {
    await at.directory().put('versioned', 's3', new Secret({ n: 1 }));
    await at.directory().put('versioned', 's3', new Secret({ n: 2 }));
    const own = [...at.server.secrets.values()].filter(({ metadata }) => metadata.name.includes('versioned'));
    expect(own.map(({ immutable }) => immutable)).toEqual([true, true]);
    expect((await at.reader().access(ref('versioned', '1'), purpose)).value.reveal()).toEqual({ n: 1 });
    const [first] = own;
    if (!first) throw new Error('not stored');
    const third = first.metadata.name.replace(/-v1$/, '-v3');
    at.server.put('lockgate', third, { credential: '{"n":"planted"}' });
    await expect(at.directory().put('versioned', 's3', new Secret({ n: 3 }))).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
    await expect(at.reader().access(ref('versioned', '3'), purpose)).rejects.toMatchObject({
      code: 'credential_not_found',
    });
    expect((await at.reader().access(ref('versioned'), purpose)).value.reveal()).toEqual({ n: 2 });
  });

  test('an API server that is away or throttles for a moment is asked again; a list that failed is no empty list', async () => {
    await at.directory().put('patient', 's3', new Secret({ n: 1 }));
    for (const fault of [
      { kind: 'error', status: 503, code: 'ServiceUnavailable' },
      { kind: 'error', status: 429, code: 'TooManyRequests' },
      { kind: 'reset' },
    ] as const) {
      let left = 3;
      at.server.fault = () => (left-- > 0 ? fault : undefined);
      expect((await at.reader().access(ref('patient'), purpose)).value.reveal()).toEqual({ n: 1 });
    }
    for (const status of [410, 429, 500, 503]) {
      at.server.fault = () => ({ kind: 'error', status, code: 'x' });
      await expect(Array.fromAsync(at.directory().list())).rejects.toThrow();
    }
  });

  test('settings that cannot work name their variable, and no failure shows what was sent', async () => {
    expect(() => managerOf(at.environment('reader', { LOCKGATE_KUBERNETES_NAMESPACE: 'No!' }))).toThrow(
      /LOCKGATE_KUBERNETES_NAMESPACE/,
    );
    const nowhere = openReader(managerOf(at.environment('reader', { LOCKGATE_KUBERNETES_KUBECONFIG: '/nowhere' })));
    await expect(nowhere.access(ref('x'), purpose)).rejects.toMatchObject({ code: 'invalid_configuration' });
    const canary = `canary-${Math.random().toString(36).slice(2)}`;
    const [writing, reading] = [at.directory(), openReader(managerOf(at.environment('reader')))];
    await writing.put('quiet', 's3', new Secret({ canary }));
    const shown: string[] = [];
    for (const status of [400, 401, 403, 404, 409, 413, 422, 429, 500, 503]) {
      at.server.fault = () => ({ kind: 'error', status, code: 'x', message: `${canary} ${WRITER} ${READER}` });
      const calls = [
        reading.access(ref('quiet'), purpose),
        writing.put('quiet', 's3', new Secret({ canary })),
        writing.describe('quiet'),
        Array.fromAsync(writing.list()),
      ];
      for (const outcome of await Promise.allSettled(calls)) shown.push(everything(outcome));
    }
    expect(shown.length).toBe(40);
    expect(findIn(Buffer.from(shown.join('\n')), [canary, WRITER, READER])).toEqual([]);
  });

  test('a sync from the command line takes its credential from there, and leaves none of it anywhere', async () => {
    await using deployment = await Deployment.start();
    deployment.s3.put('docs', 'a.txt', 'text');
    at.server.tokens.set('both', { namespace: 'lockgate', verbs: ['get', 'list', 'create', 'delete'] });
    const path = join(at.folder, 'both.json');
    const { readFile } = await import('node:fs/promises');
    await writeFile(path, (await readFile(join(at.folder, `${READER}.yaml`), 'utf8')).replace(READER, 'both'));
    deployment.environment = {
      ...deployment.environment,
      ...at.environment('reader', { LOCKGATE_KUBERNETES_KUBECONFIG: path }),
    };
    await deployment.putSecret();
    await deployment.connect();
    const { code, stdout, stderr } = await deployment.run('sync', 'handbook');
    expect(stdout, stderr).toContain('1 added');
    expect(code).toBe(0);
    const values = [deployment.secretAccessKey];
    expect(findIn(Buffer.from(await deployment.everyRow()), values)).toEqual([]);
    expect(await findInFiles(deployment.folder, values)).toEqual([]);
  });
});
