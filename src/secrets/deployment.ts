import { z } from 'zod';
import { CredentialNotFoundError, CredentialUnusableError } from '../contract/errors.ts';
import { parseFields } from '../contract/fields.ts';
import type { Secret } from '../contract/secret.ts';
import type { SecretReader, SecretRef } from '../contract/secret-manager.ts';
import { SECRET_ID } from './identifier.ts';
import type { NamedManager } from './managers.ts';
import { openReader } from './open-reader.ts';

/** What opens the deployment's database. */
export const DatabaseCredential = z.object({ username: z.string().min(1), password: z.string().min(1) });
export type DatabaseCredential = z.infer<typeof DatabaseCredential>;

/**
 * Reads the one secret of the deployment itself that its environment names, be it one of ours of the type `database` or one
 * of another tool. A credential of a source cannot be read this way.
 */
export function deploymentReader({ settings }: NamedManager): SecretReader {
  const reader = openReader(settings);
  return {
    access: async (ref, purpose) => {
      const accessed = await own(reader, ref, purpose);
      if (accessed.connectorType === null || accessed.connectorType === 'database') return accessed;
      throw new CredentialUnusableError(
        'credential_wrong_type',
        `"${ref.secretId}" is a credential of type ${accessed.connectorType}, not of the database.`,
        'Store it as what it is: lockgate secrets put <id> --type database < credential.json',
      );
    },
  };
}

async function own(reader: SecretReader, ref: SecretRef, purpose: Parameters<SecretReader['access']>[1]) {
  if (!SECRET_ID.test(ref.secretId)) return reader.access({ ...ref, foreign: true }, purpose);
  try {
    return await reader.access(ref, purpose);
  } catch (error) {
    if (!(error instanceof CredentialNotFoundError)) throw error;
    return reader.access({ ...ref, foreign: true }, purpose);
  }
}

/** Throws `InputError` that names the fields. */
export function databaseCredential(value: Secret<unknown>): Secret<DatabaseCredential> {
  return value.map((fields) =>
    parseFields(DatabaseCredential, fields, 'credential_malformed', 'secret of the database'),
  );
}
