import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { attachEmbedded } from '../../src/db/embedded.ts';
import { APP_SCHEMA, migrate } from '../../src/db/migrate.ts';
import { openDatabase } from '../../src/db/open.ts';
import { openPool } from '../../src/db/pool.ts';
import { isAlive, startAhead } from '../../src/db/server.ts';
import { emptyDatabase, freshDatabase } from '../database.ts';

const run = promisify(execFile);

describe('migrations', () => {
  test('two processes that start at once migrate once', async () => {
    await using db = await emptyDatabase();
    await Promise.all(Array.from({ length: 6 }, () => migrate(db)));
    const rows = await db.query<{ version: number }>('select version from lockgate.migration order by version');
    expect(rows[0]).toEqual({ version: 1 });
    expect(new Set(rows.map(({ version }) => version)).size).toBe(rows.length);
  });

  test('no index looks through all documents of one content for a place for the next: none is by hash', async () => {
    await using db = await freshDatabase();
    const found = await db.query(
      "select c.relname from pg_class c join pg_am a on a.oid = c.relam where c.relkind = 'i' and a.amname = 'hash'",
    );
    expect(found).toEqual([]);
  });

  test('a database of a newer version is refused and left alone', async () => {
    await using db = await freshDatabase();
    await db.query("insert into lockgate.migration (version, name) values (9999, '9999-future.sql')");
    await expect(migrate(db)).rejects.toMatchObject({
      code: 'database_too_new',
      message: expect.stringContaining('9999'),
    });
  });

  test('a migration that fails leaves the database as it was', async () => {
    await using db = await freshDatabase();
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-migrations-'));
    await writeFile(join(folder, '9001-first.sql'), 'select 1');
    await writeFile(join(folder, '9002-half.sql'), 'create table lockgate.half (id int); select 1 / 0');
    await expect(migrate(db, { ...APP_SCHEMA, folder: pathToFileURL(`${folder}/`) })).rejects.toThrow(
      /division by zero/,
    );
    expect(await db.query("select to_regclass('lockgate.half')::text as found")).toEqual([{ found: null }]);
    await rm(folder, { recursive: true });
  });
});

describe('the pool', () => {
  test('several statements in one text give the rows of all', async () => {
    await using db = await emptyDatabase();
    expect(await db.query('begin; select 1 as n; select 2 as n; commit')).toEqual([{ n: 1 }, { n: 2 }]);
    expect(await db.transaction((tx) => tx.query('select 3 as n; select 4 as n'))).toEqual([{ n: 3 }, { n: 4 }]);
  });

  test('a transaction that throws is rolled back', async () => {
    await using db = await freshDatabase();
    const work = db.transaction(async (tx) => {
      await tx.query("insert into lockgate.workspace (id) values ('gone')");
      throw new Error('no');
    });
    await expect(work).rejects.toThrow('no');
    expect(await db.query("select id from lockgate.workspace where id = 'gone'")).toEqual([]);
  });

  test('a server that is there and lacks something is away, and says what it lacks', async () => {
    await using db = await freshDatabase();
    const lacks = async (work: Promise<unknown>) => work.then(String, ({ code, message }) => [code, message]);
    const raised = (code: string) => lacks(db.query(`do $$ begin raise exception using errcode = '${code}'; end $$`));
    expect(await raised('53100')).toEqual(['database_unavailable', 'The database has no room on its disk.']);
    expect(await raised('53200')).toEqual(['database_unavailable', 'The database has no memory left.']);
    expect(await raised('53300')).toEqual(['database_unavailable', 'The database takes no more connections.']);
    const asStandby = db.transaction(async (tx) => {
      await tx.query('set transaction read only');
      await tx.query("insert into lockgate.workspace (id) values ('not written')");
    });
    expect(await lacks(asStandby)).toEqual(['database_unavailable', expect.stringContaining('standby')]);
  });

  test('a lock is held by one session and freed with it', async () => {
    await using db = await freshDatabase();
    const first = await db.tryLock('x');
    expect(await db.tryLock('x')).toBeNull();
    const other = await db.tryLock('y');
    expect(other).not.toBeNull();
    await other?.[Symbol.asyncDispose]();
    await first?.[Symbol.asyncDispose]();
    let again: AsyncDisposable | null = null;
    for (let tries = 0; !again && tries < 50; tries++) again = await db.tryLock('x');
    expect(again).not.toBeNull();
    await again?.[Symbol.asyncDispose]();
  });
});

