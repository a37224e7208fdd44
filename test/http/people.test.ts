import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findIn, findInFiles } from '../canary.ts';
import { bringVault } from '../own-vault.ts';
import { Service } from '../service.ts';

/** What the pages ask of the service, and other people may ask as well. */
describe('what people ask before and after a sync', () => {
  let service: Service;
  const call: ReturnType<Service['client']>['call'] = (name, given) => service.client().call(name, given);
  const synced = async (id: string) => {
    const { id: run } = await call('sources.sync', { id });
    for (;;) {
      const found = await call('runs.get', { id: run });
      if (found.state !== 'queued' && found.state !== 'running') return found;
      await wait(100);
    }
  };
  beforeAll(async () => {
    service = await Service.start();
    const { s3 } = service.deployment;
    for (let i = 0; i < 150; i++) s3.put('docs', `folder/Doc ${String(i).padStart(3, '0')}.txt`, `text ${i}`);
    for (let i = 0; i < 20; i++) s3.put('docs', `drafts/draft ${i}.txt`, 'draft');
    s3.put('docs', 'large.bin', 'x'.repeat(5000));
  });
  afterAll(async () => service[Symbol.asyncDispose](), 60_000);

  test('a credential is tried by a worker before it is kept, and nothing of it stays', async () => {
    const credential = service.deployment.credential();
    const good = await call('secrets.try', { type: 's3', credential, path: 's3://docs' });
    expect(good).toMatchObject({ reachable: true, readable: true });
    const wrong = { ...credential, secret_access_key: 'fake/wrong+key' };
    expect(await call('secrets.try', { type: 's3', credential: wrong, path: 's3://docs' })).toMatchObject({
      readable: false,
    });
    await expect(call('secrets.try', { type: 's3', credential: {}, path: 's3://docs' })).rejects.toMatchObject({
      code: expect.stringMatching(/^invalid_|credential_/),
    });
    expect((await call('secrets.list', {})).items).toEqual([]);
    const { items } = await call('audit.list', { limit: 1000 });
    const tried = items.filter(({ secret }) => secret.secretId.startsWith('lockgate-try-'));
    // Written down like any other access, and removed each time.
    expect(tried.filter(({ action, outcome }) => action === 'secret.access' && outcome === 'ok').length).toBe(2);
    expect(tried.filter(({ action, outcome }) => action === 'secret.remove' && outcome === 'ok').length).toBe(2);
    const canaries = [service.deployment.secretAccessKey, 'fake/wrong+key'];
    expect(findIn(Buffer.from(await service.deployment.everyRow()), canaries)).toEqual([]);
    expect(await findInFiles(service.deployment.dataDir, canaries)).toEqual([]);
  });

  test('what was left by a process that died while it tried is hidden, and removed by the next', async () => {
    const words = [
      'secrets',
      'put',
      'lockgate-try-0123456789abcdef',
      '--type',
      's3',
      '--expires',
      '2020-01-01T00:00:00Z',
    ];
    const left = await service.deployment.start(words, JSON.stringify(service.deployment.credential())).ended;
    expect(left.code).toBe(0);
    expect((await call('secrets.list', {})).items).toEqual([]);
    await call('secrets.try', { type: 's3', credential: service.deployment.credential(), path: 's3://docs' });
    await expect(call('secrets.describe', { id: 'lockgate-try-0123456789abcdef' })).rejects.toMatchObject({
      code: 'credential_not_found',
    });
  });

  test('a preview says what a source would have, what the filters drop and why, and keeps nothing', async () => {
    await call('secrets.put', { id: 'my-creds', type: 's3', credential: service.deployment.credential() });
    await call('collections.create', { name: 'handbook' });
    const place = { connectorType: 's3' as const, credentialId: 'my-creds', path: 's3://docs' };
    const found = await call('sources.preview', {
      collection: 'handbook',
      ...place,
      exclude: ['drafts/**'],
      maxBytes: 1000,
    });
    expect(found).toMatchObject({ complete: true, listed: 171, matched: 150, leftOut: 21 });
    expect(found.matches.length).toBe(100);
    expect(found.matches[0]).toMatchObject({ path: 'folder/Doc 000.txt', size: 6 });
    expect(new Set(found.dropped.map(({ reason }) => reason))).toEqual(
      new Set(['an exclude rule drops it', 'larger than the source takes']),
    );
    expect(found.folders).toEqual([
      { path: 'drafts', objects: 20, bytes: 100 },
      { path: 'folder', objects: 150, bytes: expect.any(Number) },
    ]);
    expect((await call('sources.list', {})).items).toEqual([]);
    const none = await call('sources.preview', { collection: 'handbook', ...place, include: ['*.pdf'] });
    expect(none).toMatchObject({ matched: 0, warnings: ['The filters leave nothing of what lies there.'] });
    await expect(
      call('sources.preview', { collection: 'handbook', ...place, path: 's3://nowhere' }),
    ).rejects.toMatchObject({ code: expect.any(String) });
  });

  test('schedules are said in words, with their next times in their zone', async () => {
    const explain = (schedule: object) => call('schedules.explain', { schedule: schedule as never, times: 3 });
    const cron = await explain({ cron: '30 6 * * 1-5', timezone: 'Europe/Paris' });
    expect(cron.words).toBe('At 06:30, Monday through Friday (Europe/Paris)');
    expect(cron.next.length).toBe(3);
    for (const time of cron.next) {
      const there = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Paris', timeStyle: 'short' });
      expect(there.format(new Date(time))).toBe('06:30');
    }
    expect((await explain({ every: '90s' })).words).toBe('Every 90 seconds');
    expect((await explain({ every: '1d' })).words).toBe('Every day');
    await expect(explain({ cron: 'x', timezone: 'UTC' })).rejects.toMatchObject({ code: 'invalid_cron' });
    await expect(explain({ cron: '* * * * *', timezone: 'Mars' })).rejects.toMatchObject({ code: 'invalid_timezone' });
  });

  test('the overview, histories, searches and removals are what happened', async () => {
    const { s3 } = service.deployment;
    const source = await call('sources.create', {
      collection: 'handbook',
      connectorType: 's3',
      credentialId: 'my-creds',
      path: 's3://docs/folder',
    });
    expect(await synced(source.id)).toMatchObject({ state: 'completed', added: 150 });
    const search = await call('documents.list', { collection: 'handbook', search: 'DOC 01', sort: 'path' });
    expect(search.total).toBe(10);
    const [document] = search.items;
    s3.put('docs', 'folder/Doc 010.txt', 'changed text');
    await synced(source.id);
    const history = await call('documents.history', { id: document?.id ?? '' });
    expect(history.items.map(({ kind }) => kind)).toEqual(['changed', 'added']);
    const glance = await call('overview.get', { days: 7 });
    expect(glance).toMatchObject({ collections: 1, documents: 150, sources: { total: 1, failing: 0 }, waiting: 0 });
    expect(glance.days.length).toBe(7);
    expect(glance.days.at(-1)).toMatchObject({ runs: 2, added: 150, changed: 1, documents: 150 });
    expect(glance.days.at(-2)?.documents).toBe(0);
    s3.buckets.set('docs', new Map());
    const run = await synced(source.id);
    expect(run.state).toBe('needs_approval');
    const removals = await call('runs.removals', { id: run.id, limit: 100 });
    expect(removals.total).toBe(150);
    const rest = await call('runs.removals', { id: run.id, limit: 100, cursor: removals.nextCursor ?? '' });
    const paths = [...removals.items, ...rest.items].map(({ path }) => path);
    expect(new Set(paths).size).toBe(150);
    expect((await call('overview.get', {})).attention).toMatchObject([{ kind: 'needs_approval', runId: run.id }]);
    await call('runs.approve', { id: run.id });
    for (let tries = 0; tries < 100 && (await call('overview.get', {})).documents > 0; tries++) await wait(100);
    const gone = await call('documents.history', { id: document?.id ?? '' });
    expect(gone.items.map(({ kind }) => kind)).toEqual(['removed', 'changed', 'added']);
    await expect(call('documents.history', { id: 'rubbish' })).rejects.toMatchObject({ code: 'document_not_found' });
  });

  test('a Vault is registered and forgotten without what opens it being anywhere', async () => {
    const opener = `hvs.fake-${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`;
    const url = 'https://vault.example.com:8200';
    expect(await call('managers.register', { name: 'team', url, opener })).toEqual({ name: 'team', backend: 'vault' });
    expect((await call('managers.list', {})).items).toMatchObject([
      { name: 'default' },
      { name: 'team', of: 'workspace' },
    ]);
    await expect(call('managers.register', { name: 'default', url, opener })).rejects.toMatchObject({
      code: 'name_taken',
    });
    await expect(call('managers.register', { name: 'other', url, auth: 'approle', opener })).rejects.toMatchObject({
      code: 'invalid_settings',
    });
    expect(findIn(Buffer.from(await service.deployment.everyRow()), [opener])).toEqual([]);
    await call('managers.unregister', { name: 'team' });
    await expect(call('managers.unregister', { name: 'team' })).rejects.toMatchObject({
      code: 'secret_manager_unknown',
    });
    expect((await call('secrets.list', {})).items.map(({ id }) => id)).toEqual(['my-creds']);
    expect(await call('members.list', {})).toEqual({ oidc: false, items: [] });
    expect(await call('about.get', {})).toMatchObject({ secretManager: 'default', oidc: false });
  });

  test('what lies in a Vault of the workspace is listed, described and removed by a worker, to whom no value is sent', async () => {
    const { vault, opener } = await bringVault(service);
    await using _vault = vault;
    const { deployment } = service;
    expect((await call('secrets.list', { manager: 'ours' })).items).toEqual([]);
    deployment.s3.put('docs', 'ours/a.txt', 'text');
    const credential = deployment.credential();
    await expect(
      call('secrets.put', { id: 'kept-there', type: 's3', credential, manager: 'ours' }),
    ).rejects.toMatchObject({ code: 'secret_manager_of_workers' });
    await deployment.putSecret('kept-there', credential, 's3', '--manager', 'ours');
    expect((await call('secrets.list', { manager: 'ours' })).items).toMatchObject([
      { id: 'kept-there', connectorType: 's3' },
    ]);
    expect((await call('secrets.list', { manager: 'ours', type: 'gcs' })).items).toEqual([]);
    await expect(call('secrets.describe', { id: 'not-there', manager: 'ours' })).rejects.toMatchObject({
      code: 'credential_not_found',
    });
    await expect(call('secrets.list', { manager: 'nobodys' })).rejects.toMatchObject({
      code: 'secret_manager_unknown',
    });
    const place = { collection: 'from-ours', credentialId: 'ours:kept-there' };
    await call('collections.create', { name: place.collection });
    await expect(call('sources.create', { ...place, connectorType: 'gcs', path: 'gs://docs' })).rejects.toMatchObject({
      code: 'credential_wrong_type',
    });
    const { id } = await call('sources.create', { ...place, connectorType: 's3', path: 's3://docs/ours' });
    expect(await synced(id)).toMatchObject({ state: 'completed', added: 1 });
    const described = await call('secrets.describe', { id: 'kept-there', manager: 'ours' });
    expect(described).toMatchObject({ versions: [{ version: '1' }], sources: [{ id }] });
    await expect(call('secrets.remove', { id: 'kept-there', manager: 'ours' })).rejects.toMatchObject({
      code: 'credential_in_use',
    });
    await call('sources.remove', { id, documents: 'remove' });
    await call('secrets.remove', { id: 'kept-there', manager: 'ours' });
    expect((await call('secrets.list', { manager: 'ours' })).items).toEqual([]);
    const values = [opener, deployment.secretAccessKey];
    expect(findIn(Buffer.from(await deployment.everyRow()), values)).toEqual([]);
    expect(findIn(Buffer.from(service.said.join('')), values)).toEqual([]);
  });
});
