import { createCipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import { type KeySource, openKey } from '../../src/securestore/keys.ts';
import { decrypt, encrypt, type KeyEncryptionKey, rewrap, seal, unseal } from '../../src/securestore/seal.ts';
import { settingsIn } from '../../src/securestore/settings.ts';
import { CloudKmsServer } from '../servers/cloud-kms.ts';
import { EntraServer } from '../servers/entra.ts';
import { GcsServer } from '../servers/gcs.ts';
import { KeyVaultServer } from '../servers/key-vault.ts';
import { KmsServer } from '../servers/kms.ts';
import { trustedCertificate } from '../servers/tls.ts';
import { VaultServer } from '../servers/vault.ts';

const name = { store: 'store', workspace: 'default', secretId: 'my-creds', version: 3, type: 's3' };
const tampered = expect.objectContaining({ code: 'value_tampered' });
let folder: string;
let kms: KmsServer;
let vault: VaultServer;
let tokens: GcsServer;
let cloudKms: CloudKmsServer;
let entra: EntraServer;
let keyVault: KeyVaultServer;
const GCP_KEY = 'projects/fake-project/locations/europe-west3/keyRings/ring/cryptoKeys/store';
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
  tokens = await new GcsServer().listen();
  cloudKms = await new CloudKmsServer(tokens).listen();
  cloudKms.rotate(GCP_KEY);
  await writeFile(join(folder, 'key.json'), JSON.stringify(tokens.createKeyFile('securestore')), { mode: 0o600 });
  const certificate = await trustedCertificate();
  entra = await new EntraServer(certificate).listen();
  keyVault = await new KeyVaultServer(certificate, entra).listen();
  keyVault.keys.rotate('store');
  for (const each of Object.keys(process.env)) if (each.startsWith('AZURE_')) vi.stubEnv(each, undefined);
  const app = entra.registerApp();
  const identity = {
    AWS_ACCESS_KEY_ID: 'AKIAFAKEKMS',
    AWS_SECRET_ACCESS_KEY: 'fake-kms-secret',
    AZURE_TENANT_ID: app.tenant_id,
    AZURE_CLIENT_ID: app.client_id,
    AZURE_CLIENT_SECRET: app.client_secret,
    AZURE_AUTHORITY_HOST: entra.authority,
  };
  for (const [each, value] of Object.entries(identity)) vi.stubEnv(each, value);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  for (const each of [tokens, cloudKms, entra, keyVault]) await each[Symbol.asyncDispose]();
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

const settings = (key: string, more: Record<string, string> = {}) =>
  settingsIn({ LOCKGATE_SECURESTORE_KEY: key, ...more }).keys.active;
const gcpKey = () =>
  settings(`gcp-kms:${GCP_KEY}`, {
    LOCKGATE_SECURESTORE_KMS_ENDPOINT: cloudKms.endpoint,
    LOCKGATE_GCP_CREDENTIALS_FILE: join(folder, 'key.json'),
  });
const azureKey = () => settings(`azure-key-vault:${keyVault.endpoint}/keys/store`);

describe.each([
  ['a file', () => keyFile('kek')],
  ['AWS KMS', async () => kmsKey()],
  ['Google Cloud KMS', async () => gcpKey()],
  ['Azure Key Vault', async () => azureKey()],
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

test('a key of Google Cloud KMS opens what an older version wrapped; a version that is switched off is a refusal', async () => {
  const kek = await openKey(gcpKey());
  const sealed = await seal(new Secret('value'), name, kek);
  cloudKms.rotate(GCP_KEY);
  const [first] = cloudKms.keys.get(GCP_KEY) ?? [];
  expect((await unseal(sealed, name, kek)).reveal()).toBe('value');
  expect((await seal(new Secret('x'), name, kek)).wrapped[0]).toBe(2);
  Object.assign(first ?? {}, { enabled: false });
  await expect(unseal(sealed, name, kek)).rejects.toMatchObject({ code: 'key_refused' });
  Object.assign(first ?? {}, { enabled: true });
});

test('Google Cloud KMS: away for a moment is asked again; damage on the way, refusals and unknown keys are told apart', async () => {
  const kek = await openKey(gcpKey());
  const sealed = await seal(new Secret('value'), name, kek);
  cloudKms.away = 2;
  expect((await unseal(sealed, name, kek)).reveal()).toBe('value');
  cloudKms.away = 3;
  await expect(unseal(sealed, name, kek)).rejects.toMatchObject({ code: 'key_unavailable' });
  for (const damaged of ['ciphertext', 'verified'] as const) {
    cloudKms.damaged = damaged;
    await expect(seal(new Secret('x'), name, kek), damaged).rejects.toMatchObject({ code: 'key_unavailable' });
  }
  cloudKms.damaged = 'plaintext';
  await expect(unseal(sealed, name, kek)).rejects.toMatchObject({ code: 'key_unavailable' });
  cloudKms.damaged = null;
  for (const account of new Set([...tokens.tokens.values()].map((token) => token.account)))
    cloudKms.permitted.set(account, ['encrypt']);
  await expect(unseal(sealed, name, kek)).rejects.toMatchObject({
    code: 'key_refused',
    message: expect.stringContaining('useToDecrypt'),
  });
  cloudKms.permitted.clear();
  const unknown = await openKey({ ...gcpKey(), name: `${GCP_KEY}x` } as KeySource);
  await expect(seal(new Secret('x'), name, unknown)).rejects.toMatchObject({ code: 'key_refused' });
  const elsewhere = await openKey({ ...gcpKey(), endpoint: 'http://127.0.0.1:9' } as KeySource);
  await expect(seal(new Secret('x'), name, elsewhere)).rejects.toMatchObject({ code: 'key_unavailable' });
});

test('a key of Azure Key Vault opens what an older version wrapped, also an expired one; one that is switched off is a refusal', async () => {
  const kek = await openKey(azureKey());
  const sealed = await seal(new Secret('value'), name, kek);
  const first = keyVault.keys.versions.get('store')?.at(-1);
  Object.assign(first ?? {}, { expires: 1 });
  await expect(seal(new Secret('x'), name, kek)).rejects.toMatchObject({ code: 'key_refused' });
  const second = keyVault.keys.rotate('store');
  expect((await unseal(sealed, name, kek)).reveal()).toBe('value');
  expect((await seal(new Secret('x'), name, kek)).wrapped.toString('latin1')).toContain(second.id);
  Object.assign(first ?? {}, { expires: null, enabled: false });
  await expect(unseal(sealed, name, kek)).rejects.toMatchObject({ code: 'key_refused' });
  Object.assign(first ?? {}, { enabled: true });
  // Its own process knows nothing but what is stored.
  expect((await unseal(sealed, name, await openKey(azureKey()))).reveal()).toBe('value');
});

test('Azure Key Vault: refusals, rubbish and a vault that is away are told apart, and opening needs no right but that', async () => {
  const kek = await openKey(azureKey());
  const sealed = await seal(new Secret('value'), name, kek);
  const id = process.env.AZURE_CLIENT_ID ?? '';
  keyVault.permitted.set(id, ['unwrapKey']);
  expect((await unseal(sealed, name, kek)).reveal()).toBe('value');
  await expect(seal(new Secret('x'), name, kek)).rejects.toMatchObject({ code: 'key_refused' });
  keyVault.permitted.set(id, ['getKey', 'wrapKey']);
  await expect(unseal(sealed, name, kek)).rejects.toMatchObject({ code: 'key_refused' });
  keyVault.permitted.clear();
  for (const wrapped of [Buffer.alloc(0), Buffer.from('no version'), Buffer.from(`${'f'.repeat(32)}:x`)])
    await expect(unseal({ ...sealed, wrapped }, name, kek)).rejects.toMatchObject({
      code: expect.stringMatching(/value_tampered|key_refused/),
    });
  keyVault.fault = () => ({ kind: 'error', status: 503, code: 'ServiceUnavailable' });
  await expect(unseal(sealed, name, kek)).rejects.toMatchObject({ code: 'key_unavailable' });
  keyVault.fault = () => ({ kind: 'reset' });
  await expect(seal(new Secret('x'), name, kek)).rejects.toMatchObject({ code: 'key_unavailable' });
  keyVault.fault = () => undefined;
  vi.stubEnv('AZURE_CLIENT_SECRET', 'wrong');
  await expect(seal(new Secret('x'), name, await openKey(azureKey()))).rejects.toMatchObject({ code: 'key_refused' });
});

test.each([
  'gcp-kms:projects/p/keyRings/r',
  'gcp-kms:../x',
  'azure-key-vault:http://vault/keys/k',
  'azure-key-vault:https://v.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef',
  'aws-kms:alias/x',
  'rubbish',
])('a key named %s is refused with how one is named', (key) => {
  expect(() => settings(key)).toThrow('names no key');
});