describe('the embedded server', () => {
  const pidOf = async (folder: string) =>
    Number((await readFile(join(folder, 'postmaster.pid'), 'utf8').catch(() => '0')).split('\n')[0]);

  test('is shared by all who attach, outlives one that is killed, and ends with the last', async () => {
    const root = await mkdtemp(join(tmpdir(), 'lockgate-embedded-'));
    const folder = join(root, 'postgres');
    // Several at once, on nothing: one makes the database, all attach to it.
    const [first, second] = await Promise.all([
      attachEmbedded(folder),
      attachEmbedded(folder),
      attachEmbedded(folder).then((third) => third.leave()),
    ]);
    const pid = await pidOf(folder);
    expect(pid).toBeGreaterThan(0);
    const script = `const { attachEmbedded } = await import(${JSON.stringify(new URL('../../src/db/embedded.ts', import.meta.url).href)}); await attachEmbedded(${JSON.stringify(folder)}); process.stdout.write('up'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    await first.leave();
    await second.leave();
    // The child still uses it.
    expect(await pidOf(folder)).toBe(pid);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const next = await attachEmbedded(folder);
    expect(await pidOf(folder)).toBe(pid);
    const db = openPool(next.target, 2);
    expect(await db.query('select 1 as one')).toEqual([{ one: 1 }]);
    await db[Symbol.asyncDispose]();
    await next.leave();
    expect(await pidOf(folder)).toBe(0);
    await rm(root, { recursive: true });
  });

  test('is started ahead where it was made before, and stopped again where nobody came to use it', async () => {
    const root = await mkdtemp(join(tmpdir(), 'lockgate-embedded-'));
    const folder = join(root, 'postgres');
    expect(await startAhead(folder)).toBe(false);
    await expect(stat(folder)).rejects.toThrow('ENOENT');
    const script = (use: string) =>
      `const { startAhead } = await import('${new URL('../../src/db/server.ts', import.meta.url).href}');
       const { attachEmbedded, stopUnused } = await import('${new URL('../../src/db/embedded.ts', import.meta.url).href}');
       const folder = ${JSON.stringify(folder)};
       process.stdout.write(String(await startAhead(folder)));
       ${use}`;
    const started = async (use: string) =>
      (await run(process.execPath, ['--input-type=module', '-e', script(use)])).stdout;
    await (await attachEmbedded(folder)).leave();
    expect(await started('await stopUnused(folder);')).toBe('true');
    expect(await pidOf(folder)).toBe(0);
    const used = `const server = await attachEmbedded(folder);
       await stopUnused(folder);
       process.stdout.write((await readFile(folder + '/postmaster.pid', 'utf8')).split('\\n')[0]);
       await server.leave();`;
    expect(await started(`const { readFile } = await import('node:fs/promises'); ${used}`)).toMatch(/^true\d+$/);
    expect(await pidOf(folder)).toBe(0);
    // Another one uses it.
    const other = await attachEmbedded(folder);
    expect(await started('await stopUnused(folder);')).toBe('false');
    expect(await pidOf(folder)).toBeGreaterThan(0);
    await other.leave();
    // It cannot start.
    await writeFile(join(folder, 'postgresql.conf'), 'nonsense');
    expect(await started('await stopUnused(folder);')).toBe('true');
    await rm(root, { recursive: true });
  });

  test('is started again when it is killed under those who use it, who are counted as its users again', async () => {
    const root = await mkdtemp(join(tmpdir(), 'lockgate-embedded-'));
    const folder = join(root, 'postgres');
    const db = await openDatabase({ kind: 'embedded', folder });
    await db.query('create table kept (n int)');
    for (let n = 1; n <= 3; n++) {
      await db.query('insert into kept values ($1)', [n]);
      const pid = await pidOf(folder);
      process.kill(pid, 'SIGKILL');
      await expect.poll(() => isAlive(pid), { interval: 5 }).toBe(false);
      await expect
        .poll(() => db.query('select count(*) as count from kept').catch((error) => error.code), { interval: 50 })
        .toEqual([{ count: n }]);
      // Another one that comes and leaves does not take it for unused.
      await (await attachEmbedded(folder)).leave();
      expect(await db.query('select 1 as one')).toEqual([{ one: 1 }]);
    }
    await db[Symbol.asyncDispose]();
    expect(await pidOf(folder)).toBe(0);
    await rm(root, { recursive: true });
  });

  test('is joined or started anew whenever somebody comes while the last one leaves', async () => {
    const root = await mkdtemp(join(tmpdir(), 'lockgate-embedded-'));
    const folder = join(root, 'postgres');
    let held = await attachEmbedded(folder);
    for (let round = 0; round < 12; round++) {
      const leaving = held.leave();
      await setTimeout(round);
      const arriving = await Promise.all([attachEmbedded(folder), attachEmbedded(folder)]);
      await leaving;
      const db = openPool(arriving[0].target, 1);
      expect(await db.query('select 1 as one')).toEqual([{ one: 1 }]);
      await db[Symbol.asyncDispose]();
      await arriving[1].leave();
      held = arriving[0];
    }
    await held.leave();
    expect(await pidOf(folder)).toBe(0);
    await rm(root, { recursive: true });
  });

  test('starts after its own kill -9, and beside a process that has its old number', async () => {
    const root = await mkdtemp(join(tmpdir(), 'lockgate-embedded-'));
    const folder = join(root, 'postgres');
    const server = await attachEmbedded(folder);
    process.kill(await pidOf(folder), 'SIGKILL');
    await server.leave();
    const again = await attachEmbedded(folder);
    await again.leave();
    const stale = (await readFile(join(folder, 'PG_VERSION'), 'utf8')) && `${process.pid}\n${folder}\n`;
    await writeFile(join(folder, 'postmaster.pid'), stale);
    const third = await attachEmbedded(folder);
    expect(await pidOf(folder)).not.toBe(process.pid);
    await third.leave();
    await rm(root, { recursive: true });
  });
});
