import { createHmac } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { attachEmbedded } from '../../src/db/embedded.ts';
import { openPool } from '../../src/db/pool.ts';
import { findIn, findInFiles } from '../canary.ts';
import { Issuer } from '../servers/issuer.ts';
import { Store } from './store.ts';

const CANARY = 'fake+canary/secret=of-a-value-0123456789';
const SECRETS = '/v1/workspaces/default/secrets';

describe('the secret server', () => {
  let store: Store;
  let issuer: Issuer;
  beforeAll(async () => {
    store = await Store.make();
    store.environment.LOCKGATE_SECURESTORE_FAILURES_PER_MINUTE = '100';
    await store.up();
    issuer = await new Issuer().listen();
  });
  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    await issuer[Symbol.asyncDispose]();
  });

  test('keeps versions, and gives a value to who may reveal and to nobody else', async () => {
    const value = { access_key_id: 'ümläut 😀', secret: CANARY };
    const added = await store.add('first', value, 'api', { labels: { team: 'data' } });
    expect(added).toMatchObject({
      status: 201,
      body: { version: 1, name: 'workspaces/default/secrets/first/versions/1' },
    });
    expect((await store.add('first', { n: 2 })).body.version).toBe(2);
    expect(await store.reveal('first')).toMatchObject({ status: 200, body: { version: 2, value: { n: 2 } } });
    expect((await store.reveal('first', 1)).body.value).toEqual(value);
    const described = await store.ask('api', 'GET', `${SECRETS}/first`);
    expect(described.body).toMatchObject({
      type: 's3',
      labels: { team: 'data' },
      versions: [{ version: 2 }, { version: 1 }],
    });
    const listed = await store.ask('worker', 'GET', SECRETS);
    expect(listed.body.items.map(({ id }: { id: string }) => id)).toContain('first');
    for (const { text } of [described, listed]) expect(text).not.toContain('canary');
    for (const as of ['admin', 'api', 'lister']) {
      expect(await store.reveal('first', 'latest', as), as).toMatchObject({
        status: 403,
        body: { error: { code: 'forbidden' } },
      });
    }
    expect((await store.add('first', {}, 'worker')).status).toBe(403);
    // Nobody learns from the answer whether there is such a secret.
    const there = await store.reveal('first', 'latest', 'lister');
    const nowhere = await store.reveal('nothing', 'latest', 'lister');
    expect(nowhere.text).toBe(there.text.replaceAll('first', 'nothing'));
  });

  test('lists in pages, by type, and only what the policy lets somebody see', async () => {
    for (const id of ['team-b', 'team-a', 'other-c']) await store.add(id, {});
    await store.ask('api', 'POST', `${SECRETS}/team-g/versions`, { type: 'gcs', value: {} });
    const seen: string[] = [];
    for (let token = ''; ; ) {
      const { body } = await store.ask('worker', 'GET', `${SECRETS}?pageSize=2&pageToken=${token}`);
      seen.push(...body.items.map(({ id }: { id: string }) => id));
      token = body.nextPageToken;
      if (!token) break;
    }
    expect(seen).toEqual([...seen].sort());
    expect(seen).toEqual(expect.arrayContaining(['other-c', 'team-a', 'team-b', 'team-g']));
    const ids = async (as: string, query = '') =>
      (await store.ask(as, 'GET', `${SECRETS}${query}`)).body.items.map(({ id }: { id: string }) => id);
    expect(await ids('lister')).toEqual(['team-a', 'team-b', 'team-g']);
    expect(await ids('worker', '?type=gcs')).toEqual(['team-g']);
    expect((await store.ask('lister', 'GET', '/v1/workspaces/other/secrets')).status).toBe(403);
  });

  test('writes only onto what it was told to expect, and a repeated request is done once', async () => {
    const add = (more: object, headers = {}) =>
      store.ask('api', 'POST', `${SECRETS}/guarded/versions`, { type: 's3', value: {}, ...more }, headers);
    expect((await add({ expected: 1 })).status).toBe(412);
    expect((await add({ expected: 0 })).status).toBe(201);
    expect((await add({ expected: 0 })).status).toBe(412);
    expect((await add({ expected: 1 })).body.version).toBe(2);
    expect((await add({ type: 'gcs' })).status).toBe(409);
    const key = { 'idempotency-key': 'the same' };
    expect(await add({}, key)).toMatchObject({ status: 201, body: { version: 3 } });
    expect(await add({}, key)).toMatchObject({ status: 200, body: { version: 3 } });
    const all = await Promise.all(Array.from({ length: 12 }, () => add({ expected: 3 })));
    expect(all.filter(({ status }) => status === 201).length).toBe(1);
    const { body } = await store.ask('api', 'GET', `${SECRETS}/guarded`);
    const patch = (labels: object, etag: string) =>
      store.ask('api', 'PATCH', `${SECRETS}/guarded`, { labels }, { 'if-match': `"${etag}"` });
    expect((await patch({ a: '1' }, body.etag)).body.labels).toEqual({ a: '1' });
    expect((await patch({ a: '2' }, body.etag)).status).toBe(412);
  });

  test('versions are disabled, enabled and destroyed; secrets are deleted with a time of grace', async () => {
    for (const n of [1, 2]) await store.add('mortal', { n });
    const act = (version: number, verb: string, as = 'admin') =>
      store.ask(as, 'POST', `${SECRETS}/mortal/versions/${version}/${verb}`);
    expect((await act(2, 'disable', 'worker')).status).toBe(403);
    expect((await act(2, 'disable')).status).toBe(200);
    expect(await store.reveal('mortal')).toMatchObject({ status: 409, body: { error: { code: 'version_disabled' } } });
    await act(2, 'enable');
    expect((await store.reveal('mortal')).body.value).toEqual({ n: 2 });
    await act(2, 'destroy');
    expect((await store.reveal('mortal', 2)).status).toBe(410);
    expect((await store.reveal('mortal')).body.value).toEqual({ n: 1 });
    expect((await act(2, 'enable')).status).toBe(410);
    const gone = await store.ask('admin', 'DELETE', `${SECRETS}/mortal`);
    expect(Date.parse(gone.body.purgeAt)).toBeGreaterThan(Date.now() + 6 * 24 * 3_600_000);
    expect((await store.reveal('mortal')).status).toBe(404);
    expect((await store.ask('admin', 'POST', `${SECRETS}/mortal/undelete`)).status).toBe(200);
    expect((await store.reveal('mortal')).body.value).toEqual({ n: 1 });
    await store.ask('admin', 'DELETE', `${SECRETS}/mortal`);
    // Made anew it is another secret: what there was is gone, and its numbers are not given again.
    expect((await store.add('mortal', { n: 3 })).body.version).toBe(3);
    expect((await store.reveal('mortal', 1)).status).toBe(410);
    const { body } = await store.ask('admin', 'GET', `${SECRETS}/mortal`);
    expect(body.versions.map(({ state }: { state: string }) => state)).toEqual(['enabled', 'destroyed', 'destroyed']);
  });

  test('tokens end and are revoked, and are not shown again', async () => {
    const made = await store.ask('admin', 'POST', '/v1/tokens', { name: 'worker', expiresInDays: 1 });
    expect((await store.reveal('first', 1, made.body.token)).status).toBe(200);
    const list = await store.ask('admin', 'GET', '/v1/tokens');
    expect(list.text).not.toContain(made.body.token.split('_').slice(2).join('_'));
    await store.ask('admin', 'DELETE', `/v1/tokens/${made.body.id}`);
    expect((await store.reveal('first', 1, made.body.token)).status).toBe(401);
  });

  test('service accounts of Kubernetes are let in by name, people by their groups; the policy is read anew', async () => {
    const token = (subject: string, more = {}, audience = 'securestore') => issuer.tokenFor(subject, audience, more);
    await store.setPolicy(`issuers:
  - { name: cluster, kind: kubernetes, issuer: "${issuer.endpoint}", audience: securestore }
  - { name: corp, kind: oidc, issuer: "${issuer.endpoint}", audience: people }
serviceAccounts: [lockgate/worker]
rules:
  - { who: ["token:admin"], workspaces: ["*"], roles: [admin, writer, auditor] }
  - { who: ["token:api"], workspaces: ["*"], roles: [writer, admin] }
  - { who: ["token:worker", "serviceaccount:*"], workspaces: ["default"], roles: [revealer] }
  - { who: ["group:corp/data"], workspaces: ["default"], roles: [lister] }
`);
    const worker = await token('system:serviceaccount:lockgate:worker');
    await vi.waitFor(async () => expect((await store.reveal('first', 1, worker)).status).toBe(200), {
      timeout: 10_000,
      interval: 300,
    });
    for (const bad of [
      await token('system:serviceaccount:lockgate:other'),
      await token('system:serviceaccount:elsewhere:worker'),
      await token('worker'),
      await token('system:serviceaccount:lockgate:worker', {}, 'another'),
      `${worker.slice(0, -6)}AAAAAA`,
    ])
      expect((await store.reveal('first', 1, bad)).status).toBe(401);
    const person = await token('jane', { groups: ['data', 'all'] }, 'people');
    expect((await store.ask(person, 'GET', SECRETS)).status).toBe(200);
    expect((await store.reveal('first', 1, person)).status).toBe(403);
    // A policy that is none leaves the old one.
    await store.setPolicy('rules: [{ who: [x], workspaces: ["*"], roles: [king] }]');
    await vi.waitFor(() => expect(store.said.join('')).toContain('stays as it was'), { timeout: 10_000 });
    expect((await store.reveal('first', 1, worker)).status).toBe(200);
  });

  test('answers who may do what, and by which rule', async () => {
    await store.setPolicy(await readFile(join(store.dataDir, 'policy.yaml'), 'utf8').then(() => POLICY_FOR_TEST));
    const ask = (...words: string[]) => store.run(['policy', 'test', ...words]);
    const yes = await ask('--who', 'token:w', '--may', 'reveal', '--on', 'workspaces/default/secrets/team-x');
    expect(yes).toMatchObject({ code: 0, stdout: expect.stringContaining('by rule 2') });
    const no = await ask('--who', 'token:w', '--may', 'reveal', '--on', 'workspaces/default/secrets/other');
    expect(no).toMatchObject({ code: 1, stdout: expect.stringContaining('no rule') });
    const group = await ask(
      '--who',
      'oidc:corp/jane',
      '--group',
      'group:corp/data',
      '--may',
      'list',
      '--on',
      'workspaces/w',
    );
    expect(group).toMatchObject({ code: 0, stdout: expect.stringContaining('by rule 1') });
    expect(await ask('--who', 'x', '--may', 'fly', '--on', 'workspaces/w')).toMatchObject({ code: 2 });
    await store.setPolicy('rules: [{ who: [x], workspaces: ["*"], roles: [king] }]');
    const broken = await ask('--who', 'x', '--may', 'list', '--on', 'workspaces/w');
    expect(broken).toMatchObject({ code: 1, stderr: expect.stringContaining('rules.0.roles.0') });
  });

  test('says what it takes, and answers rubbish with what is wrong and never with what it was sent', async () => {
    await store.setPolicy(POLICY_FOR_ALL);
    await vi.waitFor(async () => expect((await store.ask('admin', 'GET', SECRETS)).status).toBe(200), {
      timeout: 10_000,
    });
    const { body } = await store.ask(null, 'GET', '/openapi.json');
    expect(Object.keys(body.paths)).toContain('/v1/workspaces/{workspace}/secrets/{secret}/versions/{version}/reveal');
    const add = body.paths['/v1/workspaces/{workspace}/secrets/{secret}/versions'].post.requestBody.content;
    const check = new Ajv2020({ strict: false, validateFormats: false }).compile(add['application/json'].schema);
    expect(check({ type: 's3', value: {} })).toBe(true);
    expect(check({ type: 's3', value: {}, more: 1 })).toBe(false);
    const send = (path: string, given: unknown) => store.ask('admin', 'POST', path, given);
    for (const [path, given] of [
      [`${SECRETS}/x/versions`, `{"value": "${CANARY}`],
      [`${SECRETS}/x/versions`, { type: 's3', value: 1, [CANARY]: 1 }],
      [`${SECRETS}/x/versions`, { type: CANARY, value: 1 }],
      [`${SECRETS}/x/versions`, [CANARY]],
      [`${SECRETS}/x/versions`, { type: 's3', value: CANARY.repeat(20_000) }],
      [`${SECRETS}/x/versions`, { type: 's3', value: CANARY.repeat(60_000) }],
      [`${SECRETS}/..%2f..%2fetc/versions`, { type: 's3', value: CANARY }],
      ['/v1/workspaces/UP/secrets/x/versions', { type: 's3', value: CANARY }],
      [`${SECRETS}/x/versions/0/reveal`, {}],
      [`${SECRETS}/x/versions/-1/destroy`, {}],
      [`${SECRETS}/x/versions/latest/destroy`, {}],
    ] as const) {
      const answer = await send(path, given);
      expect(answer.status, path).toBeGreaterThanOrEqual(400);
      expect(answer.status, answer.text).toBeLessThan(500);
      if (!JSON.stringify(given).includes(`"${CANARY}":`)) expect(answer.text).not.toContain('canary');
    }
  });

  test('every act is in the log before it is done and after, which is signed and cannot be changed unseen', async () => {
    await store.reveal('first', 1, 'worker', { reason: 'sync', runId: 'run-1', actor: 'worker 7' });
    const { text } = await store.ask('admin', 'GET', '/v1/audit?limit=10000');
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const mine = lines.filter(({ runId }) => runId === 'run-1');
    expect(mine.map(({ outcome, action, actor }) => [action, actor, outcome])).toEqual([
      ['securestore.reveal', 'token:worker', 'attempt'],
      ['securestore.reveal', 'token:worker', 'ok'],
    ]);
    expect(lines.some(({ outcome }) => outcome === 'denied')).toBe(true);
    expect((await store.ask('worker', 'GET', '/v1/audit')).status).toBe(403);
    expect((await store.ask('admin', 'GET', '/v1/audit/verify')).body).toMatchObject({ ok: true });
    await store.down();
    const verify = () =>
      store.json<{ ok: boolean; signedHeads: number; problems: { kind: string }[] }>('audit', 'verify');
    expect((await verify()).signedHeads).toBeGreaterThan(0);
    const file = join(store.dataDir, 'audit', 'access.jsonl');
    const whole = await readFile(file, 'utf8');
    const problemsOf = async (path: string, changed: string) => {
      const before = await readFile(path, 'utf8');
      await writeFile(path, changed);
      const { code, stdout } = await store.run(['audit', 'verify', '--json']);
      await writeFile(path, before);
      expect(code).toBe(1);
      return JSON.parse(stdout).problems.map(({ kind }: { kind: string }) => kind);
    };
    expect(await problemsOf(file, whole.replace('token:worker', 'token:nobody'))).toContain('edited');
    expect(await problemsOf(file, whole.split('\n').slice(1).join('\n'))).toContain('missing');
    // Cut off, with the note of how far it had come made to fit: the signed heads remember.
    const cut = whole.trim().split('\n').slice(0, -4);
    const { seq, mac } = JSON.parse(cut.at(-1) as string);
    await writeFile(`${file}.head`, `${seq}:${mac}\n`);
    expect(await problemsOf(file, `${cut.join('\n')}\n`)).toContain('truncated');
    const heads = await readFile(`${file}.heads`, 'utf8');
    expect(await problemsOf(`${file}.heads`, heads.replace(/"seq":(\d)/, '"seq":9$1'))).toContain('forged');
    await rm(`${file}.head`);
    await store.up();
  });

  test('without its log it reveals nothing', async () => {
    const folder = join(store.dataDir, 'audit');
    await rm(folder, { recursive: true });
    await writeFile(folder, 'no folder');
    const refused = await store.reveal('first', 1);
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'audit_unavailable' } } });
    expect(refused.text).not.toContain('canary');
    await rm(folder);
    await vi.waitFor(async () => expect((await store.reveal('first', 1)).status).toBe(200), { timeout: 10_000 });
  }, 30_000);

  test('nothing that it keeps or says shows a value', async () => {
    const values = [
      CANARY,
      'ümläut 😀',
      ...Object.values(store.tokens).map((token) => token.split('_').slice(2).join('_')),
    ];
    expect(findIn(Buffer.from(store.said.join('')), values)).toEqual([]);
    const server = await attachEmbedded(join(store.dataDir, 'postgres'));
    const db = openPool(server.target, 1);
    const rows = await db.query<{ row: string }>(
      'select v::text as row from securestore.version v union all select t::text from securestore.token t',
    );
    expect(rows.length).toBeGreaterThan(10);
    expect(findIn(Buffer.from(JSON.stringify(rows)), values)).toEqual([]);
    await db[Symbol.asyncDispose]();
    await server.leave();
    await store.down();
    await wait(200);
    expect(await findInFiles(store.dataDir, values)).toEqual([]);
    await store.up();
  });

  test('guesses tell nothing apart, and have to wait', async () => {
    await store.reveal('first', 1);
    const refusals = new Set<string>();
    let waits = 0;
    for (let n = 0; n < 130; n++) {
      const guess = await store.ask(
        `lgs_${'0'.repeat(12)}_${createHmac('sha256', 'x').update(String(n)).digest('base64url')}`,
        'GET',
        SECRETS,
      );
      if (guess.status === 429) waits++;
      else refusals.add(guess.text);
    }
    expect(refusals.size).toBe(1);
    expect(waits).toBeGreaterThan(10);
    // Who was let in before shares the address, and goes on.
    expect((await store.reveal('first', 1)).status).toBe(200);
  });
});

const POLICY_FOR_ALL = `rules:
  - { who: ["token:admin"], workspaces: ["*"], roles: [admin, writer, auditor] }
  - { who: ["token:api"], workspaces: ["*"], roles: [writer, admin] }
  - { who: ["token:worker"], workspaces: ["*"], roles: [lister, revealer] }
`;
const POLICY_FOR_TEST = `rules:
  - { who: ["group:corp/data"], workspaces: ["*"], roles: [lister] }
  - { who: ["token:w*"], workspaces: ["default"], prefixes: ["team-"], roles: [revealer] }
`;
