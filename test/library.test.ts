import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Secret } from '../src/contract/secret.ts';
import {
  CredentialNotFoundError,
  CredentialUnusableError,
  createSecureCloudStorageConnector,
  getAvailableSecretIds,
  InputError,
  NoSecretIdsError,
  SecretAccessDeniedError,
  SecretManagerError,
  SecretManagerNotConfiguredError,
} from '../src/index.ts';
import { openFileDirectory } from '../src/secrets/file/directory.ts';
import { S3Server } from './servers/s3.ts';

let server: S3Server;
let root: string;
const KEYS = { access_key_id: 'AKIAFAKELIBRARY', secret_access_key: 'fake' };

beforeAll(async () => {
  server = await new S3Server().listen();
  server.keys.set(KEYS.access_key_id, { secretAccessKey: KEYS.secret_access_key });
  for (const key of ['handbook/a.pdf', 'handbook/b.txt', 'other/c.pdf']) server.put('docs', key, `body of ${key}`);
});
afterAll(() => server[Symbol.asyncDispose]());

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lockgate-library-'));
  process.env.LOCKGATE_DATA_DIR = root;
  process.env.LOCKGATE_ALLOWED_ENDPOINTS = server.endpoint;
  delete process.env.LOCKGATE_SECRET_MANAGER;
  return () => rm(root, { recursive: true });
});

async function put(id: string, credential: unknown = { ...KEYS, endpoint: server.endpoint }): Promise<void> {
  const keys = { recipientFile: join(root, 'keys', 'recipient.txt'), identityFile: join(root, 'keys', 'identity.txt') };
  await openFileDirectory({ folder: join(root, 'secrets'), workspace: 'default' }, keys, Date.now).put(
    id,
    's3',
    new Secret(credential),
  );
}

const connect = (id = 'my-creds', path = 's3://docs/handbook') => createSecureCloudStorageConnector('s3', id, { path });

describe('the library', () => {
  test('lists IDs, checks, lists and reads', async () => {
    for (const id of ['my-creds', 'another']) await put(id);
    expect(await getAvailableSecretIds('s3')).toEqual(['another', 'my-creds']);
    const connector = createSecureCloudStorageConnector('s3', 'my-creds', {
      path: 's3://docs/handbook',
      credential_id: 'my-creds',
      include: ['**/*.pdf'],
    });
    expect(await connector.check()).toEqual({ reachable: true, readable: true, warnings: [] });
    const entries = await Array.fromAsync(connector.list());
    expect(entries.map(({ path }) => path)).toEqual(['a.pdf']);
    const content = await connector.read(entries[0] as (typeof entries)[0]);
    expect(Buffer.concat(await Array.fromAsync(content.body)).toString()).toBe('body of handbook/a.pdf');
  });

  test('the credential is looked up at each use, and not when the connector is made', async () => {
    const connector = connect();
    const log = join(root, 'audit', 'access.jsonl');
    await expect(readFile(log)).rejects.toMatchObject({ code: 'ENOENT' });
    await put('my-creds');
    await connector.check();
    await put('my-creds', { ...KEYS, secret_access_key: 'rotated', endpoint: server.endpoint });
    expect((await connector.check()).problem?.code).toBe('credential_rejected');
    const events = (await readFile(log, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events.filter(({ outcome }) => outcome === 'ok').map(({ secret }) => secret.version)).toEqual(['1', '2']);
  });

  test('no secret manager: enable it first', async () => {
    process.env.LOCKGATE_SECRET_MANAGER = 'none';
    for (const work of [getAvailableSecretIds('s3'), connect().check()]) {
      const error = await work.catch((failure) => failure);
      expect(error).toBeInstanceOf(SecretManagerNotConfiguredError);
      expect(error).toBeInstanceOf(SecretManagerError);
      expect(error).toMatchObject({
        code: 'secret_manager_not_configured',
        hint: expect.stringContaining('LOCKGATE_SECRET_MANAGER'),
      });
    }
  });

  test('no secret IDs: add one', async () => {
    expect(await getAvailableSecretIds('s3')).toEqual([]);
    const error = await connect()
      .check()
      .catch((failure) => failure);
    expect(error).toBeInstanceOf(NoSecretIdsError);
    expect(error).toMatchObject({ code: 'no_secret_ids', hint: expect.stringContaining('lockgate secrets put') });
  });

  test('permission denied by the secret manager: what to change', async () => {
    await put('my-creds');
    const { chmod } = await import('node:fs/promises');
    await chmod(join(root, 'keys', 'identity.txt'), 0o644);
    const error = await connect()
      .check()
      .catch((failure) => failure);
    expect(error).toBeInstanceOf(SecretAccessDeniedError);
    expect(error).toMatchObject({ code: 'secret_access_denied', hint: expect.stringContaining('chmod') });
  });

  test('a connector that cannot be made: whether the ID exists, and its form', async () => {
    await put('my-creds');
    const missing = await connect('nobody')
      .check()
      .catch((failure) => failure);
    expect(missing).toBeInstanceOf(CredentialNotFoundError);
    expect(missing).toMatchObject({ code: 'credential_not_found', hint: expect.any(String) });
    await put('broken', { access_key_id: 'only' });
    const broken = await connect('broken')
      .check()
      .catch((failure) => failure);
    expect(broken).toBeInstanceOf(CredentialUnusableError);
    expect(broken).toMatchObject({
      code: 'credential_malformed',
      message: expect.stringContaining('secret_access_key'),
    });
  });

  test('wrong arguments are refused at once', () => {
    const make = createSecureCloudStorageConnector as (...words: unknown[]) => unknown;
    const bad = [
      ['ftp', 'x', { path: 's3://docs' }],
      ['s3', '', { path: 's3://docs' }],
      ['s3', 'x', {}],
      ['s3', 'x'],
      ['s3', 'x', { path: 's3://docs', credential_id: 'y' }],
      ['s3', 'x', { path: 's3://docs', include: [''] }],
    ];
    for (const words of bad) expect(() => make(...words), JSON.stringify(words)).toThrow(InputError);
  });
});
