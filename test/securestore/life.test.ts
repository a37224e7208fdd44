import { randomBytes } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { connect as http2Connect } from 'node:http2';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { generate } from 'selfsigned';
import { Agent } from 'undici';
import { expect, test, vi } from 'vitest';
import { emptyDatabase } from '../database.ts';
import { CloudKmsServer } from '../servers/cloud-kms.ts';
import { GcsServer } from '../servers/gcs.ts';
import { trustedCertificate } from '../servers/tls.ts';
import { Store } from './store.ts';

const SECRETS = '/v1/workspaces/default/secrets';

test('it starts sealed, says so, and opens when its key comes; a wrong key leaves it sealed', async () => {
  await using store = await Store.start();
  await store.add('kept', { n: 1 });
  await store.down();
  const key = join(store.dataDir, 'keys', 'kek.txt');
  await rename(key, `${key}.away`);
  await store.up();
  expect(await store.ask(null, 'GET', '/healthz')).toMatchObject({ status: 200 });
  expect(await store.ask(null, 'GET', '/readyz')).toMatchObject({
    status: 503,
    body: { sealed: true, why: expect.stringContaining('is not there') },
  });
  expect(await store.reveal('kept')).toMatchObject({ status: 503, body: { error: { code: 'store_sealed' } } });
  await writeFile(key, randomBytes(32).toString('base64'), { mode: 0o400 });
  await vi.waitFor(
    async () => expect((await store.ask(null, 'GET', '/readyz')).body.why).toContain('which this server has not'),
    { timeout: 10_000 },
  );
  await rename(`${key}.away`, key);
  await vi.waitFor(async () => expect((await store.ask(null, 'GET', '/readyz')).status).toBe(200), { timeout: 10_000 });
  expect((await store.reveal('kept')).body.value).toEqual({ n: 1 });
});

test('its keys move to a service of a cloud; while that is away it stays sealed and says why, and opens when it is back', async () => {
  await using store = await Store.start();
  await using tokens = await new GcsServer().listen();
  await using kms = await new CloudKmsServer(tokens).listen();
  const name = 'projects/fake-project/locations/global/keyRings/ring/cryptoKeys/store';
  kms.rotate(name);
  const credentials = join(store.folder, 'google.json');
  await writeFile(credentials, JSON.stringify(tokens.createKeyFile('securestore')), { mode: 0o600 });
  const cloud = {
    LOCKGATE_SECURESTORE_KEY: `gcp-kms:${name}`,
    LOCKGATE_SECURESTORE_KMS_ENDPOINT: kms.endpoint,
    LOCKGATE_GCP_CREDENTIALS_FILE: credentials,
  };
  await store.add('kept', { n: 1 });
  await store.down();
  const old = { LOCKGATE_SECURESTORE_OLD_KEYS: `file:${join(store.dataDir, 'keys', 'kek.txt')}` };
  expect((await store.run(['rotate'], { ...cloud, ...old })).code).toBe(0);
  kms.away = Number.POSITIVE_INFINITY;
  await store.up(cloud);
  expect(await store.ask(null, 'GET', '/readyz')).toMatchObject({
    status: 503,
    body: { sealed: true, why: expect.stringContaining('Google Cloud KMS did not answer') },
  });
  kms.away = 0;
  await vi.waitFor(async () => expect((await store.ask(null, 'GET', '/readyz')).status).toBe(200), { timeout: 20_000 });
  expect((await store.reveal('kept')).body.value).toEqual({ n: 1 });
  // When the key has a new version, and everything is wrapped by it, the old one is needed no more.
  await store.down();
  kms.rotate(name);
  expect(JSON.parse((await store.run(['rotate', '--json'], cloud)).stdout)).toMatchObject({ wrapped: 0 });
  expect(JSON.parse((await store.run(['rotate', '--all', '--json'], cloud)).stdout)).toMatchObject({ wrapped: 1 });
  Object.assign(kms.keys.get(name)?.[0] ?? {}, { enabled: false });
  await store.up(cloud);
  await vi.waitFor(async () => expect((await store.ask(null, 'GET', '/readyz')).status).toBe(200), { timeout: 20_000 });
  expect((await store.reveal('kept')).body.value).toEqual({ n: 1 });
});

