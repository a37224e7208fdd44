import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import { withPatience } from '../../src/layers/patient.ts';
import { openDirectory } from '../../src/secrets/open-directory.ts';
import { openReader } from '../../src/secrets/open-reader.ts';
import { findIn, findInFiles } from '../canary.ts';
import { secretManagerConformance } from '../conformance/secret-manager.ts';
import { Deployment } from '../deployment.ts';
import { managerOf, purpose, quickClock, ref } from '../manager.ts';
import { Store } from '../securestore/store.ts';

const managerFor = (store: Store, as: string) =>
  managerOf({
    LOCKGATE_SECRET_MANAGER: 'securestore',
    LOCKGATE_SECURESTORE_URL: store.url,
    LOCKGATE_SECURESTORE_TOKEN: store.tokens[as] ?? as,
  });

secretManagerConformance('securestore', async () => {
  const store = await Store.start();
  const directory = openDirectory(managerFor(store, 'api'), 'default', Date.now);
  const other = openDirectory(managerFor(store, 'api'), 'other', Date.now);
  return {
    directory,
    reader: withPatience(openReader(managerFor(store, 'worker')), quickClock),
    capabilities: { writes: true, versions: true },
    seed: async (id, type, credential) => {
      await directory.put(id, type, new Secret(credential));
    },
    // As the store's own log has it, which is written before a value is given out.
    valuesRead: () =>
      readFileSync(join(store.dataDir, 'audit', 'access.jsonl'), 'utf8').split('"action":"securestore.reveal"').length -
      1,
    otherWorkspace: () => ({ directory: other, workspace: 'other' }),
    close: () => store[Symbol.asyncDispose](),
  };
});

describe('securestore alone', () => {
  let store: Store;
  let folder: string;
  beforeAll(async () => {
    store = await Store.start();
    folder = await mkdtemp(join(tmpdir(), 'lockgate-securestore-client-'));
  });
  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  test('what is wrong is told apart, in words that help', async () => {
    const put = (as: string) =>
      openDirectory(managerFor(store, as), 'default', Date.now).put('one', 's3', new Secret({ n: 1 }));
    await put('api');
    const read = (as: string, version?: string) =>
      openReader(managerFor(store, as)).access(ref('one', version), purpose);
    expect((await read('worker')).value.reveal()).toEqual({ n: 1 });
    await expect(put('worker')).rejects.toMatchObject({
      code: 'secret_access_denied',
      hint: expect.stringContaining('allow-list'),
    });
    await expect(read('api')).rejects.toMatchObject({ code: 'secret_access_denied' });
    await expect(read('lgs_nobody')).rejects.toMatchObject({
      message: expect.stringContaining('does not know who asks'),
    });
    const act = (verb: string) => store.ask('admin', 'POST', `/v1/workspaces/default/secrets/one/versions/1/${verb}`);
    await act('disable');
    await expect(read('worker')).rejects.toMatchObject({ code: 'credential_disabled' });
    await act('enable');
    await put('api');
    await act('destroy');
    await expect(read('worker', '1')).rejects.toMatchObject({ code: 'credential_deleted' });
    await expect(
      openDirectory(managerFor(store, 'api'), 'default', Date.now).put('one', 'gcs', new Secret({})),
    ).rejects.toMatchObject({ code: 'credential_wrong_type' });
    await store.down();
    await expect(read('worker')).rejects.toMatchObject({ code: 'secret_manager_unavailable' });
    await store.up();
  });

  test('settings that cannot be are refused by name', () => {
    const manager = (more: Record<string, string>) => () =>
      managerOf({ LOCKGATE_SECRET_MANAGER: 'securestore', LOCKGATE_SECURESTORE_TOKEN: 'x', ...more });
    expect(manager({})).toThrow(/LOCKGATE_SECURESTORE_URL/);
    expect(manager({ LOCKGATE_SECURESTORE_URL: 'http://store.internal:8443' })).toThrow(/LOCKGATE_SECURESTORE_URL/);
    expect(manager({ LOCKGATE_SECURESTORE_URL: 'store.internal:8443' })()).toMatchObject({
      url: 'https://store.internal:8443',
    });
    expect(manager({ LOCKGATE_SECURESTORE_URL: 'store:1', LOCKGATE_SECURESTORE_CLIENT_CERT_FILE: '/x' })).toThrow(
      /CLIENT_KEY_FILE/,
    );
  });

  test('a sync takes its credential from there: who listens cannot reveal, and nothing of it is left anywhere', async () => {
    await using deployment = await Deployment.start();
    for (const as of ['api', 'worker']) await writeFile(join(folder, as), store.tokens[as] as string, { mode: 0o600 });
    const shared = { LOCKGATE_SECRET_MANAGER: 'securestore', LOCKGATE_SECURESTORE_URL: store.url };
    const { environment } = deployment;
    const be = (as: string) => {
      deployment.environment = { ...environment, ...shared, LOCKGATE_SECURESTORE_TOKEN_FILE: join(folder, as) };
    };
    be('api');
    deployment.s3.put('docs', 'a.txt', 'text');
    await deployment.putSecret();
    await deployment.connect();
    const refused = await deployment.run('sync', 'handbook');
    expect(refused.code).toBe(1);
    expect(refused.stdout + refused.stderr).toContain('The policy of SecureStore does not permit this.');
    be('worker');
    const answer = await deployment.run('sync', 'handbook');
    expect(answer.stdout).toContain('1 added');
    // The store's own log says for which run and by whom.
    const { stdout } = await store.run(['audit', 'export']);
    expect(stdout).toMatch(/"action":"securestore\.reveal".*"secretId":"my-creds".*"runId":"[0-9a-f-]{36}"/);
    const values = [deployment.secretAccessKey, ...['api', 'worker'].map((as) => store.tokens[as] as string)];
    expect(findIn(Buffer.from(await deployment.everyRow()), values)).toEqual([]);
    expect(await findInFiles(deployment.dataDir, values)).toEqual([]);
    expect(findIn(Buffer.from(`${stdout}${store.said.join('')}`), values)).toEqual([]);
  });
});
