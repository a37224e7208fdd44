import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Service } from '../service.ts';

test('workers, bounds, labels and documents that fail, over the API and the command line', async () => {
  await using service = await Service.start();
  const { deployment } = service;
  const { call } = service.client();
  for (let i = 0; i < 10; i++) deployment.s3.put('docs', `k${i}`, `content ${i}`);
  deployment.s3.fault = ({ operation, key }) =>
    operation === 'GetObject' && key === 'k3' ? { kind: 'error', status: 403, code: 'AccessDenied' } : undefined;
  await call('secrets.put', { id: 'my-creds', type: 's3', credential: deployment.credential() });
  await call('collections.create', { name: 'handbook' });
  const wish = { collection: 'handbook', connectorType: 's3', credentialId: 'my-creds', path: 's3://docs' } as const;
  const source = await call('sources.create', wish);
  const sync = async () => {
    const { id } = await call('sources.sync', { id: source.id });
    for (;;) {
      const run = await call('runs.get', { id });
      if (run.state !== 'queued' && run.state !== 'running') return run;
      await wait(50);
    }
  };
  expect(await sync()).toMatchObject({ state: 'completed', added: 9, failed: 1, waitsFor: null });
  const { items: workers } = await call('workers.list', {});
  expect(workers).toMatchObject([{ alive: true, labels: [], leads: 0, helps: 0 }]);

  const { items } = await call('failures.list', { collection: 'handbook' });
  expect(items).toMatchObject([{ key: 'k3', code: 'permission_denied', attempts: 1, givenUpAt: null }]);
  deployment.s3.fault = () => undefined;
  expect(await call('failures.retry', { collection: 'handbook', path: 'k3' })).toEqual({ retried: 1 });
  expect(await call('failures.retry', { collection: 'handbook', path: 'nothing' })).toEqual({ retried: 0 });

  await call('collections.update', { collection: 'handbook', maxDocuments: 9 });
  expect(await sync()).toMatchObject({ state: 'failed', error: { code: 'quota_exceeded' } });
  expect(await call('collections.update', { collection: 'handbook', maxDocuments: null })).toMatchObject({
    name: 'handbook',
    maxDocuments: null,
  });
  expect(await sync()).toMatchObject({ state: 'completed', added: 1, failed: 0 });

  await call('sources.update', { id: source.id, workerLabel: 'zone-a' });
  const { id } = await call('sources.sync', { id: source.id });
  await wait(1500);
  expect(await call('runs.get', { id })).toMatchObject({ state: 'queued', waitsFor: 'worker' });
  const bad = await service.request('PATCH', `/v1/sources/${source.id}`, { body: { workerLabel: 'Not a label' } });
  expect(bad.status).toBe(400);

  // The same from the command line.
  expect((await deployment.run('runs', 'show', id)).stdout).toContain('no worker has the label');
  expect((await deployment.run('workers', 'list')).stdout).toContain(workers[0]?.id ?? 'nobody');
  expect((await deployment.run('collections', 'limit', 'handbook', '--documents', '7')).stdout).toContain(
    '7 documents',
  );
  expect((await deployment.run('collections', 'limit', 'handbook', '--documents', 'none')).stdout).toContain(
    'any number',
  );
  const wrong = await deployment.run('collections', 'limit', 'handbook', '--documents', 'many');
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).not.toContain('    at ');
  expect((await deployment.run('documents', 'failures', 'handbook')).stdout).toContain('Everything was fetched.');
  deployment.environment.LOCKGATE_WORKER_LABELS = 'zone-a';
  const labelled = deployment.start(['worker', '--no-schedule']);
  for (let tries = 0; tries < 200 && (await call('runs.get', { id })).state !== 'completed'; tries++) await wait(100);
  expect(await call('runs.get', { id })).toMatchObject({ state: 'completed', waitsFor: null });
  labelled.child.kill('SIGTERM');
  expect((await labelled.ended).code).toBe(0);
});
