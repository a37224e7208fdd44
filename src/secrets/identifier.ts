import { createHash } from 'node:crypto';
import { InputError } from '../contract/errors.ts';

export const SECRET_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Throws `InputError` unless the text can be a secret ID in every backend. */
export function assertSecretId(id: string): void {
  if (SECRET_ID.test(id)) return;
  throw new InputError(
    'invalid_secret_id',
    'The credential ID is not valid.',
    'Use up to 128 letters, digits, dots, hyphens and underscores, and begin with a letter or digit.',
  );
}

/**
 * A file name for the tuple: readable, and injective also where file names ignore case, because part of a hash of the
 * exact tuple follows.
 */
export function fileNameOf(workspace: string, id: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([workspace, id]))
    .digest('hex')
    .slice(0, 16);
  return `${id.toLowerCase().slice(0, 100)}.${hash}`;
}

/**
 * A name for a secret manager that many share: readable, and injective because part of a hash of the exact tuple
 * follows. Letters, digits, hyphens and underscores; at most 40 + 200 + 14 characters.
 */
export function sharedNameOf(prefix: string, workspace: string, id: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([workspace, id]))
    .digest('hex')
    .slice(0, 12);
  const slug = `${workspace}-${id}`.replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 200);
  return `${prefix}-${slug}-${hash}`;
}
