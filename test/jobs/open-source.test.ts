import { expect, test } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import type { SecretReader } from '../../src/contract/secret-manager.ts';
import { Limits, openSource } from '../../src/jobs/open-source.ts';
import { runtimeFor } from '../runtime.ts';
import { GcsServer } from '../servers/gcs.ts';

const signal = new AbortController().signal;

test('tokens that are revoked while their credential is good are made anew, once a minute', async () => {
  await using server = await new GcsServer().listen();
  server.buckets.set('docs', new Map());
  server.put('docs', 'a.txt', 'text');
  const key = { ...server.createKeyFile('reader'), endpoint: server.endpoint };
  let accesses = 0;
  const reader: SecretReader = {
    access: async () => {
      accesses++;
      const ref = { manager: 'm', workspace: 'w', secretId: 'k', version: '1' };
      return { ref, connectorType: 'gcs', scope: null, value: new Secret(key) };
    },
  };
  const runtime = runtimeFor(server.endpoint);
  let ahead = 0;
  const clock = { ...runtime.clock, now: () => Date.now() + ahead };
  const { source } = await openSource(
    {
      connectorType: 'gcs',
      manager: 'm',
      workspace: 'w',
      credentialId: 'k',
      path: 'gs://docs',
      purpose: { actor: 'test', reason: 'sync' },
    },
    { reader, runtime: { ...runtime, clock }, limits: new Limits(clock) },
  );
  await using _ = source;
  const list = () => source.listPage(null, signal);
  expect((await list()).entries.length).toBe(1);
  expect(accesses).toBe(1);
  for (let minute = 0; minute < 3; minute++) {
    server.tokens.clear();
    await expect(list()).rejects.toMatchObject({ code: 'credential_rejected' });
    ahead += 61_000;
    const all = await Promise.all([list(), list(), list()]);
    expect(all.map(({ entries }) => entries.length)).toEqual([1, 1, 1]);
  }
  server.accounts.clear();
  server.tokens.clear();
  ahead += 61_000;
  await expect(list()).rejects.toMatchObject({ code: 'credential_rejected' });
});