test('keys are wrapped anew without touching values, also when it is killed on the way', async () => {
  await using store = await Store.start();
  const ids = Array.from({ length: 300 }, (_, n) => `s${n}`);
  for (let at = 0; at < ids.length; at += 30)
    await Promise.all(ids.slice(at, at + 30).map((id) => store.add(id, { id })));
  await store.down();
  const keys = join(store.dataDir, 'keys');
  await writeFile(join(keys, 'new.txt'), randomBytes(32).toString('base64'), { mode: 0o400 });
  const both = {
    LOCKGATE_SECURESTORE_KEY: `file:${join(keys, 'new.txt')}`,
    LOCKGATE_SECURESTORE_OLD_KEYS: `file:${join(keys, 'kek.txt')}`,
  };
  // Reads and writes go on with both keys there.
  await store.up(both);
  await store.add('late', { id: 'late' });
  expect((await store.reveal('s7')).body.value).toEqual({ id: 's7' });
  const half = store.run(['rotate'], both);
  await wait(700);
  await store.down('SIGKILL');
  await half;
  const { stdout } = await store.run(['rotate', '--json'], both);
  expect(JSON.parse(stdout).key).toMatch(/^file:/);
  // The old key is needed no more.
  await store.up({ LOCKGATE_SECURESTORE_KEY: both.LOCKGATE_SECURESTORE_KEY });
  for (const id of [...ids.slice(0, 20), 'late']) expect((await store.reveal(id)).body.value).toEqual({ id });
  await store.down();
  await store.up();
  expect((await store.ask(null, 'GET', '/readyz')).body.why).toContain('which this server has not');
});

test('a backup opens elsewhere with the key, and is worth nothing without it', async () => {
  await using store = await Store.start();
  const canary = 'canary-in-a-backup-0123456789';
  for (const n of [1, 2]) await store.add('kept', { n, canary });
  await store.add('gone', { n: 9 });
  await store.ask('admin', 'DELETE', `${SECRETS}/gone`);
  const { stdout: backup } = await store.run(['backup']);
  expect(backup).not.toContain('canary');
  const file = join(store.folder, 'backup.jsonl');
  await writeFile(file, backup);
  expect(await store.run(['restore', file])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('in this store already'),
  });
  const fresh = { LOCKGATE_SECURESTORE_DATABASE_URL: '' };
  await using db = await emptyDatabase();
  fresh.LOCKGATE_SECURESTORE_DATABASE_URL = db.url;
  await writeFile(`${file}.cut`, backup.split('\n').slice(0, -3).join('\n'));
  for (const bad of [`${file}.cut`, join(store.dataDir, 'policy.yaml')])
    expect(await store.run(['restore', bad], fresh)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('no backup'),
    });
  expect(await store.run(['restore', file], fresh)).toMatchObject({ code: 0 });
  await store.down();
  await store.up(fresh);
  expect((await store.reveal('kept', 1)).body.value).toEqual({ n: 1, canary });
  expect((await store.reveal('gone')).status).toBe(404);
  expect((await store.ask('admin', 'POST', `${SECRETS}/gone/undelete`)).status).toBe(200);
  expect((await store.add('kept', {})).body.version).toBe(3);
  await store.down();
});

