import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findIn, findInFiles } from './canary.ts';
import { Deployment } from './deployment.ts';
import { Azurite } from './servers/azurite.ts';
import { EntraServer } from './servers/entra.ts';
import type { Fault } from './servers/fault.ts';
import { FaultProxy } from './servers/fault-proxy.ts';
import { GcsServer } from './servers/gcs.ts';
import { type Drive, GraphServer } from './servers/graph.ts';
import { trustedCertificate } from './servers/tls.ts';

/** One cloud with a place in it, and the credentials that open it. */
interface Cloud extends AsyncDisposable {
  readonly type: string;
  readonly path: string;
  readonly origins: readonly string[];
  /** By the name of the way to prove who asks. */
  readonly credentials: Readonly<Record<string, Record<string, unknown>>>;
  /** What must be found nowhere. */
  values(): readonly string[];
  put(path: string, body: string): void | Promise<void>;
  remove(path: string): void | Promise<void>;
  setFault(fault: (() => Fault | undefined) | null): void;
}

async function azureCloud(): Promise<Cloud> {
  const azurite = await Azurite.start();
  const proxy = await new FaultProxy(azurite.endpoint).listen();
  const container = azurite.service.getContainerClient('docs');
  await container.create();
  const sas_token = azurite.sas('docs', 'rl');
  const { account: account_name, accountKey: account_key } = azurite;
  const endpoint = `${proxy.endpoint}/${account_name}`;
  return {
    type: 'azure',
    path: 'azure://docs',
    origins: [proxy.endpoint],
    credentials: {
      sas: { account_name, sas_token, endpoint },
      'account key': { account_name, account_key, endpoint },
      'connection string': {
        connection_string: `AccountName=${account_name};AccountKey=${account_key};BlobEndpoint=${endpoint}`,
      },
    },
    values: () => [new URLSearchParams(sas_token).get('sig') as string, account_key],
    put: async (path, body) => void (await container.getBlockBlobClient(path).upload(body, Buffer.byteLength(body))),
    remove: async (path) => void (await container.deleteBlob(path)),
    setFault: (fault) => {
      proxy.fault = fault ?? (() => undefined);
    },
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]();
      await azurite[Symbol.asyncDispose]();
    },
  };
}

