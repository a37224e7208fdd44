import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Endpoint, pathFields } from '../../src/contract/api/endpoint.ts';
import { API } from '../../src/contract/api/index.ts';
import { findIn } from '../canary.ts';
import { Service } from '../service.ts';

let service: Service;
beforeAll(async () => {
  service = await Service.start();
  service.deployment.environment.LOCKGATE_REQUESTS_PER_MINUTE = '1000000';
  await service.down();
  await service.up();
});
afterAll(async () => service[Symbol.asyncDispose](), 60_000);

test('a token of one workspace sees, uses and changes nothing of another, on any route', async () => {
  const boss = service.client();
  for (const id of ['ours', 'theirs']) await boss.call('workspaces.create', { id });
  const [ours, theirs] = [service.client(service.token, 'ours'), service.client(service.token, 'theirs')];
  service.deployment.s3.put('docs', 'zebra.txt', 'zebra text');
  await ours.call('secrets.put', { id: 'zebra-creds', type: 's3', credential: service.deployment.credential() });
  const collection = await ours.call('collections.create', { name: 'zebra-collection' });
  const place = { connectorType: 's3' as const, credentialId: 'zebra-creds', path: 's3://docs' };
  const source = await ours.call('sources.create', { collection: 'zebra-collection', ...place });
  const run = await ours.call('sources.sync', { id: source.id });
  for (;;) if ((await ours.call('runs.get', { id: run.id })).state === 'completed') break;
  const plan = await ours.call('sources.plan', { id: source.id });
  const { items } = await ours.call('documents.list', { collection: collection.id });
  const document = items[0]?.id ?? '';
  const token = await ours.call('tokens.create', { name: 'zebra-token', role: 'admin' });
  const webhook = await ours.call('webhooks.create', {
    collection: collection.id,
    url: 'https://example.com/zebra-hook',
  });
  const foreign = (await theirs.call('tokens.create', { name: 'foreign', role: 'admin' })).token;

  const marks = ['zebra', collection.id, source.id, run.id, plan.id, document, token.id, webhook.id];
  const ids = [
    collection.id,
    'zebra-collection',
    'zebra-creds',
    source.id,
    run.id,
    plan.id,
    document,
    token.id,
    webhook.id,
  ];
  const bodies: Record<string, object> = {
    'secrets.put': { id: 'zebra-creds', type: 'gcs', credential: {} },
    'collections.create': { name: 'their-own' },
    'collections.rename': { name: 'renamed' },
    'sources.create': place,
    'sources.update': { path: 's3://stolen' },
    'sources.move': { collection: 'zebra-collection' },
    'webhooks.create': { url: 'https://example.com/other' },
    'webhooks.update': { enabled: false },
    apply: { collections: [{ name: 'their-own', sources: [place] }] },
    'tokens.create': { name: 'x', role: 'viewer' },
    'workspaces.create': { id: 'third' },
  };
  const query: Record<string, string> = {
    'sources.remove': '?documents=remove',
    'sources.explain': '?path=zebra.txt',
    'secrets.list': '?type=s3',
    'runs.list': `?collection=zebra-collection`,
    'sources.list': `?collection=${collection.id}`,
  };
  let walked = 0;
  for (const workspace of [undefined, 'ours', 'default', 'nowhere']) {
    const headers: Record<string, string> = workspace ? { 'lockgate-workspace': workspace } : {};
    for (const [name, endpoint] of Object.entries(API) as [string, Endpoint][]) {
      const inPath = pathFields(endpoint.path);
      for (const id of inPath.length > 0 ? ids : ['']) {
        const path = `${endpoint.path.replace(/\{\w+\}/, encodeURIComponent(id))}${query[name] ?? ''}`;
        const body = endpoint.method === 'POST' || endpoint.method === 'PATCH' ? (bodies[name] ?? {}) : undefined;
        const answer = await service.request(endpoint.method, path, {
          token: foreign,
          headers,
          ...(body ? { body } : {}),
        });
        walked++;
        const what = `${workspace} ${name} ${path}: ${answer.status} ${answer.text}`;
        if (workspace) expect(answer.status, what).toBe(403);
        else if (inPath.length > 0) expect([400, 403, 404], what).toContain(answer.status);
        // What they asked for may be repeated to them; nothing else of ours may.
        const sent = path + JSON.stringify(body ?? {});
        const told = marks
          .concat('zebra-creds', 'zebra-collection', 'zebra.txt')
          .filter((mark) => mark !== 'zebra' && sent.includes(mark))
          .reduce((text, mark) => text.replaceAll(mark, ''), answer.text);
        // Of what they did themselves, in their own workspace, they may read.
        if (name === 'audit.list' && answer.status === 200) {
          const { items: lines } = answer.json as { items: { secret: { workspace: string } }[] };
          expect(new Set(lines.map(({ secret }) => secret.workspace))).toEqual(new Set(['theirs']));
          continue;
        }
        expect(findIn(Buffer.from(told), marks), what).toEqual([]);
      }
    }
    for (const stream of [
      `/v1/runs/${run.id}/events`,
      `/v1/collections/${collection.id}/changes/stream`,
      `/v1/documents/${document}/content`,
    ]) {
      const answer = await service.request('GET', stream, { token: foreign, headers });
      expect([403, 404], stream).toContain(answer.status);
    }
  }
  expect(walked).toBeGreaterThan(500);
  // All of ours is as it was.
  expect(await ours.call('collections.get', { collection: collection.id })).toMatchObject({
    documents: 1,
    name: 'zebra-collection',
  });
  expect(await ours.call('secrets.describe', { id: 'zebra-creds' })).toMatchObject({ connectorType: 's3' });
  expect(await ours.call('webhooks.list', { collection: collection.id })).toMatchObject({ items: [{ enabled: true }] });
  expect((await ours.call('tokens.list', {})).items.find(({ id }) => id === token.id)?.revokedAt).toBe(null);
  expect((await theirs.call('workspaces.list', {})).items.length).toBeGreaterThan(1);
  const own = await service.client(foreign).call('workspaces.list', {});
  expect(own.items.map(({ id }) => id)).toEqual(['theirs']);
});
