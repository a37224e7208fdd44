import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { link, mkdtemp, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Head, placeOf } from '../../src/audit/chain.ts';
import { type AuditFiles, fileAuditLog, verifyAuditLog } from '../../src/audit/file-log.ts';
import { readAuditLines } from '../../src/audit/full-files.ts';
import type { AuditEvent } from '../../src/contract/secret-manager.ts';
import { Deployment } from '../deployment.ts';

const MODULE = fileURLToPath(new URL('../../src/audit/file-log.ts', import.meta.url));
let folder: string;
let files: AuditFiles;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockgate-audit-'));
  files = { file: join(folder, 'audit', 'access.jsonl'), keyFile: join(folder, 'keys', 'audit.txt') };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const event = (secretId: string): AuditEvent => ({
  action: 'secret.access',
  actor: 'test',
  secret: { manager: 'default', workspace: 'default', secretId },
  outcome: 'ok',
});
const append = (id: string) => fileAuditLog(files, Date.now).append(event(id));
const lines = async () => (await readFile(files.file, 'utf8')).trimEnd().split('\n');
const kinds = async (...heads: { seq: number; mac: string }[]) =>
  (await verifyAuditLog(files, heads)).problems.map(({ kind }) => kind);

/** Appends for ever, and prints each event that is durable. */
function appender(name: string, before = ''): ChildProcess & { appended: string[] } {
  const code = `import { fileAuditLog } from ${JSON.stringify(MODULE)};
    const log = fileAuditLog(${JSON.stringify(files)}, Date.now);
    for (let i = 0; ; i++) {
      await log.append({ action: 'secret.access', actor: 'child', outcome: 'ok', secret: { manager: 'm', workspace: 'w', secretId: '${name}-' + i } });
      process.stdout.write('${name}-' + i + '\\n');
    }`;
  const words = ['-c', `${before}exec "$0" --input-type=module -e "$1"`, process.execPath, code];
  const child = spawn('/bin/sh', words, { stdio: ['ignore', 'pipe', before ? 'ignore' : 'inherit'] });
  const appended: string[] = [];
  child.stdout.on('data', (chunk) => appended.push(...String(chunk).trimEnd().split('\n')));
  return Object.assign(child, { appended });
}

/** Three times three processes append until they are killed, wherever they are, each time a dozen lines at the least. Returns what was durable. */
async function appendAndKill(meanwhile: () => Promise<unknown>): Promise<string[]> {
  const durable: string[] = [];
  for (let round = 0; round < 3; round++) {
    const children = [0, 1, 2].map((i) => appender(`p${round}${i}`));
    const closed = children.map((child) => new Promise((resolve) => child.once('close', resolve)));
    try {
      await meanwhile();
      // A busy machine takes long to start them.
      await expect.poll(() => children.flatMap(({ appended }) => appended).length).toBeGreaterThan(11);
    } finally {
      for (const child of children) child.kill('SIGKILL');
      await Promise.all(closed);
    }
    for (const child of children) durable.push(...child.appended);
  }
  return durable;
}

