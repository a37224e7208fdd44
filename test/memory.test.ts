import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Deployment } from './deployment.ts';

const MIB = 1024 * 1024;

/** The peak of a process's memory so far, in bytes. */
async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

test('a listing of 1,000,000 keys is compared within 300 MB', async () => {
  await using deployment = await Deployment.start();
  const server = spawn(
    process.execPath,
    [fileURLToPath(new URL('servers/endless-listing.ts', import.meta.url)), '1000000'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [line] = (await once(server.stdout, 'data')) as [Buffer];
  const endpoint = line.toString().trim();
  try {
    deployment.environment = { ...deployment.environment, LOCKGATE_ALLOWED_ENDPOINTS: endpoint };
    await deployment.putSecret('my-creds', deployment.credential({ endpoint }));
    await deployment.connect('handbook', '--exclude', '**');
    const command = deployment.start(['sync', 'handbook', '--json']);
    let peak = 0;
    const watch = setInterval(async () => {
      peak = Math.max(peak, await peakOf(command.pid));
    }, 100);
    const { code, stdout, stderr } = await command.ended;
    clearInterval(watch);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout).runs[0]).toMatchObject({
      listed: 1_000_000,
      excluded: 1_000_000,
      added: 0,
      state: 'completed',
    });
    expect(peak).toBeGreaterThan(20 * MIB);
    process.stdout.write(`peak memory over 1,000,000 keys: ${Math.round(peak / MIB)} MiB\n`);
    expect(peak).toBeLessThan(300 * MIB);
  } finally {
    server.kill();
  }
}, 300_000);
