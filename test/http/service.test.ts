import { createHmac } from 'node:crypto';
import { rename } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Answer } from '../../src/contract/api/index.ts';
import { findIn, findInFiles } from '../canary.ts';
import { LoopbackServer } from '../servers/loopback.ts';
import { eventsOf, Service } from '../service.ts';

/** Who is told of changes: checks signatures, and can refuse. */
class Receiver extends LoopbackServer {
  readonly messages: { changes: { number: number }[]; next: number }[] = [];
  readonly signatures: boolean[] = [];
  secret = '';
  refuse = 0;

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString();
    const [, seconds, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request.headers['lockgate-signature'])) ?? [];
    this.signatures.push(mac === createHmac('sha256', this.secret).update(`${seconds}.${body}`).digest('hex'));
    if (this.refuse-- > 0) return void response.writeHead(503).end();
    this.messages.push(JSON.parse(body));
    response.writeHead(204).end();
  }
}

describe('the service', () => {
  let service: Service;
  let collection: Answer<'collections.create'>;
  let source: Answer<'sources.create'>;
  const call: ReturnType<Service['client']>['call'] = (name, given) => service.client().call(name, given);
  const ended = async (runId: string) => {
    for (;;) {
      const run = await call('runs.get', { id: runId });
      if (run.state !== 'queued' && run.state !== 'running') return run;
      await wait(100);
    }
  };

  beforeAll(async () => {
    service = await Service.start();
    for (let i = 0; i < 12; i++)
      service.deployment.s3.put('docs', `folder/doc ${i}.txt`, `text ${i}`, { contentType: 'text/plain' });
    service.deployment.s3.put('docs', 'page.html', '<script>alert(1)</script>', { contentType: 'text/html' });
    service.deployment.s3.put('docs', 'large.bin', 'x'.repeat(5000));
  });
  afterAll(async () => service[Symbol.asyncDispose](), 60_000);

  test('takes a credential in, connects a collection, has a worker check and sync it, and gives the documents out', async () => {
    const stored = await call('secrets.put', {
      id: 'my-creds',
      type: 's3',
      credential: service.deployment.credential(),
    });
    expect(stored).toMatchObject({ id: 'my-creds', connectorType: 's3' });
    collection = await call('collections.create', { name: 'handbook' });
    source = await call('sources.create', {
      collection: 'handbook',
      connectorType: 's3',
      credentialId: 'my-creds',
      path: 's3://docs',
      exclude: ['*.bin'],
    });
    expect(await call('sources.check', { id: source.id })).toMatchObject({ reachable: true, readable: true });
    const run = await call('sources.sync', { id: source.id });
    const live = await fetch(`${service.url}/v1/runs/${run.id}/events`, {
      headers: { authorization: `Bearer ${service.token}` },
    });
    const events = await eventsOf(live, (all) => all.at(-1)?.event === 'end');
    expect(events.at(-1)?.data).toEqual({ state: 'completed' });
    expect(events.at(-2)?.data).toMatchObject({ added: 13, excluded: 1, state: 'completed' });
    const page = await call('documents.list', { collection: collection.id, limit: 5 });
    expect(page).toMatchObject({ total: 13 });
    expect(page.items.length).toBe(5);
    const paths: string[] = [];
    for (let cursor: string | null = null; ; ) {
      const next: Answer<'documents.list'> = await call('documents.list', {
        collection: 'handbook',
        limit: 4,
        sort: '-size',
        prefix: 'folder/',
        ...(cursor ? { cursor } : {}),
      });
      paths.push(...next.items.map(({ path }) => path));
      cursor = next.nextCursor;
      if (!cursor) break;
    }
    expect(new Set(paths).size).toBe(12);
    expect(paths.slice(0, 2).sort()).toEqual(['folder/doc 10.txt', 'folder/doc 11.txt']);
    const filtered = await call('documents.list', { collection: 'handbook', type: 'text/html' });
    expect(filtered.items.map(({ path }) => path)).toEqual(['page.html']);
    expect((await call('documents.list', { collection: 'handbook', status: 'warning' })).total).toBe(0);
    expect((await call('documents.list', { collection: 'handbook', status: 'ok' })).total).toBe(13);
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    expect((await call('documents.list', { collection: 'handbook', modifiedAfter: soon })).total).toBe(0);
  });

  test('content has ranges, ETags and names, and runs nowhere', async () => {
    const { items } = await call('documents.list', { collection: 'handbook', sort: 'path' });
    const text = items.find(({ path }) => path === 'folder/doc 1.txt') as (typeof items)[number];
    const at = `/v1/documents/${text.id}/content`;
    const whole = await service.request('GET', at);
    expect(whole).toMatchObject({ status: 200, text: 'text 1' });
    expect(Object.fromEntries(whole.headers)).toMatchObject({
      etag: `"${text.sha256}"`,
      'content-length': '6',
      'content-disposition': "attachment; filename*=UTF-8''doc%201.txt",
      'x-content-type-options': 'nosniff',
      'accept-ranges': 'bytes',
    });
    const part = await service.request('GET', at, { headers: { range: 'bytes=2-3' } });
    expect(part).toMatchObject({ status: 206, text: 'xt' });
    expect(part.headers.get('content-range')).toBe('bytes 2-3/6');
    expect((await service.request('GET', at, { headers: { range: 'bytes=-2' } })).text).toBe(' 1');
    expect((await service.request('GET', at, { headers: { range: 'bytes=4-' } })).text).toBe(' 1');
    expect((await service.request('GET', at, { headers: { range: 'bytes=9-' } })).status).toBe(416);
    expect((await service.request('GET', at, { headers: { range: 'bytes=x' } })).text).toBe('text 1');
    const same = { 'if-none-match': `"${text.sha256}"` };
    expect((await service.request('GET', at, { headers: same })).status).toBe(304);
    const other = { range: 'bytes=0-1', 'if-range': '"other"' };
    expect((await service.request('GET', at, { headers: other })).text).toBe('text 1');
    const shown = await service.request('GET', `${at}?disposition=inline`);
    expect(shown.headers.get('content-disposition')).toMatch(/^inline/);
    const page = items.find(({ path }) => path === 'page.html');
    const html = await service.request('GET', `/v1/documents/${page?.id}/content?disposition=inline`);
    expect(html.headers.get('content-disposition')).toMatch(/^attachment/);
    expect(html.headers.get('content-security-policy')).toMatch(/sandbox/);
    expect(await new Response(await service.client().content(text.id, { start: 0, end: 4 })).text()).toBe('text');
  });

  test('a plan says what a run would do, and is done exactly, whatever has changed since', async () => {
    const { s3 } = service.deployment;
    s3.put('docs', 'folder/doc 0.txt', 'changed');
    s3.put('docs', 'folder/new.txt', 'new');
    s3.delete('docs', 'folder/doc 1.txt');
    const plan = await call('sources.plan', { id: source.id });
    expect(plan).toMatchObject({ state: 'ready', add: 1, change: 1, remove: 1, skip: 1, unchanged: 11 });
    const { items, total } = await call('plans.items', { id: plan.id });
    expect(total).toBe(4);
    expect(items.map(({ action, path }) => `${action} ${path}`).sort()).toEqual([
      'add folder/new.txt',
      'change folder/doc 0.txt',
      'remove folder/doc 1.txt',
      'skip large.bin',
    ]);
    for (const { reason } of items) expect(reason).not.toBe('');
    expect((await call('documents.list', { collection: 'handbook' })).total).toBe(13);
    // After the plan was read.
    s3.put('docs', 'folder/later.txt', 'later');
    s3.put('docs', 'folder/new.txt', 'newer');
    s3.delete('docs', 'folder/doc 2.txt');
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    s3.fault = ({ operation, key }) =>
      operation === 'GetObject' && key === 'folder/doc 0.txt' ? { kind: 'hold', until: held } : undefined;
    const { id } = await call('plans.execute', { id: plan.id });
    // Whoever asks again has the same run, as long as it is under way; another plan has to wait, and is as ready as before.
    expect((await call('plans.execute', { id: plan.id })).id).toBe(id);
    const other = await call('sources.plan', { id: source.id });
    await expect(call('plans.execute', { id: other.id })).rejects.toMatchObject({ code: 'source_busy' });
    expect(await call('plans.get', { id: other.id })).toMatchObject({ state: 'ready' });
    release();
    s3.fault = () => undefined;
    const run = await ended(id);
    expect(run).toMatchObject({ state: 'completed', added: 0, changed: 1, removed: 1 });
    await expect(call('plans.execute', { id: plan.id })).rejects.toMatchObject({ code: 'plan_not_ready' });
    const next = await ended((await call('sources.sync', { id: source.id })).id);
    expect(next).toMatchObject({ state: 'completed', added: 2, removed: 1 });
  });

  test('an explanation says why a file is here or not', async () => {
    const explain = (path: string) => call('sources.explain', { id: source.id, path });
    expect(await explain('folder/new.txt')).toMatchObject({ verdict: 'document' });
    expect(await explain('large.bin')).toMatchObject({
      verdict: 'excluded',
      message: expect.stringContaining('*.bin'),
    });
    expect(await explain('folder/doc 1.txt')).toMatchObject({ verdict: 'removed' });
    expect(await explain('no/such')).toMatchObject({ verdict: 'never_seen' });
    service.deployment.s3.put('docs', 'broken.txt', 'x');
    service.deployment.s3.fault = ({ key }) =>
      key === 'broken.txt' ? { kind: 'error', status: 403, code: 'AccessDenied' } : undefined;
    await ended((await call('sources.sync', { id: source.id })).id);
    expect(await explain('broken.txt')).toMatchObject({ verdict: 'failed', failure: { code: 'permission_denied' } });
    service.deployment.s3.fault = () => undefined;
    const failed = (await call('runs.list', { source: source.id, limit: 1 })).items[0];
    expect(await ended((await call('runs.retry', { id: failed?.id ?? '' })).id)).toMatchObject({ added: 1 });
  });

  test('readers wait for changes, go on where they were, and are told by webhooks in order', async () => {
    const { lastChange } = await call('collections.get', { collection: 'handbook' });
    await using receiver = await new Receiver().listen();
    const url = `${receiver.endpoint}/hook`;
    await expect(call('webhooks.create', { collection: 'handbook', url })).rejects.toMatchObject({
      code: 'endpoint_refused',
    });
    await service.down();
    service.deployment.environment.LOCKGATE_ALLOWED_ENDPOINTS += `,${receiver.endpoint}`;
    await service.up();
    const webhook = await call('webhooks.create', { collection: 'handbook', url, after: 0 });
    receiver.secret = webhook.secret;
    receiver.refuse = 2;
    const waiting = call('changes.list', { collection: 'handbook', after: lastChange, wait: 30 });
    const stream = await fetch(`${service.url}/v1/collections/handbook/changes/stream?after=${lastChange}`, {
      headers: { authorization: `Bearer ${service.token}` },
    });
    service.deployment.s3.put('docs', 'told.txt', 'told');
    await call('sources.sync', { id: source.id });
    expect((await waiting).items).toMatchObject([{ kind: 'added', path: 'told.txt', number: lastChange + 1 }]);
    const [event] = await eventsOf(stream, (all) => all.length > 0);
    expect(event).toMatchObject({ event: 'change', id: String(lastChange + 1), data: { path: 'told.txt' } });
    for (let tries = 0; receiver.messages.at(-1)?.next !== lastChange + 1 && tries < 200; tries++) await wait(100);
    const numbers = receiver.messages.flatMap(({ changes }) => changes.map(({ number }) => number));
    expect(numbers).toEqual(Array.from({ length: lastChange + 1 }, (_, n) => n + 1));
    expect(new Set(receiver.signatures)).toEqual(new Set([true]));
    // What is not taken stops, is not lost, and comes when it is switched on.
    await call('webhooks.update', { id: webhook.id, enabled: false });
    service.deployment.s3.put('docs', 'told too.txt', 'told');
    await ended((await call('sources.sync', { id: source.id })).id);
    const before = receiver.messages.length;
    await wait(1500);
    expect(receiver.messages.length).toBe(before);
    await call('webhooks.update', { id: webhook.id, enabled: true });
    for (let tries = 0; receiver.messages.length === before && tries < 100; tries++) await wait(100);
    expect(receiver.messages.at(-1)).toMatchObject({ changes: [{ number: lastChange + 2 }] });
    await call('webhooks.remove', { id: webhook.id });
    expect((await call('webhooks.list', { collection: 'handbook' })).items).toEqual([]);
  });

  test('a definition is applied, and applied again changes nothing', async () => {
    const definition = {
      collections: [
        {
          name: 'applied',
          sources: [
            {
              connectorType: 's3' as const,
              credentialId: 'my-creds',
              path: 's3://docs/folder',
              schedule: { every: '1h' },
            },
          ],
        },
      ],
    };
    expect((await call('apply', definition)).items.map(({ result }) => result)).toEqual(['created', 'created']);
    expect((await call('apply', definition)).items.map(({ result }) => result)).toEqual(['unchanged', 'unchanged']);
    const changed = structuredClone(definition);
    Object.assign(changed.collections[0]?.sources[0] as object, { include: ['*.txt'] });
    expect((await call('apply', changed)).items.map(({ result }) => result)).toEqual(['unchanged', 'changed']);
    const none = { collections: [{ name: 'applied', sources: [] }], prune: true };
    // The schedule's first run may be under way, and a source is not removed under a run.
    const pruned = await vi.waitFor(() => call('apply', none), { timeout: 30_000, interval: 200 });
    expect(pruned.items.map(({ result }) => result)).toEqual(['unchanged', 'removed']);
    for (const bad of [
      { path: 'nowhere' },
      { include: ['['] },
      { schedule: { cron: 'never', timezone: 'UTC' } },
      { schedule: { cron: '* * * * *', timezone: 'Mars/Base' } },
      { credentialId: 'nobody' },
    ]) {
      const wrong = structuredClone(definition);
      Object.assign(wrong.collections[0]?.sources[0] as object, bad);
      await expect(call('apply', wrong), JSON.stringify(bad)).rejects.toMatchObject({ hint: expect.any(String) });
    }
  });

  test('says how it is: health, readiness, metrics, its own description', async () => {
    await call('collections.get', { collection: 'handbook' });
    expect(await service.request('GET', '/healthz', { token: null })).toMatchObject({ status: 200 });
    expect((await service.request('GET', '/readyz', { token: null })).json).toMatchObject({ ok: true });
    const { text } = await service.request('GET', '/metrics', { token: null });
    for (const line of [
      /^lockgate_documents_total\{outcome="added"\} \d+$/m,
      /^lockgate_runs\{state="completed"\} \d+$/m,
      /^lockgate_http_request_duration_seconds_count\{method="GET",route="\/v1\/collections\/:collection",status="200"\} \d+$/m,
      /^lockgate_audit_events_total [1-9]\d*$/m,
      /^lockgate_fetched_bytes_total [1-9]\d*$/m,
    ])
      expect(text).toMatch(line);
    const docs = await service.request('GET', '/docs', { token: null });
    expect(docs.text).toContain('/v1/collections/{collection}/changes');
    expect(docs.text).not.toContain('<script');
    const missing = await service.request('GET', '/v1/nothing', { token: null });
    expect(missing).toMatchObject({ status: 404, json: { error: { code: 'route_not_found' } } });
    for (const name of ['x-content-type-options', 'x-frame-options', 'content-security-policy', 'referrer-policy'])
      expect(missing.headers.get(name), name).toBeTruthy();
    await call('collections.get', { collection: 'handbook' });
    const { items } = await call('connectors.list', {});
    expect(items.map(({ type }) => type)).toEqual(['s3', 'gcs', 'azure', 'sharepoint']);
    expect(await call('audit.verify', {})).toMatchObject({ ok: true });
    const log = await call('audit.list', { secret: 'my-creds' });
    expect(log.items.some(({ action, runId }) => action === 'secret.access' && runId)).toBe(true);
    expect(await call('managers.list', {})).toMatchObject({
      items: [{ name: 'default', backend: 'file', default: true }],
    });
  });

  test('a source is changed, moved with its documents, and removed with or without them', async () => {
    await call('collections.create', { name: 'elsewhere' });
    const before = (await call('documents.list', { collection: 'handbook' })).total;
    const updated = await call('sources.update', {
      id: source.id,
      schedule: { cron: '0 3 * * *', timezone: 'Europe/Paris' },
    });
    expect(updated).toMatchObject({ autoSync: true, path: 's3://docs', nextDueAt: expect.any(String) });
    expect(await call('sources.update', { id: source.id, autoSync: false })).toMatchObject({ nextDueAt: null });
    expect(await call('sources.move', { id: source.id, collection: 'elsewhere' })).toMatchObject({
      collection: 'elsewhere',
    });
    expect((await call('documents.list', { collection: 'handbook' })).total).toBe(0);
    expect((await call('documents.list', { collection: 'elsewhere' })).total).toBe(before);
    const { items } = await call('changes.list', { collection: 'elsewhere', limit: 1000 });
    expect(items.map(({ number }) => number)).toEqual(Array.from({ length: before }, (_, n) => n + 1));
    await call('sources.remove', { id: source.id, documents: 'keep' });
    expect((await call('documents.list', { collection: 'elsewhere' })).total).toBe(before);
    expect((await call('sources.list', {})).items).toEqual([]);
    await expect(call('sources.get', { id: source.id })).rejects.toMatchObject({ code: 'source_not_found' });
    await call('collections.update', { collection: 'elsewhere', name: 'renamed' });
    await call('collections.remove', { collection: 'renamed' });
    const { text: metrics } = await service.request('GET', '/metrics', { token: null });
    expect(Number(/^lockgate_documents_total\{outcome="added"\} (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(12);
    await expect(call('collections.get', { collection: 'renamed' })).rejects.toMatchObject({
      code: 'collection_not_found',
    });
  });

  test('roles permit what they say, and tokens end', async () => {
    const tokens = new Map<string, string>();
    for (const role of ['viewer', 'editor', 'secret-admin', 'auditor', 'admin'] as const)
      tokens.set(role, (await call('tokens.create', { name: role, role })).token);
    const attempts = {
      read: ['GET', '/v1/collections'],
      edit: ['POST', '/v1/collections', { name: `c-${Math.random().toString(36).slice(2)}` }],
      secrets: ['DELETE', '/v1/secrets/nobody'],
      audit: ['GET', '/v1/audit'],
      admin: ['GET', '/v1/tokens'],
    } as const;
    const permitted: Record<string, string[]> = {
      viewer: ['read'],
      editor: ['read', 'edit'],
      'secret-admin': ['read', 'secrets'],
      auditor: ['read', 'audit'],
      admin: ['read', 'edit', 'secrets', 'audit', 'admin'],
    };
    for (const [role, token] of tokens) {
      for (const [permission, [method, path, body]] of Object.entries(attempts)) {
        const { status } = await service.request(method, path, { token, ...(body ? { body } : {}) });
        if (permitted[role]?.includes(permission)) expect(status, `${role} ${permission}`).not.toBe(403);
        else expect(status, `${role} ${permission}`).toBe(403);
      }
    }
    const admin = tokens.get('admin') as string;
    const workspaces = await service.request('POST', '/v1/workspaces', { token: admin, body: { id: 'another' } });
    expect(workspaces.status).toBe(403);
    const { items } = await call('tokens.list', {});
    expect(JSON.stringify(items)).not.toContain(tokens.get('viewer')?.split('_').slice(2).join('_'));
    const viewer = items.find(({ name }) => name === 'viewer');
    expect(viewer?.lastUsedAt).not.toBe(null);
    await call('tokens.revoke', { id: viewer?.id ?? '' });
    for (const token of [tokens.get('viewer') as string, 'lgt_', `lgt_000000000000_${'x'.repeat(43)}`, 'x', null]) {
      const refused = await service.request('GET', '/v1/collections', { token });
      expect(refused.status).toBe(401);
      expect(refused.headers.get('www-authenticate')).toBe('Bearer');
    }
    const short = await call('tokens.create', { name: 'short', role: 'viewer', expiresInDays: 0.001 });
    expect((await service.request('GET', '/v1/collections', { token: short.token })).status).toBe(200);
    expect(Date.parse(short.expiresAt ?? '') - Date.now()).toBeLessThan(90_000);
  });

  test('the process that listens adds and lists without the identity, and nothing reads a value', async () => {
    const identity = join(service.deployment.dataDir, 'keys', 'identity.txt');
    await service.down();
    await rename(identity, `${identity}.away`);
    await service.up('--role', 'api');
    const stored = await call('secrets.put', { id: 'blind', type: 's3', credential: service.deployment.credential() });
    expect(stored.versions?.length).toBe(1);
    expect((await call('secrets.list', { type: 's3' })).items.map(({ id }) => id)).toContain('blind');
    const described = await call('secrets.describe', { id: 'blind' });
    expect(JSON.stringify(described)).not.toContain(service.deployment.accessKeyId);
    for (const path of ['value', 'reveal', 'versions/1', 'versions/1:reveal'])
      expect((await service.request('GET', `/v1/secrets/blind/${path}`)).status).toBe(404);
    // A worker without the identity cannot read either: it says so, and the API passes that on.
    await service.down();
    await service.up();
    await call('collections.create', { name: 'blind' });
    const where = { collection: 'blind', connectorType: 's3' as const, credentialId: 'blind', path: 's3://docs' };
    const { id } = await call('sources.create', where);
    await expect(call('sources.check', { id })).rejects.toMatchObject({ code: 'identity_missing' });
    await rename(`${identity}.away`, identity);
    expect(await call('sources.check', { id })).toMatchObject({ readable: true });
    expect(await call('secrets.remove', { id: 'blind', force: true })).toEqual({ removed: 'blind' });
  });

  test('nothing of all this shows a credential: no answer, no log line, no event, no row, no file', async () => {
    const { secretAccessKey, accessKeyId, folder } = service.deployment;
    for (const body of [
      { id: 'x', type: 's3', credential: { [accessKeyId]: secretAccessKey } },
      { id: secretAccessKey, type: 's3', credential: {} },
      { id: 'x', type: secretAccessKey, credential: { access_key_id: [secretAccessKey] } },
      `{"id": ${secretAccessKey}`,
      JSON.stringify([secretAccessKey]),
    ]) {
      const { status } = await service.request('POST', '/v1/secrets', { body });
      expect(status).toBe(400);
    }
    await service.request('GET', `/v1/secrets/${encodeURIComponent(secretAccessKey)}`);
    const values = [secretAccessKey, accessKeyId];
    expect(service.said.length).toBeGreaterThan(150);
    expect(findIn(Buffer.from(service.said.join('\n')), values)).toEqual([]);
    await service.down();
    expect(findIn(Buffer.from(await service.deployment.everyRow()), values)).toEqual([]);
    expect(await findInFiles(folder, values)).toEqual([]);
  });
});
