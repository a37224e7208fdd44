import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Deployment } from '../deployment.ts';
import type { Fault } from '../servers/fault.ts';

function canMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' });
    return process.getuid?.() === 0;
  } catch {
    return false;
  }
}

async function documents(deployment: Deployment): Promise<{ path: string; size: number; id: string }[]> {
  return (
    await deployment.json<{ items: { path: string; size: number; id: string }[] }>('documents', 'list', 'handbook')
  ).items;
}

test.skipIf(!canMount())(
  'a disk that is full ends the run with words that help, and nothing that it has is broken',
  async () => {
    await using deployment = await Deployment.start();
    const disk = join(deployment.folder, 'disk');
    await mkdir(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]);
    try {
      deployment.environment = { ...deployment.environment, LOCKGATE_CONTENT_STORE: disk };
      for (let i = 0; i < 40; i++) deployment.s3.put('docs', `k${i}`, Buffer.alloc(100_000, `content ${i} `));
      await deployment.putSecret();
      await deployment.connect();
      const full = await deployment.run('sync', 'handbook');
      expect(full.code).toBe(1);
      expect(full.stdout).toContain('ENOSPC');
      expect(full.stdout).toContain('Make room on the disk.');
      const some = await documents(deployment);
      expect(some.length).toBeLessThan(40);
      for (const { id, size } of some) {
        expect(size).toBe(100_000);
        expect((await deployment.run('documents', 'get', id)).stdout).toHaveLength(100_000);
      }
      execFileSync('mount', ['-o', 'remount,size=20m', disk]);
      expect((await deployment.run('sync', 'handbook')).code).toBe(0);
      expect(await documents(deployment)).toHaveLength(40);
    } finally {
      execFileSync('umount', ['--lazy', disk]);
    }
  },
  120_000,
);

test('a content store that goes away in mid-run fails the run, and the next one goes on from what was stored', async () => {
  await using deployment = await Deployment.start();
  deployment.s3.buckets.set('store', new Map());
  deployment.environment = {
    ...deployment.environment,
    LOCKGATE_CONTENT_STORE: 's3://store',
    LOCKGATE_CONTENT_ENDPOINT: deployment.s3.endpoint,
    LOCKGATE_CONTENT_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: deployment.accessKeyId,
    AWS_SECRET_ACCESS_KEY: deployment.secretAccessKey,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  for (let i = 0; i < 1500; i++) deployment.s3.put('docs', `k${i}`, `content ${i}`);
  await deployment.putSecret();
  await deployment.connect();
  let puts = 0;
  const away: Fault = { kind: 'error', status: 503, code: 'ServiceUnavailable' };
  deployment.s3.fault = ({ operation, bucket }) =>
    bucket === 'store' && operation === 'PutObject' && ++puts > 600 ? away : undefined;
  const failed = await deployment.run('sync', 'handbook');
  expect(failed.code).toBe(1);
  expect(failed.stdout).toContain('content store');
  const fetched = deployment.s3.counts.get('GetObject') ?? 0;
  const { total } = await deployment.json<{ total: number }>('documents', 'list', 'handbook');
  expect(total).toBeLessThan(1500);
  deployment.s3.fault = () => undefined;
  expect((await deployment.run('sync', 'handbook')).code).toBe(0);
  expect(await deployment.json('documents', 'list', 'handbook')).toMatchObject({ total: 1500 });
  // What was stored is not fetched again.
  expect((deployment.s3.counts.get('GetObject') ?? 0) - fetched).toBe(1500 - total);
});