async function gcsCloud(): Promise<Cloud> {
  const server = await new GcsServer().listen();
  server.buckets.set('docs', new Map());
  const key: Record<string, string> = { ...server.createKeyFile('reader'), endpoint: server.endpoint };
  return {
    type: 'gcs',
    path: 'gs://docs',
    origins: [server.endpoint],
    credentials: { 'service account': key },
    values: () => [(key.private_key as string).split('\n')[4] as string, ...server.tokens.keys()],
    put: (path, body) => server.put('docs', path, body),
    remove: (path) => server.delete('docs', path),
    setFault: (fault) => {
      server.fault = fault ?? (() => undefined);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function sharepointCloud(entra: EntraServer): Promise<Cloud> {
  const graph = await new GraphServer(entra).listen();
  const site = graph.addSite('/sites/Handbook', 'Documents');
  const drive = site.drives[0] as Drive;
  const secret = { ...entra.registerApp(['Sites.Selected']), graph_endpoint: graph.endpoint };
  const certificate = { ...(await entra.registerCertificateApp(['Sites.Selected'])), graph_endpoint: graph.endpoint };
  for (const { client_id } of [secret, certificate]) graph.grants.add(`${client_id} ${site.id}`);
  return {
    type: 'sharepoint',
    path: 'https://contoso.sharepoint.com/sites/Handbook/Documents',
    origins: [graph.endpoint, entra.authority],
    credentials: { secret, certificate },
    values: () => [
      secret.client_secret,
      certificate.private_key.split('\n')[4] as string,
      ...entra.tokens,
      ...graph.links.map((link) => new URL(link).searchParams.get('tempauth') as string),
    ],
    put: (path, body) => void graph.put(drive, path, body),
    remove: (path) => graph.remove(graph.find(drive, path)),
    setFault: (fault) => {
      graph.fault = fault ?? (() => undefined);
    },
    [Symbol.asyncDispose]: () => graph[Symbol.asyncDispose](),
  };
}

/** Answers that send back what must not be seen. */
function faults(values: readonly string[]): Fault[] {
  const message = values.join(' ').slice(0, 3000);
  const headers = {
    location: `http://127.0.0.1:9/?leak=${encodeURIComponent(message)}`,
    'x-ms-request-id': encodeURIComponent(message).slice(0, 2000),
  };
  return [
    { kind: 'error', status: 403, code: 'AuthenticationFailed', message, headers },
    { kind: 'error', status: 500, code: message, message, headers },
    { kind: 'error', status: 307, code: 'x', message, headers },
    { kind: 'error', status: 200, code: 'x', message },
    { kind: 'reset' },
  ];
}

describe('each cloud from the command line', () => {
  const clouds: Record<string, (entra: EntraServer) => Promise<Cloud>> = {
    azure: azureCloud,
    gcs: gcsCloud,
    sharepoint: sharepointCloud,
  };
  for (const [name, open] of Object.entries(clouds)) {
    test(`${name}: documents arrive, change and go, and no proof of who asks is left anywhere`, async () => {
      const certificate = await trustedCertificate();
      await using entra = await new EntraServer(certificate).listen();
      await using cloud = await open(entra);
      await using deployment = await Deployment.startWithDatabase();
      const authority = join(deployment.folder, 'authority.pem');
      await writeFile(authority, certificate.cert);
      deployment.environment = {
        ...deployment.environment,
        LOCKGATE_ALLOWED_ENDPOINTS: cloud.origins.join(','),
        LOCKGATE_LOG_LEVEL: 'debug',
        AZURE_LOG_LEVEL: 'verbose',
        NODE_EXTRA_CA_CERTS: authority,
      };
      const said: string[] = [];
      const say = async (...words: string[]) => {
        const answer = await deployment.run(...words);
        said.push(answer.stdout, answer.stderr);
        return answer;
      };
      for (const path of ['handbook.txt', 'rules/first.txt', 'rules/second.txt'])
        await cloud.put(path, `text of ${path}`);
      let round = 0;
      for (const [mode, credential] of Object.entries(cloud.credentials)) {
        const collection = `collection-${++round}`;
        await deployment.putSecret(collection, credential, cloud.type);
        await deployment.json('collections', 'create', collection);
        const words = [
          '--collection',
          collection,
          '--type',
          cloud.type,
          '--credential',
          collection,
          '--path',
          cloud.path,
        ];
        const { id } = await deployment.json<{ id: string }>('sources', 'add', ...words);
        expect(await say('sources', 'check', id), mode).toMatchObject({ code: 0 });
        expect(await say('sync', collection), mode).toMatchObject({ code: 0 });
        const { items } = await deployment.json<{ items: { path: string }[] }>('documents', 'list', collection);
        expect(items.map(({ path }) => path).sort(), mode).toEqual([
          'handbook.txt',
          'rules/first.txt',
          'rules/second.txt',
        ]);
        await cloud.put('handbook.txt', `rewritten in round ${round}`);
        await cloud.put('rules/third.txt', 'new');
        await cloud.remove('rules/second.txt');
        const { stdout } = await say('sync', collection);
        expect(stdout, mode).toContain('1 added, 1 changed, 1 removed, 1 unchanged');
        await cloud.put('rules/second.txt', 'text of rules/second.txt');
        await cloud.remove('rules/third.txt');
        if (round > 1) continue;
        for (const fault of faults(cloud.values())) {
          cloud.setFault(() => fault);
          expect((await say('sync', collection)).code, JSON.stringify(fault)).not.toBe(0);
          await say('sources', 'check', id);
        }
        cloud.setFault(null);
        await say('runs', 'list', '--json');
      }
      const values = cloud.values();
      expect(values.length).toBeGreaterThan(1);
      expect(findIn(Buffer.from(said.join('\n')), values)).toEqual([]);
      expect(findIn(Buffer.from(await deployment.everyRow()), values)).toEqual([]);
      expect(await findInFiles(deployment.folder, values)).toEqual([]);
      // The control: one of them, written where the search must find it.
      await writeFile(join(deployment.dataDir, 'planted'), JSON.stringify({ url: `https://x/?sig=${values[0]}` }));
      const planted = await findInFiles(deployment.folder, values);
      expect(planted.length).toBeGreaterThan(0);
      expect(planted.every((hit) => hit.includes('planted'))).toBe(true);
    }, 240_000);
  }
});
