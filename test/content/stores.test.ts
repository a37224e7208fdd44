import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { openPackIndex } from '../../src/collections/pack-index.ts';
import { readConfig } from '../../src/config.ts';
import { openDirectoryStore } from '../../src/content/directory.ts';
import { openContent } from '../../src/content/open.ts';
import { findIn } from '../canary.ts';
import { contentStoreConformance } from '../conformance/content-store.ts';
import { freshDatabase } from '../database.ts';
import { Deployment } from '../deployment.ts';
import { Azurite } from '../servers/azurite.ts';
import type { Fault } from '../servers/fault.ts';
import { GcsServer } from '../servers/gcs.ts';
import { S3Server } from '../servers/s3.ts';

const AWAY: Fault = { kind: 'error', status: 403, code: 'AccessDenied' };
afterAll(() => {
  vi.unstubAllEnvs();
});

async function opened(folder: string, environment: Record<string, string>) {
  const { content } = readConfig({ LOCKGATE_DATA_DIR: folder, ...environment });
  return { store: await openContent(content, folder), staging: join(folder, 'staging') };
}

contentStoreConformance('directory', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lockgate-content-'));
  const { store } = await opened(folder, {});
  return { store, staging: join(folder, 'content', 'staging'), close: () => rm(folder, { recursive: true }) };
});

contentStoreConformance('directory with packs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lockgate-content-'));
  const db = await freshDatabase();
  const store = await openDirectoryStore(
    join(folder, 'content'),
    openPackIndex(async () => db),
  );
  return {
    store,
    staging: join(folder, 'content', 'staging'),
    close: async () => {
      await db[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
});

contentStoreConformance('s3', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lockgate-content-'));
  const server = await new S3Server().listen();
  server.pageSize = 100;
  server.keys.set('AKIAFAKECONTENT', { secretAccessKey: 'fake-content-secret' });
  server.buckets.set('content', new Map());
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) vi.stubEnv(name, undefined);
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIAFAKECONTENT');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'fake-content-secret');
  const environment = {
    LOCKGATE_CONTENT_STORE: 's3://content/below/here/',
    LOCKGATE_CONTENT_ENDPOINT: server.endpoint,
    LOCKGATE_CONTENT_REGION: 'us-east-1',
  };
  return {
    ...(await opened(folder, environment)),
    away: (away) => {
      server.fault = () => (away ? AWAY : undefined);
    },
    silent: (silent) => {
      server.fault = () => (silent ? { kind: 'stall' } : undefined);
    },
    close: async () => {
      const keys = [...(server.buckets.get('content')?.keys() ?? [])];
      expect(keys.every((key) => /^below\/here\/[0-9a-f]{2}\/[0-9a-f]{2}\/[0-9a-f]{64}$/.test(key))).toBe(true);
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
});

contentStoreConformance('gcs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lockgate-content-'));
  const server = await new GcsServer().listen();
  server.pageSize = 100;
  server.buckets.set('content', new Map());
  const file = join(folder, 'key.json');
  await writeFile(file, JSON.stringify(server.createKeyFile('content')));
  const environment = {
    LOCKGATE_CONTENT_STORE: 'gs://content/below',
    LOCKGATE_CONTENT_ENDPOINT: server.endpoint,
    LOCKGATE_CONTENT_CREDENTIAL_FILE: file,
  };
  return {
    ...(await opened(folder, environment)),
    away: (away) => {
      server.fault = () => (away ? AWAY : undefined);
    },
    silent: (silent) => {
      server.fault = () => (silent ? { kind: 'stall' } : undefined);
    },
    close: async () => {
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
});

for (const by of ['account key', 'SAS'] as const) {
  contentStoreConformance(`azure by ${by}`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-content-'));
    const server = await Azurite.start();
    await server.service.createContainer('content');
    const file = join(folder, 'credential');
    await writeFile(file, by === 'SAS' ? `${server.sas('content', 'rwdlc')}\n` : `${server.accountKey}\n`);
    const environment = {
      LOCKGATE_CONTENT_STORE: 'azure://content/below',
      LOCKGATE_CONTENT_ACCOUNT: server.account,
      LOCKGATE_CONTENT_ENDPOINT: server.endpoint,
      LOCKGATE_CONTENT_CREDENTIAL_FILE: file,
    };
    return {
      ...(await opened(folder, environment)),
      close: async () => {
        await server[Symbol.asyncDispose]();
        await rm(folder, { recursive: true });
      },
    };
  });
}

test('a deployment keeps its documents in a bucket of its own, and reads them from there', async () => {
  await using deployment = await Deployment.start();
  deployment.s3.buckets.set('content', new Map());
  deployment.s3.put('docs', 'a.txt', 'text of a');
  deployment.environment = {
    ...deployment.environment,
    LOCKGATE_CONTENT_STORE: 's3://content',
    LOCKGATE_CONTENT_ENDPOINT: deployment.s3.endpoint,
    AWS_ACCESS_KEY_ID: deployment.accessKeyId,
    AWS_SECRET_ACCESS_KEY: deployment.secretAccessKey,
  };
  await deployment.putSecret();
  await deployment.connect();
  const { code, stderr } = await deployment.run('sync', 'handbook');
  expect(code, stderr).toBe(0);
  expect(deployment.s3.buckets.get('content')?.size).toBe(1);
  const { items } = await deployment.json<{ items: { id: string }[] }>('documents', 'list', 'handbook');
  expect((await deployment.run('documents', 'get', items[0]?.id ?? '')).stdout).toBe('text of a');
  expect((await deployment.run('doctor')).stdout).toContain('s3: content/');
  deployment.s3.fault = ({ bucket }) =>
    bucket === 'content'
      ? { kind: 'error', status: 403, code: 'AccessDenied', message: deployment.secretAccessKey }
      : undefined;
  deployment.s3.put('docs', 'b.txt', 'text of b');
  const failed = await deployment.run('sync', 'handbook');
  expect(failed.code).toBe(1);
  expect(failed.stdout).toContain('Check the rights');
  expect(findIn(Buffer.from(failed.stdout + failed.stderr), [deployment.secretAccessKey])).toEqual([]);
  deployment.s3.fault = () => undefined;
  expect((await deployment.run('sync', 'handbook')).stdout).toContain('1 added');
  for (const [value, message] of [
    ['ftp://x/y', 'no folder and no bucket'],
    ['azure://container', 'LOCKGATE_CONTENT_ACCOUNT'],
  ] as const) {
    deployment.environment.LOCKGATE_CONTENT_STORE = value;
    expect((await deployment.run('collections', 'list')).stderr).toContain(message);
  }
  deployment.environment.LOCKGATE_CONTENT_STORE = 's3://content';
});