describe('the audit log', () => {
  test('finds an edit, a removal, a reordering, an insertion and a truncation, each in every place', async () => {
    for (let i = 0; i < 6; i++) await append(`secret-${i}`);
    expect(await kinds()).toEqual([]);
    const whole = await lines();
    const { head } = await verifyAuditLog(files, []);
    expect(head.seq).toBe(6);
    const write = (changed: readonly string[]) => writeFile(files.file, changed.map((line) => `${line}\n`).join(''));
    for (let i = 0; i < 6; i++) {
      const line = whole[i] as string;
      await write(whole.with(i, line.replace('"outcome":"ok"', '"outcome":"no"')));
      expect(await kinds(), `edit ${i}`).toContain('edited');
      await write(whole.toSpliced(i, 1));
      expect((await kinds()).length, `removal ${i}`).toBeGreaterThan(0);
      await write(whole.toSpliced(i, 0, line));
      expect(await kinds(), `insertion ${i}`).toContain('missing');
      await write(whole.slice(0, i));
      expect(await kinds(), `truncation ${i}`).toEqual(['truncated']);
      if (i > 0) {
        await write(whole.with(i, whole[i - 1] as string).with(i - 1, line));
        expect(await kinds(), `reordering ${i}`).toContain('missing');
      }
    }
    // Whoever cuts the head off too is found by a head that was noted elsewhere.
    await write(whole.slice(0, 3));
    await rm(`${files.file}.head`);
    expect(await kinds()).toEqual([]);
    expect(await kinds(head)).toEqual(['truncated']);
    await append('after the cut');
    for (let i = 0; i < 3; i++) await append('to the old length');
    expect(await kinds(head)).toEqual(['edited']);
    // A chain written anew with another key is none.
    await rm(files.keyFile);
    await append('with another key');
    expect((await kinds()).length).toBeGreaterThan(3);
  });

  test('a log that is cut while it is used goes on with the gap in it', async () => {
    for (let i = 0; i < 4; i++) await append(`secret-${i}`);
    await writeFile(files.file, `${(await lines()).slice(0, 2).join('\n')}\n`);
    await append('next');
    expect(await kinds()).toEqual(['missing']);
  });

  test('a line of which the disk takes only a part is an error, and the chain goes on behind it', async () => {
    for (let i = 0; i < 3; i++) await append(`secret-${i}`);
    const { size } = await stat(files.file);
    // The limit of a process on its files' size, in units of 512 bytes, lies in the middle of a line.
    const limit = Math.ceil(size / 512) + 1;
    const child = appender('child', `ulimit -f ${limit}; `);
    await once(child, 'close');
    expect((await stat(files.file)).size).toBe(limit * 512);
    const released = child.appended.filter(Boolean);
    await append('the last');
    const { problems, head, torn } = await verifyAuditLog(files, []);
    expect({ problems, lines: head.seq }).toEqual({ problems: [], lines: 3 + released.length + 1 });
    // None where a line happens to end at the limit.
    expect(torn).toBeLessThanOrEqual(1);
    const written = await readFile(files.file, 'utf8');
    for (const id of released) expect(written).toContain(`"${id}"`);
  });

  test('a line that lacks nothing but its end is one, and the next follows it', async () => {
    for (let i = 0; i < 3; i++) await append(`secret-${i}`);
    await truncate(files.file, (await stat(files.file)).size - 1);
    await append('the last');
    expect(await verifyAuditLog(files, [])).toMatchObject({ problems: [], torn: 0, head: { seq: 4 } });
  });

  test('several processes write one chain, also when some are killed in the middle of a line', async () => {
    const durable = await appendAndKill(() => wait(900));
    await writeFile(files.file, `${await readFile(files.file, 'utf8')}{"seq":99999,"prev":"half a li`);
    await append('the last');
    const { problems, torn, head } = await verifyAuditLog(files, []);
    expect(problems).toEqual([]);
    expect(torn).toBe(1);
    expect(durable.length).toBeGreaterThan(30);
    expect(head.seq).toBeGreaterThan(durable.length);
    const written = await readFile(files.file, 'utf8');
    for (const id of durable) expect(written).toContain(`"${id}"`);
    // What keeps the turns does not grow.
    expect((await readdir(join(folder, 'audit', 'turns'))).length).toBeLessThan(200);
  });

  test('instances of one process share its turns, and the key is its owner’s alone', async () => {
    await Promise.all(Array.from({ length: 40 }, (_, i) => append(`secret-${i}`)));
    expect((await verifyAuditLog(files, [])).head.seq).toBe(40);
    expect(await kinds()).toEqual([]);
    expect((await stat(files.keyFile)).mode & 0o077).toBe(0);
    expect((await stat(files.file)).mode & 0o077).toBe(0);
  });
});

