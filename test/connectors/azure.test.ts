import { inspect } from 'node:util';
import { ContainerClient } from '@azure/storage-blob';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { azure } from '../../connectors/azure/connector.ts';
import { sasWarnings } from '../../connectors/azure/sas.ts';
import { InputError } from '../../src/contract/errors.ts';
import { Secret } from '../../src/contract/secret.ts';
import { withVerification } from '../../src/layers/verify.ts';
import { bytesOf, connectorConformance, expectRefusals, listAll, ODD_KEYS } from '../conformance/connector.ts';
import { runtimeFor } from '../runtime.ts';
import { Azurite } from '../servers/azurite.ts';
import type { Fault } from '../servers/fault.ts';
import { FaultProxy } from '../servers/fault-proxy.ts';

const FAULTS = {
  cut: { kind: 'cut', after: 70_000 },
  corrupt: { kind: 'corrupt' },
  short: { kind: 'short' },
  reset: { kind: 'reset' },
  stall: { kind: 'stall' },
  error500: { kind: 'error', status: 500, code: 'InternalError' },
  throttled: { kind: 'error', status: 503, code: 'ServerBusy' },
  denied: { kind: 'error', status: 403, code: 'AuthorizationPermissionMismatch' },
} as const satisfies Record<string, Fault>;

/** Names that Azure does not keep as they are: a URL has no other way to say them. */
const IMPOSSIBLE = ['a/./b', 'a/../b', 'trailing/', '\u0001control'];

function isList(url: URL): boolean {
  return url.searchParams.get('comp') === 'list';
}

connectorConformance('azure', async () => {
  const azurite = await Azurite.start();
  const proxy = await new FaultProxy(azurite.endpoint).listen();
  const container = azurite.service.getContainerClient('docs');
  await container.create();
  const sas = azurite.sas('docs', 'rl');
  const endpoint = `${proxy.endpoint}/${azurite.account}`;
  const credential = { account_name: azurite.account, sas_token: `?${sas}`, endpoint };
  const put = async (key: string, body: Buffer | string) => {
    await container.getBlockBlobClient(key).upload(body, Buffer.byteLength(body));
  };
  return {
    connector: azure,
    runtime: runtimeFor(proxy.endpoint),
    credential,
    rejectedCredential: { ...credential, sas_token: azurite.sas('docs', 'rl', { expiresInMs: -1000 }) },
    requiredFields: ['sas_token'],
    secretValues: [sas, new URLSearchParams(sas).get('sig') as string],
    badPaths: [
      '',
      'azure:',
      'azure://',
      's3://docs',
      'azure://UPPER',
      'azure://a',
      'azure://a--b',
      `azure://docs/${'x'.repeat(1025)}`,
    ],
    path: (prefix) => `azure://docs/${prefix}`,
    put,
    putMany: async (keys) => {
      for (let at = 0; at < keys.length; at += 50)
        await Promise.all(keys.slice(at, at + 50).map((key) => put(key, 'x')));
    },
    remove: async (key) => {
      await container.deleteBlob(key);
    },
    setPageSize: (keys) => {
      proxy.rewrite = (url) => {
        if (isList(url)) url.searchParams.set('maxresults', String(keys));
      };
    },
    impossibleKeys: IMPOSSIBLE,
    ordered: false,
    faults: {
      fail: (kind, count, on) => {
        let left = count;
        proxy.fault = ({ url }) => ((on === 'list') === isList(url) && left-- > 0 ? FAULTS[kind] : undefined);
      },
      clear: () => {
        proxy.fault = () => undefined;
      },
    },
    close: async () => {
      await proxy[Symbol.asyncDispose]();
      await azurite[Symbol.asyncDispose]();
    },
  };
});

