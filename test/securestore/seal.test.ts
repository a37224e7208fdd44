import { createCipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import { type KeySource, openKey } from '../../src/securestore/keys.ts';
import { decrypt, encrypt, type KeyEncryptionKey, rewrap, seal, unseal } from '../../src/securestore/seal.ts';
import { KmsServer } from '../servers/kms.ts';
import { VaultServer } from '../servers/vault.ts';

const name = { store: 'store', workspace: 'default', secretId: 'my-creds', version: 3, type: 's3' };
const tampered = expect.objectContaining({ code: 'value_tampered' });
let folder: string;
let kms: KmsServer;
let vault: VaultServer;
const kept = { ...process.env };
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockgate-seal-'));
  kms = await new KmsServer().listen();
  kms.keys.set('AKIAFAKEKMS', { secretAccessKey: 'fake-kms-secret' });
  kms.wrapping.set('alias/store', randomBytes(32));
  vault = await new VaultServer().listen();
  vault.policies.set('transit', [
    ['POST', 'transit/encrypt/store'],
    ['POST', 'transit/decrypt/store'],
  ]);
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'AKIAFAKEKMS', AWS_SECRET_ACCESS_KEY: 'fake-kms-secret' });
});
afterAll(async () => {
  for (const each of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) {
    if (kept[each] === undefined) delete process.env[each];
    else process.env[each] = kept[each];
  }
  await kms[Symbol.asyncDispose]();
  await vault[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function keyFile(label: string, mode = 0o400, text = randomBytes(32).toString('base64')): Promise<KeySource> {
  const path = join(folder, label);
  await writeFile(path, text, { mode });
  return { kind: 'file', path };
}

const kmsKey = (): KeySource => ({
  kind: 'aws-kms',
  keyId: 'alias/store',
  region: 'eu-west-1',
  endpoint: kms.endpoint,
});
const transitKey = (): KeySource => ({
  kind: 'vault-transit',
  key: 'store',
  vault: {
    backend: 'vault',
    address: vault.endpoint,
    namespace: null,
    mount: 'secret',
    kv: 2,
    ca: null,
    prefix: 'lockgate',
    template: null,
    egress: null,
    auth: { kind: 'token', token: { value: new Secret(vault.createToken('transit')) } },
  },
});

describe.each([
  ['a file', () => keyFile('kek')],
  ['AWS KMS', async () => kmsKey()],
  ['Vault transit', async () => transitKey()],
])('a key from %s', (_where, source) => {
  let kek: KeyEncryptionKey;
  beforeAll(async () => {
    kek = await openKey(await source());
  });

  test('opens what it sealed, in its own place and in no other', async () => {
    const sealed = await seal(new Secret('canary 日本'), name, kek);
    expect((await unseal(sealed, name, kek)).reveal()).toBe('canary 日本');
    expect(Buffer.concat([sealed.wrapped, sealed.data, sealed.commitment]).toString('latin1')).not.toContain('canary');
    const elsewhere = [{ store: 'other' }, { workspace: 'b' }, { secretId: 'x' }, { version: 2 }, { type: 'gcs' }];
    for (const more of elsewhere) {
      await expect(unseal(sealed, { ...name, ...more }, kek), JSON.stringify(more)).rejects.toEqual(tampered);
    }
    for (const part of ['wrapped', 'iv', 'data', 'commitment'] as const) {
      for (const at of [0, sealed[part].length - 1]) {
        const flipped = Buffer.from(sealed[part]);
        flipped[at] = (flipped[at] ?? 0) ^ 1;
        await expect(unseal({ ...sealed, [part]: flipped }, name, kek), part).rejects.toMatchObject({
          code: expect.stringMatching(/value_tampered|key_/),
        });
      }
    }
  });

  test('wraps anew without touching the value', async () => {
    const other = await openKey(await keyFile(`other-${Math.random()}`));
    const sealed = await seal(new Secret('value'), name, kek);
    const moved = { ...sealed, ...(await rewrap(sealed, name, kek, other)) };
    expect(moved.data.equals(sealed.data)).toBe(true);
    expect((await unseal(moved, name, other)).reveal()).toBe('value');
    await expect(rewrap(moved, name, kek, other)).rejects.toMatchObject({ code: expect.stringMatching(/value_|key_/) });
  });
});

test('tags that are cut short are refused', () => {
  const key = randomBytes(32);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  cipher.setAAD(Buffer.from('c'));
  const data = Buffer.concat([cipher.update('value'), cipher.final()]);
  const tag = cipher.getAuthTag();
  expect(decrypt(key, iv, Buffer.concat([data, tag]), 'c').toString()).toBe('value');
  for (const length of [4, 8, 12]) {
    expect(() => decrypt(key, iv, Buffer.concat([data, tag.subarray(0, length)]), 'c')).toThrow();
  }
  expect(() => decrypt(key, iv, Buffer.concat([data, tag]), 'd')).toThrow();
  expect(encrypt(key, iv, Buffer.from('value'), 'c').equals(Buffer.concat([data, tag]))).toBe(true);
});

test('a ciphertext that opens under two keys is caught by the commitment', async () => {
  const kek = await openKey(await keyFile('committed'));
  const [one, two] = [await seal(new Secret('one'), name, kek), await seal(new Secret('two'), name, kek)];
  // The key of another version, however it came there.
  await expect(unseal({ ...one, wrapped: two.wrapped }, name, kek)).rejects.toEqual(tampered);
  await expect(unseal({ ...one, wrapped: two.wrapped, commitment: two.commitment }, name, kek)).rejects.toEqual(
    tampered,
  );
});

test('a key file that cannot be one is refused with what to do', async () => {
  await expect(openKey({ kind: 'file', path: join(folder, 'missing') })).rejects.toMatchObject({
    hint: expect.stringContaining('init'),
  });
  await expect(openKey(await keyFile('open', 0o644))).rejects.toMatchObject({ hint: expect.stringContaining('chmod') });
  for (const [label, text] of [
    ['short', randomBytes(16).toString('base64')],
    ['passphrase', 'correct horse battery staple'],
    ['empty', ''],
  ] as const)
    await expect(openKey(await keyFile(label, 0o400, text)), label).rejects.toMatchObject({
      code: 'invalid_configuration',
    });
});

test('a key service that refuses is told from one that is away', async () => {
  const kek = await openKey(kmsKey());
  kms.permitted.set('AKIAFAKEKMS', ['Decrypt']);
  await expect(seal(new Secret('x'), name, kek)).rejects.toMatchObject({ code: 'key_refused' });
  kms.permitted.delete('AKIAFAKEKMS');
  kms.away = true;
  await expect(seal(new Secret('x'), name, kek)).rejects.toMatchObject({ code: 'key_unavailable' });
  kms.away = false;
  vault.policies.set('transit', [['POST', 'transit/encrypt/store']]);
  const transit = await openKey(transitKey());
  const sealed = await seal(new Secret('x'), name, transit);
  await expect(unseal(sealed, name, transit)).rejects.toMatchObject({ code: 'key_refused' });
  vault.policies.set('transit', [
    ['POST', 'transit/encrypt/store'],
    ['POST', 'transit/decrypt/store'],
  ]);
});