describe('an audit log of several files', () => {
  const numbers = async () =>
    (await Array.fromAsync(readAuditLines(files.file))).map((line) => (JSON.parse(line) as { seq: number }).seq);
  const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
  const full = async () => (await readdir(join(folder, 'audit'))).filter((name) => /jsonl\.\d+$/.test(name)).sort();
  beforeEach(() => {
    files = { ...files, fullBytes: 2000 };
  });

  test('is one chain, of which each line is read once and in order', async () => {
    for (let i = 0; i < 40; i++) await append(`secret-${i}`);
    expect((await full()).length).toBeGreaterThan(3);
    expect(await numbers()).toEqual(upTo(40));
    expect(await kinds()).toEqual([]);
    for (const name of await full()) expect((await stat(join(folder, 'audit', name))).mode & 0o077).toBe(0);
    // A file is written before its head: whoever was killed between the two leaves an older one.
    const [, mac = ''] = /"mac":"([0-9a-f]{64})"\}$/.exec((await lines()).at(-2) ?? '') ?? [];
    await writeFile(`${files.file}.head`, `39:${mac}\n`);
    files = { ...files, fullBytes: 1 };
    await append('goes on');
    expect(await numbers()).toEqual(upTo(41));
    expect(await kinds()).toEqual([]);
  });

  test('misses each file that is taken away, but for the oldest ones where somebody says so', async () => {
    for (let i = 0; i < 40; i++) await append(`secret-${i}`);
    const [first = '', second = ''] = await full();
    const away = join(folder, 'away');
    await rename(join(folder, 'audit', second), away);
    expect(await kinds()).toEqual(['missing']);
    await rename(away, join(folder, 'audit', second));
    const last = (await readFile(join(folder, 'audit', first), 'utf8')).trimEnd().split('\n').at(-1) ?? '';
    const { seq, mac } = JSON.parse(last) as { seq: number; mac: string };
    await rm(join(folder, 'audit', first));
    expect(await kinds()).toEqual(['missing']);
    // That it once was noted does not say that it may go.
    expect(await kinds({ seq, mac })).toEqual(['missing']);
    const behind = async (head: Head) => (await verifyAuditLog(files, [], head)).problems.map(({ kind }) => kind);
    expect(await behind({ seq, mac })).toEqual([]);
    expect(await behind({ seq, mac: mac.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) })).toEqual(['missing']);
    expect(await behind({ seq: seq + 1, mac })).toEqual(['missing']);
  });

  test('stays one chain while several processes write it and are killed, and readers see no gap', async () => {
    const durable = await appendAndKill(async () => {
      for (const until = Date.now() + 1200; Date.now() < until; ) {
        const seen = (await Array.fromAsync(readAuditLines(files.file))).flatMap((line) => placeOf(line)?.seq ?? []);
        expect(seen).toEqual(upTo(seen.length));
      }
    });
    await append('the last');
    expect((await verifyAuditLog(files, [])).problems).toEqual([]);
    const written = (await Array.fromAsync(readAuditLines(files.file))).join('\n');
    expect(durable.length).toBeGreaterThan(30);
    for (const id of durable) expect(written).toContain(`"${id}"`);
    // One that was killed before it took the old name away.
    const copy = join(folder, 'audit', `access.jsonl.${'9'.repeat(12)}`);
    await link(files.file, copy);
    expect(await numbers()).toEqual(upTo((await numbers()).length));
  });

  test('writes over nothing', async () => {
    for (let i = 0; i < 5; i++) await append(`secret-${i}`);
    const size = (await stat(files.file)).size;
    files = { ...files, fullBytes: size };
    await writeFile(`${files.file}.000000000005`, 'somebody’s');
    await append('goes on here');
    expect(await readFile(`${files.file}.000000000005`, 'utf8')).toBe('somebody’s');
    expect((await lines()).length).toBe(6);
    await rm(`${files.file}.000000000005`);
    await link(files.file, `${files.file}.000000000006`);
    await append('after a kill');
    expect(await numbers()).toEqual(upTo(7));
    expect(await kinds()).toEqual([]);
  });
});

test('from the command line the log is listed and verified, and what was changed is found', async () => {
  await using deployment = await Deployment.start();
  deployment.s3.put('docs', 'a', 'text');
  await deployment.putSecret();
  await deployment.connect();
  await deployment.run('sync', 'handbook');
  const verified = await deployment.run('audit', 'verify');
  expect(verified.code).toBe(0);
  const noted = /noted elsewhere: (\S+)/.exec(verified.stdout)?.[1] as string;
  const { items } = await deployment.json<{ items: { action: string; outcome: string; runId?: string }[] }>(
    'audit',
    'list',
    '--secret',
    'my-creds',
  );
  expect(items.map(({ action, outcome }) => `${action} ${outcome}`)).toEqual([
    'secret.put attempt',
    'secret.put ok',
    'secret.describe attempt',
    'secret.describe ok',
    'secret.access attempt',
    'secret.access ok',
  ]);
  expect(items.at(-1)?.runId).toBeTruthy();
  const file = join(deployment.dataDir, 'audit', 'access.jsonl');
  await writeFile(file, (await readFile(file, 'utf8')).replace('"secret.access"', '"secret.list"'));
  const found = await deployment.run('audit', 'verify', '--head', noted, '--json');
  expect(found.code).toBe(1);
  expect(JSON.parse(found.stdout)).toMatchObject({ ok: false, problems: [{ line: 5, kind: 'edited' }] });
  expect((await deployment.run('audit', 'verify', '--head', 'rubbish')).code).toBe(2);
});
