import { createHash, timingSafeEqual } from 'node:crypto';
import { CryptographyClient, KeyClient, type KeyVaultKey } from '@azure/keyvault-keys';
import { LockgateError } from '../contract/errors.ts';
import { accessTo } from '../secrets/azure-key-vault/client.ts';
import { isUnidentified } from '../secrets/azure-key-vault/errors.ts';
import { type KeyEncryptionKey, refused, tampered, unavailable } from './seal.ts';

const ALGORITHM = 'RSA-OAEP-256';
const HASH_BYTES = 32;
/** The version of the key that opens it, and what it opens. */
const WRAPPED = /^([0-9A-Za-z]{1,64}):/;

export interface AzureKey {
  /** An origin, such as `https://NAME.vault.azure.net`. */
  readonly vault: string;
  readonly name: string;
}

/**
 * An RSA key of Azure Key Vault, by the machine's identity. Its newest version wraps, and what was wrapped says which one opens it. RSA binds nothing to a
 * context, so the context's hash is wrapped with the key. https://learn.microsoft.com/rest/api/keyvault/keys/wrap-key/wrap-key
 */
export function azureKey({ vault, name }: AzureKey): KeyEncryptionKey {
  const { credential, options } = accessTo(vault);
  const keys = new KeyClient(vault, credential, options);
  const versions = new Map<string, CryptographyClient>();
  /** Nothing but its name is given: the SDK refuses to open with a version that has expired, which the vault does. */
  const opener = (version: string): CryptographyClient => {
    const known = versions.get(version);
    if (known) return known;
    const properties = { name, version, vaultUrl: vault } as KeyVaultKey['properties'];
    const key = { id: `${vault}/keys/${name}/${version}`, name, properties };
    const client = new CryptographyClient(key, credential, options);
    versions.set(version, client);
    return client;
  };
  return {
    id: `azure-key-vault:${vault}/keys/${name}`,
    wrap: async (plain, context) => {
      try {
        const newest = await keys.getKey(name);
        const client = new CryptographyClient(newest, credential, options);
        const { result } = await client.wrapKey(ALGORITHM, Buffer.concat([plain, hashOf(context)]));
        return Buffer.concat([Buffer.from(`${newest.properties.version}:`), result]);
      } catch (error) {
        throw errorFor(error, 'keys/wrapKey');
      }
    },
    unwrap: async (wrapped, context) => {
      const version = WRAPPED.exec(wrapped.toString('latin1'))?.[1];
      if (!version) throw tampered();
      try {
        const { result } = await opener(version).unwrapKey(ALGORITHM, wrapped.subarray(version.length + 1));
        const opened = Buffer.from(result);
        const said = opened.subarray(-HASH_BYTES);
        if (opened.length <= HASH_BYTES || !timingSafeEqual(said, hashOf(context))) throw tampered();
        return opened.subarray(0, -HASH_BYTES);
      } catch (error) {
        throw errorFor(error, 'keys/unwrapKey');
      }
    },
  };
}

function hashOf(context: string): Buffer {
  return createHash('sha256').update(context).digest();
}

/** Of the SDK's error only its name and its status are looked at. */
function errorFor(error: unknown, what: 'keys/wrapKey' | 'keys/unwrapKey'): LockgateError {
  if (error instanceof LockgateError) return error;
  const { name, statusCode } = error as { name?: string; statusCode?: number };
  if (statusCode === 400 && what === 'keys/unwrapKey') return tampered();
  if (isUnidentified(error)) return refused(what);
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500 && statusCode !== 429) return refused(what);
  // The SDK itself refuses to wrap with a key that has expired or is not for that.
  if (name === 'Error' && statusCode === undefined) return refused(what);
  return unavailable('Azure Key Vault');
}
