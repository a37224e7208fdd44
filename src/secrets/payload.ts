import { CredentialUnusableError, InputError, SecretManagerError } from '../contract/errors.ts';
import type { Secret } from '../contract/secret.ts';
import type { SecretMetadata, SecretType } from '../contract/secret-manager.ts';
import { assertSecretId } from './identifier.ts';
import { fitsLabels } from './labels.ts';

/** A credential as the text that a backend keeps. Throws `credential_too_large`. */
export function payloadOf(credential: Secret<unknown>, maxBytes: number): Secret<string> {
  return credential.map((value) => {
    const text = JSON.stringify(value);
    if (Buffer.byteLength(text) <= maxBytes) return text;
    throw new InputError('credential_too_large', `A credential may have ${maxBytes} bytes at the most.`);
  });
}

/** The credential in a backend's text. Throws `credential_malformed`, and not the parser's own message: it quotes the text. */
export function parsePayload(text: string, id: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CredentialUnusableError('credential_malformed', `"${id}" does not hold JSON.`);
  }
}

/** What another tool put into a secret: its fields where it is JSON, else the text. */
export function parseForeign(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Throws `InputError` for what no backend takes. */
export function assertPut(id: string, metadata: SecretMetadata | undefined): void {
  assertSecretId(id);
  if (metadata?.scope && !fitsLabels(metadata.scope))
    throw new InputError(
      'scope_too_long',
      'So many collections and paths do not fit beside a credential.',
      'Name folders above them.',
    );
}

/** Throws `credential_wrong_type` unless a new version has the type of those before; `known` null: the name is not ours. */
export function assertSameType(id: string, known: SecretType | null, type: SecretType): void {
  if (known === type) return;
  throw new SecretManagerError(
    'credential_wrong_type',
    known
      ? `"${id}" is a credential of type ${known}, so a version of type ${type} would break its sources.`
      : `The name that "${id}" would have is taken by a secret that was not made for it.`,
    'Choose another ID, or remove the old one first.',
  );
}
