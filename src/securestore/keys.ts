import { createHmac, randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { ConfigError } from '../contract/errors.ts';
import { unavailable, vaultClient } from '../secrets/vault/client.ts';
import type { VaultSettings } from '../secrets/vault/settings.ts';
import type { AzureKey } from './azure-key.ts';
import type { GcpKey } from './gcp-kms.ts';
import { decrypt, encrypt, type KeyEncryptionKey, refused, tampered } from './seal.ts';

/** Where a key that wraps keys lives. */
export type KeySource =
  | { readonly kind: 'file'; readonly path: string }
  | {
      readonly kind: 'aws-kms';
      readonly keyId: string;
      readonly region: string;
      readonly endpoint: string | null;
    }
  | ({ readonly kind: 'gcp-kms' } & GcpKey)
  | ({ readonly kind: 'azure-key-vault' } & AzureKey)
  | { readonly kind: 'vault-transit'; readonly key: string; readonly vault: VaultSettings };

const KEY_BYTES = 32;
const IV_BYTES = 12;

/** Throws when it cannot be had now: a mount that is missing, a service that is away. */
export async function openKey(source: KeySource): Promise<KeyEncryptionKey> {
  if (source.kind === 'file') return fileKey(source.path);
  if (source.kind === 'vault-transit') return transitKey(source.key, source.vault);
  if (source.kind === 'gcp-kms') return (await import('./gcp-kms.ts')).gcpKey(source);
  if (source.kind === 'azure-key-vault') return (await import('./azure-key.ts')).azureKey(source);
  return (await import('./aws-kms.ts')).awsKey(source);
}

/** 32 bytes in base64, which only this user may read. */
async function fileKey(path: string): Promise<KeyEncryptionKey> {
  const { mode } = await stat(path).catch(() => {
    throw new ConfigError(`The key ${path} is not there.`, 'Mount it, or make one: lockgate securestore init');
  });
  // A Secret that Kubernetes mounts belongs to root, and the pod reads it by its group.
  if ((mode & 0o037) !== 0)
    throw new ConfigError(`The key ${path} may be read by others.`, `Make it private: chmod 400 ${path}`);
  const key = Buffer.from((await readFile(path, 'utf8')).trim(), 'base64');
  if (key.length !== KEY_BYTES)
    throw new ConfigError(`The key ${path} is not 32 bytes in base64.`, 'Make one with: openssl rand -base64 32');
  const id = `file:${createHmac('sha256', key).update('lockgate-securestore key id').digest('hex').slice(0, 16)}`;
  return {
    id,
    wrap: async (plain, context) => {
      const iv = randomBytes(IV_BYTES);
      return Buffer.concat([iv, encrypt(key, iv, plain, `${id} ${context}`)]);
    },
    unwrap: async (wrapped, context) => {
      try {
        return decrypt(key, wrapped.subarray(0, IV_BYTES), wrapped.subarray(IV_BYTES), `${id} ${context}`);
      } catch {
        throw tampered();
      }
    },
  };
}

/** https://developer.hashicorp.com/vault/api-docs/secret/transit */
async function transitKey(name: string, settings: VaultSettings): Promise<KeyEncryptionKey> {
  const client = vaultClient(settings);
  const ask = async (what: 'encrypt' | 'decrypt', body: object, field: 'ciphertext' | 'plaintext') => {
    const { status, body: answer } = await client.request('POST', `transit/${what}/${encodeURIComponent(name)}`, body);
    const value = (answer.data as Record<string, unknown> | undefined)?.[field];
    if (status === 200 && typeof value === 'string') return value;
    if (status === 400 && what === 'decrypt') throw tampered();
    if (status === 403 || status === 404) throw refused(`transit/${what}/${name}`);
    throw unavailable(status);
  };
  const associated = (context: string) => Buffer.from(context).toString('base64');
  return {
    id: `vault-transit:${name}`,
    wrap: async (plain, context) =>
      Buffer.from(
        await ask(
          'encrypt',
          { plaintext: plain.toString('base64'), associated_data: associated(context) },
          'ciphertext',
        ),
      ),
    unwrap: async (wrapped, context) =>
      Buffer.from(
        await ask(
          'decrypt',
          { ciphertext: wrapped.toString('utf8'), associated_data: associated(context) },
          'plaintext',
        ),
        'base64',
      ),
  };
}