test('killed at any instant it loses no write that it answered, of any replica', async () => {
  await using db = await emptyDatabase();
  await using one = await Store.make();
  const shared = { LOCKGATE_SECURESTORE_DATABASE_URL: db.url };
  const { stdout } = await one.run(['init', '--json'], shared);
  one.tokens.admin = JSON.parse(stdout).token;
  for (const name of ['api', 'worker'])
    one.tokens[name] = JSON.parse((await one.run(['token', name, '--json'], shared)).stdout).token;
  await using two = await Store.make();
  Object.assign(two.tokens, one.tokens);
  const key = { LOCKGATE_SECURESTORE_KEY: `file:${join(one.dataDir, 'keys', 'kek.txt')}`, ...shared };
  const answered = new Map<string, number>();
  let written = 0;
  await two.up(key);
  for (let round = 0; round < 5; round++) {
    await one.up(key);
    let killed = false;
    const write = async () => {
      while (!killed) {
        const n = ++written;
        const id = `k${n % 17}`;
        const store = n % 3 === 0 ? two : one;
        const answer = await store.add(id, { n }).catch(() => null);
        if (answer?.status === 201) answered.set(`${id} ${answer.body.version}`, n);
      }
    };
    const writers = Array.from({ length: 4 }, write);
    // By what it has answered, so that the machine's speed does not matter; and then at any instant.
    const enough = answered.size + 12 + Math.random() * 30;
    while (answered.size < enough) await wait(2);
    await wait(Math.random() * 30);
    await one.down('SIGKILL');
    killed = true;
    await Promise.all(writers);
  }
  expect(answered.size).toBeGreaterThan(50);
  for (const [place, n] of answered) {
    const [id = '', version = ''] = place.split(' ');
    expect((await two.reveal(id, version)).body, place).toMatchObject({ value: { n } });
  }
  await two.down();
  // Each of the two has a log of its own, and each is whole.
  for (const store of [one, two])
    expect(JSON.parse((await store.run(['audit', 'verify', '--json'])).stdout)).toMatchObject({ ok: true });
});

test('it speaks HTTP/2 and HTTP/1.1 over TLS, knows client certificates, and nothing in the clear but on this machine', async () => {
  await using store = await Store.make();
  const server = await trustedCertificate();
  const authority = await generate([{ name: 'commonName', value: 'authority' }], {
    extensions: [{ name: 'basicConstraints', cA: true }],
  });
  const client = await generate([{ name: 'commonName', value: 'worker-7' }], {
    ca: { key: authority.private, cert: authority.cert },
  });
  const stranger = await generate([{ name: 'commonName', value: 'worker-7' }]);
  const files: Record<string, string> = {};
  for (const [name, text] of Object.entries({ cert: server.cert, key: server.key, ca: authority.cert })) {
    files[name] = join(store.folder, `${name}.pem`);
    await writeFile(files[name], text);
  }
  await store.setPolicy(
    'rules: [{ who: ["cert:worker-*", "token:admin"], workspaces: ["*"], roles: [writer, revealer] }]',
  );
  const host = await store.run([], { LOCKGATE_SECURESTORE_HOST: '0.0.0.0' });
  expect(host).toMatchObject({ code: 1, stderr: expect.stringContaining('LOCKGATE_SECURESTORE_TLS_CERT_FILE') });
  await store.up({
    LOCKGATE_SECURESTORE_TLS_CERT_FILE: files.cert as string,
    LOCKGATE_SECURESTORE_TLS_KEY_FILE: files.key as string,
    LOCKGATE_SECURESTORE_CLIENT_CA_FILE: files.ca as string,
  });
  expect(store.url).toMatch(/^https:/);
  const as = ({ private: key, cert }: { private: string; cert: string }, allowH2: boolean) =>
    new Agent({ allowH2, connect: { ca: server.cert, key, cert } });
  for (const allowH2 of [false, true]) {
    const agent = as(client, allowH2);
    const added = await store.ask(null, 'POST', `${SECRETS}/by-cert/versions`, { type: 's3', value: 1 }, {}, agent);
    expect(added.status).toBe(201);
    await agent.destroy();
    const other = as(stranger, allowH2);
    expect((await store.ask(null, 'GET', SECRETS, undefined, {}, other)).status).toBe(401);
    await other.destroy();
  }
  const plain = new Agent({ connect: { ca: server.cert } });
  expect((await store.ask('admin', 'GET', SECRETS, undefined, {}, plain)).status).toBe(200);
  await plain.destroy();
  const session = http2Connect(store.url, { ca: server.cert });
  const status = await new Promise((resolve, reject) => {
    session.once('error', reject);
    session
      .request({ ':path': '/healthz' })
      .once('response', (headers) => resolve(headers[':status']))
      .end();
  });
  session.close();
  expect(status).toBe(200);
  await expect(fetch(store.url.replace('https', 'http'))).rejects.toThrow();
});
