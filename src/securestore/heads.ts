import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Head } from '../audit/chain.ts';
import { createNew } from '../audit/new-file.ts';
import { ConfigError } from '../contract/errors.ts';

/** How far the log had come at a time, signed: whoever has the public key can tell that nothing was cut off since. */
export interface SignedHead extends Head {
  readonly at: string;
  /** Base64, by Ed25519, over the rest. */
  readonly signature: string;
}

function textOf({ at, seq, mac }: Omit<SignedHead, 'signature'>): Buffer {
  return Buffer.from(`lockgate-securestore head ${at} ${seq} ${mac}`);
}

export function signHead(head: Head, at: string, key: KeyObject): SignedHead {
  const text = textOf({ at, ...head });
  return { at, seq: head.seq, mac: head.mac, signature: sign(null, text, key).toString('base64') };
}

export function isSigned(head: SignedHead, key: KeyObject): boolean {
  return verify(null, textOf(head), key, Buffer.from(head.signature, 'base64'));
}

export function headsFile(auditFile: string): string {
  return `${auditFile}.heads`;
}

export async function noteHead(auditFile: string, head: SignedHead): Promise<void> {
  await appendFile(headsFile(auditFile), `${JSON.stringify(head)}\n`, { mode: 0o600, flush: true });
}

/** What was signed so far. Lines that no key of ours signed are told of by `forged`. */
export async function notedHeads(auditFile: string, key: KeyObject): Promise<{ heads: SignedHead[]; forged: number }> {
  const text = await readFile(headsFile(auditFile), 'utf8').catch(() => '');
  const publicKey = createPublicKey(key);
  const heads: SignedHead[] = [];
  let forged = 0;
  for (const line of text.split('\n').filter(Boolean)) {
    const head = parsed(line);
    if (head && isSigned(head, publicKey)) heads.push(head);
    else forged++;
  }
  return { heads, forged };
}

function parsed(line: string): SignedHead | null {
  try {
    const { at, seq, mac, signature } = JSON.parse(line) as SignedHead;
    return typeof at === 'string' &&
      Number.isSafeInteger(seq) &&
      typeof mac === 'string' &&
      typeof signature === 'string'
      ? { at, seq, mac, signature }
      : null;
  } catch {
    return null;
  }
}

/** Made when it is not there; of processes that make it at once, one wins. */
export async function signingKey(file: string): Promise<KeyObject> {
  const text = await readFile(file, 'utf8').catch((error: { code?: string }) => {
    if (error.code === 'ENOENT') return null;
    throw new ConfigError(`The signing key ${file} cannot be read.`, 'Check that this user may read it.');
  });
  if (text === null) {
    const { privateKey } = generateKeyPairSync('ed25519');
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await createNew(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 0o600, true);
    return signingKey(file);
  }
  try {
    return createPrivateKey(text);
  } catch {
    throw new ConfigError(`The signing key ${file} is no key in PEM.`, 'Restore it, or remove it to have one made.');
  }
}
