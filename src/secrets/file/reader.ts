import { isDeepStrictEqual } from 'node:util';
import * as age from 'age-encryption';
import { CredentialNotFoundError, CredentialUnusableError, SecretAccessDeniedError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { AccessedSecret, SecretReader } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { type KeyFiles, readIdentities } from './keys.ts';
import {
  type FileLocation,
  type Labels,
  readVersion,
  scopeOf,
  secretFolder,
  versionFile,
  versionsIn,
} from './layout.ts';

/** The reading half of the `file` secret manager: for processes that hold the identity. */
export function openFileReader(folder: string, keys: KeyFiles): SecretReader {
  return {
    access: async (ref) => {
      if (ref.foreign) throw new CredentialNotFoundError(ref.secretId);
      assertSecretId(ref.secretId);
      const at: FileLocation = { folder, workspace: ref.workspace };
      const own = secretFolder(at, ref.secretId);
      const versions = await versionsIn(own);
      const version = ref.version ?? versions[0];
      if (version === undefined || !versions.includes(version)) throw new CredentialNotFoundError(ref.secretId);
      const { labels, sealed } = await readVersion(versionFile(own, version));
      const value = await unseal(keys, sealed, ref.secretId);
      return released(value, labels, { ...ref, version });
    },
  };
}

interface Opened {
  readonly labels: unknown;
  readonly credential: unknown;
}

/** What an identity opens; null: it opens nothing of this. Throws for what is no identity. */
export async function openSealed(identities: Secret<readonly string[]>, sealed: Uint8Array): Promise<Opened | null> {
  const decrypter = new age.Decrypter();
  try {
    for (const identity of identities.reveal()) decrypter.addIdentity(identity);
  } catch {
    throw new SecretAccessDeniedError(
      'The identity file does not hold an age identity.',
      'Check LOCKGATE_IDENTITY_FILE',
    );
  }
  try {
    // As a stream: of anything else the library makes a text with what is behind `fetch`, which is loaded for nothing else.
    const opened = await decrypter.decrypt(ReadableStream.from([sealed]));
    return JSON.parse(Buffer.concat(await Array.fromAsync(opened)).toString());
  } catch {
    return null;
  }
}

async function unseal(keys: KeyFiles, sealed: Uint8Array, id: string): Promise<Opened> {
  const opened = await openSealed(await readIdentities(keys), sealed);
  if (opened) return opened;
  throw new CredentialUnusableError(
    'credential_tampered',
    `The credential "${id}" cannot be opened: it was sealed to another identity, or its file was altered.`,
  );
}

function released(opened: Opened, labels: Labels, ref: AccessedSecret['ref']): AccessedSecret {
  const expected = { ...labels, workspace: ref.workspace, id: ref.secretId, version: ref.version };
  if (!isDeepStrictEqual(opened.labels, expected)) {
    throw new CredentialUnusableError(
      'credential_tampered',
      `The file of the credential "${ref.secretId}" holds another secret or has other labels than when it was sealed.`,
    );
  }
  return {
    ref,
    connectorType: labels.connectorType,
    value: new Secret(opened.credential),
    scope: scopeOf(labels),
  };
}
