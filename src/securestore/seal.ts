import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { LockgateError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';

/** What a value is sealed for: it opens in this place and in no other. */
export interface VersionName {
  readonly store: string;
  readonly workspace: string;
  readonly secretId: string;
  readonly version: number;
  readonly type: string;
}

/** A key that wraps keys and never leaves where it lives. */
export interface KeyEncryptionKey {
  /** Says which key it is, and nothing of it. */
  readonly id: string;
  wrap(key: Buffer, context: string): Promise<Buffer>;
  /** Throws when the key was wrapped by another one, or with another context. */
  unwrap(wrapped: Buffer, context: string): Promise<Buffer>;
}

export interface Sealed {
  readonly kek: string;
  readonly wrapped: Buffer;
  readonly iv: Buffer;
  /** The ciphertext with its tag behind it. */
  readonly data: Buffer;
  readonly commitment: Buffer;
}

const KEY_BYTES = 32;
const IV_BYTES = 12;
/** Node takes tags of 4 bytes from whoever does not say how long they are. */
const TAG_BYTES = 16;

/**
 * Envelope encryption: a key of its own for each version, which seals one value and no other, so that a random nonce is enough;
 * AES-256-GCM with the version's name as associated data; a commitment to the key, because GCM alone lets one ciphertext open
 * under two keys. https://docs.aws.amazon.com/encryption-sdk/latest/developer-guide/concepts.html#key-commitment
 */
export async function seal(value: Secret<string>, name: VersionName, kek: KeyEncryptionKey): Promise<Sealed> {
  const key = randomBytes(KEY_BYTES);
  try {
    const wrapped = await kek.wrap(key, contextOf(name));
    const iv = randomBytes(IV_BYTES);
    const data = encrypt(derived(key, 'enc'), iv, Buffer.from(value.reveal(), 'utf8'), contextOf(name));
    return { kek: kek.id, wrapped, iv, data, commitment: derived(key, 'commit') };
  } finally {
    key.fill(0);
  }
}

/** Throws `value_tampered` when it is not what was sealed, or not for this name. */
export async function unseal(sealed: Sealed, name: VersionName, kek: KeyEncryptionKey): Promise<Secret<string>> {
  const key = await unwrapped(sealed, name, kek);
  try {
    if (!same(derived(key, 'commit'), sealed.commitment)) throw tampered();
    return new Secret(decrypt(derived(key, 'enc'), sealed.iv, sealed.data, contextOf(name)).toString('utf8'));
  } catch {
    throw tampered();
  } finally {
    key.fill(0);
  }
}

/** The same value under another wrapping key: the value itself is not touched. */
export async function rewrap(
  sealed: Sealed,
  name: VersionName,
  from: KeyEncryptionKey,
  to: KeyEncryptionKey,
): Promise<Pick<Sealed, 'kek' | 'wrapped'>> {
  const key = await unwrapped(sealed, name, from);
  try {
    if (!same(derived(key, 'commit'), sealed.commitment)) throw tampered();
    return { kek: to.id, wrapped: await to.wrap(key, contextOf(name)) };
  } finally {
    key.fill(0);
  }
}

/** AES-256-GCM; the tag stands behind the ciphertext. */
export function encrypt(key: Buffer, iv: Buffer, plain: Buffer, context: string): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(context));
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

export function decrypt(key: Buffer, iv: Buffer, data: Buffer, context: string): Buffer {
  if (data.length < TAG_BYTES || iv.length !== IV_BYTES) throw tampered();
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(data.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(data.subarray(0, -TAG_BYTES)), decipher.final()]);
}

function contextOf({ store, workspace, secretId, version, type }: VersionName): string {
  return JSON.stringify(['lockgate-securestore/1', store, workspace, secretId, version, type]);
}

async function unwrapped({ wrapped }: Sealed, name: VersionName, kek: KeyEncryptionKey): Promise<Buffer> {
  const key = await kek.unwrap(wrapped, contextOf(name));
  if (key.length === KEY_BYTES) return key;
  throw tampered();
}

function derived(key: Buffer, what: 'enc' | 'commit'): Buffer {
  return Buffer.from(hkdfSync('sha512', key, '', `lockgate-securestore/1 ${what}`, KEY_BYTES));
}

function same(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

export function tampered(): LockgateError {
  return new LockgateError(
    'value_tampered',
    'The stored value is not what was sealed in this place.',
    'Restore the database from a backup, and look at who could write to it.',
  );
}

export function refused(what: string): LockgateError {
  return new LockgateError(
    'key_refused',
    `The service that keeps the key refuses ${what}.`,
    'SecureStore needs to encrypt and to decrypt with this key, and nothing else.',
  );
}

export function unavailable(service: string): LockgateError {
  return new LockgateError('key_unavailable', `${service} did not answer as it should.`, 'It is tried again.');
}
