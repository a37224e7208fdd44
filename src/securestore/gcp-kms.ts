import { setTimeout as wait } from 'node:timers/promises';
import { Crc32c } from '@aws-sdk/checksums/crc';
import { ConfigError } from '../contract/errors.ts';
import { tokensOf, UNAUTHENTICATED } from '../google/key-file.ts';
import { type KeyEncryptionKey, refused, tampered, unavailable } from './seal.ts';

const SERVICE = 'Google Cloud KMS';
const ORIGIN = 'https://cloudkms.googleapis.com';
const TIMEOUT_MS = 20_000;
const MAX_ATTEMPTS = 3;
const WAIT_MS = 200;

export interface GcpKey {
  /** `projects/P/locations/L/keyRings/R/cryptoKeys/K` */
  readonly name: string;
  /** Null: Google's own. */
  readonly endpoint: string | null;
  /** A service account's key file; null: Application Default Credentials. */
  readonly credentialsFile: string | null;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * A symmetric key of Cloud KMS. Its newest version wraps, and Google finds the one that opens. What goes there and comes back is checked by CRC32C,
 * as Google asks for: https://cloud.google.com/kms/docs/data-integrity-guidelines
 */
export function gcpKey({ name, endpoint, credentialsFile }: GcpKey): KeyEncryptionKey {
  const token = tokensOf(credentialsFile, 'LOCKGATE_GCP_CREDENTIALS_FILE');
  const ask = async (what: 'encrypt' | 'decrypt', fields: Fields): Promise<Fields> => {
    const url = `${endpoint ?? ORIGIN}/v1/${name}:${what}`;
    for (let attempt = 1; ; attempt++) {
      const answer = await send(url, await tokenFor(token), fields);
      if (answer?.status === 200) return answer.body;
      if (answer && answer.status !== 429 && answer.status < 500) throw errorFor(what, answer);
      if (attempt === MAX_ATTEMPTS) throw unavailable(SERVICE);
      await wait(WAIT_MS * 2 ** attempt);
    }
  };
  return {
    id: `gcp-kms:${name}`,
    wrap: async (plain, context) => {
      const answer = await ask('encrypt', { ...(await checked('plaintext', plain)), ...(await bound(context)) });
      const { verifiedPlaintextCrc32c, verifiedAdditionalAuthenticatedDataCrc32c } = answer;
      const arrived = verifiedPlaintextCrc32c === true && verifiedAdditionalAuthenticatedDataCrc32c === true;
      return received(answer, 'ciphertext', arrived);
    },
    unwrap: async (wrapped, context) => {
      const answer = await ask('decrypt', { ...(await checked('ciphertext', wrapped)), ...(await bound(context)) });
      return received(answer, 'plaintext', true);
    },
  };
}

function bound(context: string): Promise<Fields> {
  return checked('additionalAuthenticatedData', Buffer.from(context));
}

async function checked(field: string, bytes: Buffer): Promise<Fields> {
  return { [field]: bytes.toString('base64'), [`${field}Crc32c`]: String(await crc32c(bytes)) };
}

async function received(answer: Fields, field: 'ciphertext' | 'plaintext', arrived: boolean): Promise<Buffer> {
  const bytes = Buffer.from(String(answer[field] ?? ''), 'base64');
  if (arrived && bytes.length > 0 && String(answer[`${field}Crc32c`]) === String(await crc32c(bytes))) return bytes;
  throw unavailable(SERVICE);
}

async function crc32c(bytes: Buffer): Promise<number> {
  const sum = new Crc32c();
  sum.update(bytes);
  return Buffer.from(await sum.digest()).readUInt32BE();
}

async function tokenFor(token: () => Promise<string>): Promise<string> {
  try {
    return await token();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if ((error as { code?: unknown }).code === UNAUTHENTICATED) throw refused('who asks');
    throw unavailable('What gives out tokens for Google Cloud KMS');
  }
}

/** Null: there was no answer. */
async function send(url: string, token: string, fields: Fields): Promise<{ status: number; body: Fields } | null> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(fields),
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return { status: response.status, body: (await response.json()) as Fields };
  } catch {
    return null;
  }
}

/** Of Google's error only its code is looked at. */
function errorFor(what: 'encrypt' | 'decrypt', { status, body }: { status: number; body: Fields }) {
  const { status: code } = (body.error ?? {}) as { status?: unknown };
  // The key, or the version that opens, is disabled or destroyed.
  if (status === 400 && what === 'decrypt' && code !== 'FAILED_PRECONDITION') return tampered();
  return refused(`cloudkms.cryptoKeyVersions.${what === 'encrypt' ? 'useToEncrypt' : 'useToDecrypt'}`);
}