describe('azure alone', () => {
  let azurite: Azurite;
  let proxy: FaultProxy;
  const signal = new AbortController().signal;
  beforeAll(async () => {
    azurite = await Azurite.start();
    proxy = await new FaultProxy(azurite.endpoint).listen();
    await azurite.service.getContainerClient('docs').create();
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await azurite[Symbol.asyncDispose]();
  });
  const open = (path: string, fields: Record<string, unknown>, ...allowed: string[]) =>
    azure.open(
      new Secret(azure.parseCredential(fields)),
      azure.parseLocation(path),
      runtimeFor(new URL(azurite.endpoint).origin, proxy.endpoint, ...allowed),
    );
  const put = (key: string, body: string, more: object = {}) =>
    azurite.service.getContainerClient('docs').getBlockBlobClient(key).upload(body, Buffer.byteLength(body), more);

  test('an account key and both kinds of connection string open the container', async () => {
    await put('modes/a', 'text');
    const { account, accountKey, endpoint } = azurite;
    const strings = [
      `DefaultEndpointsProtocol=http;AccountName=${account};AccountKey=${accountKey};BlobEndpoint=${endpoint};`,
      `BlobEndpoint=${endpoint}/;SharedAccessSignature=${azurite.sas('docs', 'rl')}`,
    ];
    const modes = [
      { account_name: account, account_key: accountKey, endpoint },
      ...strings.map((connection_string) => ({ connection_string })),
    ];
    for (const fields of modes) {
      await using source = withVerification(open('azure://docs/modes', fields));
      const [entry] = await listAll(source);
      expect((await bytesOf(source.read(entry as never, undefined, signal))).toString()).toBe('text');
    }
    const wrong = { account_name: account, account_key: Buffer.from('wrong'.repeat(20)).toString('base64'), endpoint };
    await using source = open('azure://docs/modes', wrong);
    expect((await source.check(signal)).problem).toMatchObject({ code: 'credential_rejected' });
  });

  test('credentials that do not fit together are refused with the names of their fields', () => {
    const sas_token = 'sv=2024-01-01&sp=rl&sig=canary';
    const cases: [Record<string, unknown>, RegExp][] = [
      [{ account_name: 'account' }, /sas_token/],
      [{ sas_token }, /account_name/],
      [
        { account_name: 'account', sas_token, account_key: 'Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5' },
        /give one of sas_token, account_key/,
      ],
      [{ account_name: 'account', sas_token: 'canary' }, /sas_token/],
      [{ account_name: 'account', tenant_id: 'contoso.example' }, /client_id/],
      [{ account_name: 'account', tenant_id: 't', client_id: '00000000-0000-0000-0000-000000000000' }, /client_secret/],
      [{ connection_string: 'UseDevelopmentStorage=true' }, /connection_string/],
      [{ connection_string: 'AccountName=account' }, /AccountKey/],
      [{ account_name: 'UPPER', sas_token }, /account_name/],
      [{ account_name: 'account', sas_token, endpoint: 'canary' }, /endpoint/],
    ];
    for (const [fields, expected] of cases) {
      expect(() => azure.parseCredential(fields), JSON.stringify(fields)).toThrow(expected);
      expect(() => azure.parseCredential(fields)).toThrow(InputError);
      expect(() => azure.parseCredential(fields)).not.toThrow(/canary/);
    }
  });

  test('check tells what a SAS lacks, when it ends and what it may do beyond its task', async () => {
    await put('sas/a', 'text');
    const { account: account_name, endpoint } = azurite;
    const check = async (sas_token: string) => {
      await using source = open('azure://docs/sas', { account_name, sas_token, endpoint });
      return await source.check(signal);
    };
    expect(await check(azurite.sas('docs', 'l'))).toMatchObject({
      reachable: true,
      readable: false,
      problem: { code: 'permission_denied' },
    });
    expect(await check(azurite.sas('docs', 'r'))).toMatchObject({
      readable: false,
      problem: { code: 'permission_denied' },
    });
    expect((await check(azurite.sas('docs', 'racwdl'))).warnings.join()).toContain('add, create, write, delete');
    expect((await check(azurite.sas('docs', 'rl', { expiresInMs: 3_600_000 * 5 }))).warnings.join()).toContain(
      'expires in 5 hours',
    );
    const expired = await check(azurite.sas('docs', 'rl', { expiresInMs: -1000 }));
    expect(expired).toMatchObject({ readable: false, problem: { code: 'credential_rejected' } });
    expect(expired.warnings.join()).toContain('expired');
    expect(sasWarnings('sv=x&ss=bfqt&sp=rl&se=2999-01-01&sig=x', 0).join()).toContain('ss=b');
    expect(sasWarnings('sv=x&si=policy&sig=x', 0).join()).toContain('policy');
    await using gone = open('azure://missing', { account_name, sas_token: azurite.sas('missing', 'rl'), endpoint });
    expect(await gone.check(signal)).toMatchObject({
      reachable: true,
      readable: false,
      problem: { code: 'not_found' },
    });
  });

  test('directories, snapshots and deleted blobs are no documents; archived ones say so', async () => {
    await put('kinds/file.txt', 'text');
    await put('kinds/directory', '', { metadata: { hdi_isfolder: 'true' } });
    await put('kinds/empty', '');
    await put('kinds/cold.bin', 'frozen', { tier: 'Archive' });
    const container = azurite.service.getContainerClient('docs');
    await container.getBlobClient('kinds/file.txt').createSnapshot();
    const { account: account_name, endpoint } = azurite;
    await using source = open('azure://docs/kinds', { account_name, sas_token: azurite.sas('docs', 'rl'), endpoint });
    const entries = await listAll(source);
    expect(entries.map(({ path, unreadable }) => [path, unreadable])).toEqual([
      ['cold.bin', 'archived'],
      ['empty', undefined],
      ['file.txt', undefined],
    ]);
    await expect(source.read(entries[0] as never, undefined, signal)).rejects.toMatchObject({ code: 'archived' });
    expect(ODD_KEYS.length).toBeGreaterThan(IMPOSSIBLE.length);
  });

  test('endpoints are the cloud’s own, public, or listed; the machine’s identity is lent out only where it is switched on', () => {
    const sas_token = 'sv=2024-01-01&sp=rl&sig=x';
    const refused = expect.objectContaining({ code: 'endpoint_refused' });
    const make = (fields: Record<string, unknown>) => () =>
      azure.open(new Secret(azure.parseCredential(fields)), azure.parseLocation('azure://docs'), runtimeFor());
    expect(make({ account_name: 'account', sas_token })).not.toThrow();
    expect(azure.parseCredential({ account_name: 'account', sas_token, cloud: 'china' }).endpoint).toBe(
      'https://account.blob.core.chinacloudapi.cn',
    );
    expect(make({ account_name: 'account', sas_token, endpoint: 'https://storage.example.com' })).not.toThrow();
    for (const endpoint of [
      'http://storage.example.com',
      'https://127.0.0.1',
      'https://169.254.169.254',
      'https://[::1]:1',
    ]) {
      expect(make({ account_name: 'account', sas_token, endpoint }), endpoint).toThrow(refused);
    }
    const key = Buffer.from('k'.repeat(64)).toString('base64');
    expect(
      make({ connection_string: `AccountName=account;AccountKey=${key};EndpointSuffix=internal.example` }),
    ).not.toThrow();
    expect(make({ connection_string: `AccountName=account;AccountKey=${key};BlobEndpoint=http://10.0.0.1/x` })).toThrow(
      refused,
    );
    const ambient = expect.objectContaining({
      code: 'ambient_refused',
      hint: expect.stringContaining('LOCKGATE_AMBIENT_CREDENTIALS'),
    });
    for (const auth of ['managed_identity', 'workload_identity'])
      expect(make({ account_name: 'account', auth })).toThrow(ambient);
    expect(make({ account_name: 'account', auth: 'anonymous' })).not.toThrow();
  });

  test('what a refusal says is told apart, and words that nobody knows are none of ours', async () => {
    await put('refused/a', 'text');
    const { account: account_name, accountKey: account_key } = azurite;
    const endpoint = `${proxy.endpoint}/${account_name}`;
    await using source = open('azure://docs/refused', { account_name, account_key, endpoint });
    const refuse = (status: number, word: string) => {
      proxy.fault = () => ({ kind: 'error', status, code: word });
    };
    await expectRefusals(source, refuse, [
      [503, 'ServerBusy', 'throttled', true],
      [409, 'BlobUsesCustomerSpecifiedEncryption', 'permission_denied', false],
      [403, 'KeyVaultEncryptionKeyNotFound', 'permission_denied', false],
      [400, 'constructor', 'invalid_request', false],
      [403, 'toString', 'permission_denied', false],
      [500, '__proto__', 'unavailable', true],
    ]);
    proxy.fault = () => undefined;
  });

  test('a redirect is not followed', async () => {
    await put('redirect/a', 'text');
    const asked: string[] = [];
    await using elsewhere = await new FaultProxy(azurite.endpoint).listen();
    elsewhere.fault = ({ url }) => {
      asked.push(url.href);
      return undefined;
    };
    const { account: account_name } = azurite;
    for (const proof of [{ sas_token: azurite.sas('docs', 'rl') }, { account_key: azurite.accountKey }]) {
      await using source = open('azure://docs/redirect', {
        account_name,
        ...proof,
        endpoint: `${proxy.endpoint}/${account_name}`,
      });
      for (const status of [301, 302, 307, 308]) {
        proxy.fault = () => ({
          kind: 'error',
          status,
          code: 'x',
          headers: { location: `${elsewhere.endpoint}/stolen` },
        });
        await expect(source.listPage(null, signal)).rejects.toMatchObject({ code: 'invalid_request' });
      }
    }
    proxy.fault = () => undefined;
    expect(asked).toEqual([]);
  });

  test('neither the source, its parts nor its errors show the SAS or the key', async () => {
    await put('leak/a', 'text');
    const { account: account_name, accountKey: account_key } = azurite;
    const endpoint = `${proxy.endpoint}/${account_name}`;
    const sas_token = azurite.sas('docs', 'rl');
    const signature = new URLSearchParams(sas_token).get('sig') as string;
    const values = [signature, encodeURIComponent(signature), account_key];
    const shown: string[] = [];
    for (const proof of [{ sas_token }, { account_key }]) {
      const source = open('azure://docs/leak', { account_name, ...proof, endpoint });
      const [entry] = await listAll(source);
      shown.push(inspect(source, { depth: 20, showHidden: true }));
      for (const status of [200, 301, 307, 400, 401, 403, 404, 409, 412, 429, 500, 503]) {
        const message = values.join(' ');
        const headers = {
          location: `http://127.0.0.1:9/?${encodeURIComponent(message)}`,
          'x-ms-request-id': encodeURIComponent(message),
        };
        proxy.fault = () => ({ kind: 'error', status, code: 'Rubbish', message, headers });
        const calls = [
          source.listPage(null, signal),
          bytesOf(source.read(entry as never, undefined, signal)),
          source.check(signal),
        ];
        for (const outcome of await Promise.allSettled(calls)) {
          if (outcome.status === 'fulfilled' && Buffer.isBuffer(outcome.value)) continue;
          shown.push(inspect(outcome, { depth: 20, showHidden: true }), JSON.stringify(outcome));
        }
      }
      proxy.fault = () => undefined;
      await source[Symbol.asyncDispose]();
    }
    for (const text of shown) for (const value of values) expect(text.includes(value), text).toBe(false);
    // The control: a client of the SDK shows what a source of ours does not.
    const bare = new ContainerClient(`${endpoint}/docs?${sas_token}`);
    expect(inspect(bare, { depth: 20, showHidden: true })).toContain(encodeURIComponent(signature));
  });
});
