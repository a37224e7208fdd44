import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import { attachEmbedded } from '../../src/db/embedded.ts';
import { openDatabase } from '../../src/db/open.ts';
import { openPool } from '../../src/db/pool.ts';
import { findIn, findInFiles } from '../canary.ts';
import { Deployment } from '../deployment.ts';
import { VaultServer } from '../servers/vault.ts';

/** A PostgreSQL that asks for a password, with one user. */
async function guarded() {
  const root = await mkdtemp(join(tmpdir(), 'lockgate-login-'));
  const folder = join(root, 'postgres');
  const server = await attachEmbedded(folder);
  const admin = openPool(server.target, 2);
  await admin.query("create role app login password 'first-fake-password'");
  await admin.query('create database guarded owner app');
  const rules = await readFile(join(folder, 'pg_hba.conf'), 'utf8');
  await writeFile(join(folder, 'pg_hba.conf'), `local guarded app scram-sha-256\n${rules}`);
  await admin.query('select pg_reload_conf()');
  const close = async () => {
    await admin[Symbol.asyncDispose]();
    await server.leave();
    await rm(root, { recursive: true, force: true });
  };
  return { url: `postgres://localhost/guarded?host=${encodeURIComponent(server.target.host)}`, admin, close };
}

test('the password of the database is asked for when it connects, and again when the server refuses it', async () => {
  const { url, admin, close } = await guarded();
  let password = 'first-fake-password';
  let asked = 0;
  const login = async () => {
    asked++;
    return new Secret({ username: 'app', password });
  };
  const db = await openDatabase({ kind: 'url', url: new Secret(url) }, login);
  await Promise.all(Array.from({ length: 20 }, () => db.query('select 1')));
  expect(asked).toBe(1);

  password = 'second/fake password?';
  await admin.query(`alter role app password '${password}'`);
  await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'");
  for (let tries = 0; tries < 50; tries++) {
    const ok = await db.query('select 1').then(
      () => true,
      () => false,
    );
    if (ok) break;
  }
  await Promise.all(Array.from({ length: 20 }, () => db.query('select 1')));
  expect(asked).toBe(2);

  password = 'wrong';
  await admin.query("alter role app password 'third-fake-password'");
  await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'");
  let code = '';
  for (let tries = 0; tries < 50 && code !== 'database_refused'; tries++)
    code = await db.query('select 1').then(
      () => '',
      (error) => error.code,
    );
  expect(code).toBe('database_refused');
  await db[Symbol.asyncDispose]();
  await close();
});

test('DATABASE_SECRET names it; no credential of a source is read this way, and it shows nowhere', async () => {
  const { url, close } = await guarded();
  await using vault = await new VaultServer().listen();
  await using deployment = await Deployment.start();
  vault.policies.set('both', [
    ['GET', 'secret/'],
    ['POST', 'secret/'],
    ['LIST', 'secret/'],
  ]);
  const created = new Date().toISOString();
  const put = (name: string, data: object) =>
    vault.entries.set(name, { notes: null, versions: [{ data, created, deletion: '', destroyed: false }] });
  put('infra/database', { username: 'app', password: 'first-fake-password' });
  const own = deployment.environment;
  deployment.environment = {
    ...own,
    DATABASE_URL: url,
    DATABASE_SECRET: 'default:infra/database',
    LOCKGATE_SECRET_MANAGER: 'vault',
    LOCKGATE_VAULT_ADDR: vault.endpoint,
    LOCKGATE_VAULT_TOKEN: vault.createToken('both'),
    LOCKGATE_LOG_LEVEL: 'debug',
  };
  await deployment.putSecret();
  await deployment.json('collections', 'create', 'handbook');
  expect(await deployment.json('collections', 'list')).toMatchObject({ items: [{ name: 'handbook' }] });

  const say = async (secret: string) => {
    deployment.environment = { ...deployment.environment, DATABASE_SECRET: secret };
    const { code, stderr } = await deployment.run('collections', 'list');
    return `${code} ${stderr}`;
  };
  expect(await say('my-creds')).toMatch(/^1 .*type s3, not of the database/s);
  expect(await say('infra/nothing')).toMatch(/^1 .*no credential/s);
  expect(await say('elsewhere:infra/database')).toMatch(/DATABASE_SECRET names no secret manager/);
  put('infra/half', { username: 'app', passwort: 'first-fake-password' });
  expect(await say('infra/half')).toMatch(/missing field password/);
  put('infra/database', { username: 'app', password: 'wrong-fake-password' });
  const refused = await say('infra/database');
  expect(refused).toMatch(/^1 /);
  const values = ['first-fake-password', 'wrong-fake-password'];
  expect(findIn(Buffer.from(refused), values)).toEqual([]);
  expect(await findInFiles(deployment.folder, values)).toEqual([]);

  // What is Lockgate's own may be kept by Lockgate's own command.
  const stored = { username: 'app', password: 'first-fake-password' };
  await deployment.putSecret('the-database', stored, 'database');
  expect(await say('the-database')).toMatch(/^0 /);
  const audit = await readFile(join(deployment.dataDir, 'audit', 'access.jsonl'), 'utf8');
  expect(audit).toContain('open the database');
  deployment.environment = own;
  await close();
});
