import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as age from 'age-encryption';
import { SecretAccessDeniedError, SecretManagerError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import { syncFolder } from './layout.ts';

/** Where the key pair lies. Whoever only adds secrets needs the recipient alone. */
export interface KeyFiles {
  /** The public key: seals. */
  readonly recipientFile: string;
  /** The private key: opens. Mode 0600. */
  readonly identityFile: string;
}

const OPEN_TO_OTHERS = 0o077;

/** The recipient. Makes the key pair first where there is neither half of it. */
export async function readRecipient(keys: KeyFiles): Promise<string> {
  const found = await readFile(keys.recipientFile, 'utf8').catch(absent);
  if (found !== null) return found.trim();
  const identity = await readFile(keys.identityFile, 'utf8').catch(absent);
  return publish(keys, identity === null ? await makeIdentity(keys.identityFile) : (linesOf(identity)[0] ?? ''));
}

/** The identities, one a line, the current one first. Refuses a file that others may read. */
export async function readIdentities(keys: KeyFiles): Promise<Secret<readonly string[]>> {
  const found = await stat(keys.identityFile).catch(absent);
  if (found === null) {
    throw new SecretManagerError(
      'identity_missing',
      `The identity that opens the secrets is not at ${keys.identityFile}.`,
      'Only workers have it. Restore it from your backup, or point LOCKGATE_IDENTITY_FILE at it.',
    );
  }
  if (process.platform !== 'win32' && (found.mode & OPEN_TO_OTHERS) !== 0) {
    throw new SecretAccessDeniedError(
      `The identity ${keys.identityFile} can be read by others (mode ${(found.mode & 0o777).toString(8)}).`,
      `Close it first: chmod 600 ${keys.identityFile}`,
    );
  }
  return new Secret(linesOf(await readFile(keys.identityFile, 'utf8').catch(denied)));
}

/** As in age's own identity files: comments begin with a hash. */
export function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** Replaces the identities, whole and durably. */
export async function writeIdentities(path: string, identities: Secret<readonly string[]>): Promise<void> {
  const temporary = await writeNew(path, `${identities.reveal().join('\n')}\n`);
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

async function writeNew(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomUUID()}.tmp`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}

async function makeIdentity(path: string): Promise<string> {
  const identity = await age.generateIdentity();
  const temporary = await writeNew(path, `${identity}\n`);
  try {
    // Of two processes that make one at once, the first wins and the other takes its.
    await link(temporary, path);
    await syncFolder(dirname(path));
    return identity;
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error;
    return linesOf(await readFile(path, 'utf8'))[0] ?? '';
  } finally {
    await rm(temporary, { force: true });
  }
}

export async function publish(keys: KeyFiles, identity: string): Promise<string> {
  const recipient = await age.identityToRecipient(identity);
  await mkdir(dirname(keys.recipientFile), { recursive: true, mode: 0o700 });
  const temporary = `${keys.recipientFile}.${randomUUID()}.tmp`;
  await writeFile(temporary, `${recipient}\n`, { mode: 0o644, flush: true });
  await rename(temporary, keys.recipientFile);
  return recipient;
}

function absent(error: { code?: string }): null {
  if (error.code === 'ENOENT') return null;
  return denied(error);
}

function denied(error: { code?: string }): never {
  if (error.code !== 'EACCES' && error.code !== 'EPERM') throw error;
  throw new SecretAccessDeniedError(
    'This user may not read the key files of the secret manager.',
    'Run as the user that owns LOCKGATE_DATA_DIR.',
  );
}
