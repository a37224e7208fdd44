import * as age from 'age-encryption';
import { z } from 'zod';
import { InputError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';
import {
  type AccessPurpose,
  SECRET_TYPES,
  type SecretDirectory,
  type SecretReader,
  type SecretScope,
} from '../contract/secret-manager.ts';

const Scope = z.strictObject({ collections: z.array(z.string()).optional(), paths: z.array(z.string()).optional() });
const Bundle = z.strictObject({
  format: z.literal('lockgate-secrets/1'),
  secrets: z.array(
    z.strictObject({
      id: z.string(),
      type: z.enum(SECRET_TYPES),
      scope: Scope.nullable(),
      expiresAt: z.string().nullable(),
      /** The oldest first. */
      credentials: z.array(z.unknown()).min(1),
    }),
  ),
});

export interface Exported {
  readonly bytes: Uint8Array;
  readonly secrets: number;
  readonly versions: number;
}

/** All secrets of a manager with all their versions, sealed to an age recipient: each value read is an access of its own. */
export async function exportSecrets(
  from: {
    readonly directory: SecretDirectory;
    readonly reader: SecretReader;
    readonly manager: string;
    readonly workspace: string;
  },
  recipient: string,
  purpose: AccessPurpose,
): Promise<Exported> {
  const encrypter = new age.Encrypter();
  try {
    encrypter.addRecipient(recipient);
  } catch {
    throw new InputError(
      'invalid_recipient',
      'This is no age recipient.',
      'It begins with age1; make one with age-keygen.',
    );
  }
  const secrets: z.infer<typeof Bundle>['secrets'] = [];
  for await (const { id } of from.directory.list()) {
    const { versions, connectorType: type, scope, expiresAt } = await from.directory.describe(id);
    const credentials: unknown[] = [];
    for (const { version } of (versions ?? []).toReversed()) {
      const ref = { manager: from.manager, workspace: from.workspace, secretId: id, version };
      credentials.push((await from.reader.access(ref, purpose)).value.reveal());
    }
    secrets.push({ id, type, scope: scope as z.infer<typeof Scope> | null, expiresAt, credentials });
  }
  const bytes = await encrypter.encrypt(JSON.stringify({ format: 'lockgate-secrets/1', secrets }));
  return {
    bytes,
    secrets: secrets.length,
    versions: secrets.reduce((sum, { credentials }) => sum + credentials.length, 0),
  };
}

/** Puts the secrets of a bundle into a manager; what is there already is left alone and named. */
export async function importSecrets(
  into: SecretDirectory,
  bytes: Uint8Array,
  identity: Secret<string>,
): Promise<{ imported: string[]; skipped: string[] }> {
  const bundle = await opened(bytes, identity);
  const there = new Set<string>();
  for await (const { id } of into.list()) there.add(id);
  const imported: string[] = [];
  const skipped: string[] = [];
  for (const { id, type, scope, expiresAt, credentials } of bundle.secrets) {
    if (there.has(id)) {
      skipped.push(id);
      continue;
    }
    const metadata = { ...(scope ? { scope: scope as SecretScope } : {}), ...(expiresAt ? { expiresAt } : {}) };
    for (const credential of credentials) await into.put(id, type, new Secret(credential), metadata);
    imported.push(id);
  }
  return { imported, skipped };
}

async function opened(bytes: Uint8Array, identity: Secret<string>): Promise<z.infer<typeof Bundle>> {
  const decrypter = new age.Decrypter();
  try {
    decrypter.addIdentity(identity.reveal().trim());
  } catch {
    throw new InputError('invalid_identity', 'The identity file does not hold an age identity.');
  }
  try {
    return Bundle.parse(JSON.parse(await decrypter.decrypt(bytes, 'text')));
  } catch {
    throw new InputError('invalid_bundle', 'This is no export of secrets, or it is sealed to another identity.');
  }
}
