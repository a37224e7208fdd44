import { CredentialUnusableError } from '../contract/errors.ts';
import type { AccessPurpose, SecretReader, SecretRef } from '../contract/secret-manager.ts';
import { type FieldReference, MAX_DEPTH, parseFieldReference } from './reference.ts';

/** More than any credential has fields; each is an access of its own. */
const MAX_REFERENCES = 32;

/**
 * Puts credentials together whose fields are kept elsewhere: a field that reads `vault.secret(manager:path.key)` is
 * replaced by what it names, in the same workspace and with the same rights. What is found is not looked into again.
 */
export function composedReader(reader: SecretReader): SecretReader {
  return {
    access: async (ref, purpose) => {
      const accessed = await reader.access(ref, purpose);
      if (ref.foreign || accessed.connectorType === null) return accessed;
      const names = new Map<string, FieldReference>();
      collect(accessed.value.reveal(), names, 0);
      if (names.size === 0) return accessed;
      if (names.size > MAX_REFERENCES) throw unusable(ref, `has more than ${MAX_REFERENCES} references`);
      const values = new Map<string, unknown>();
      for (const [text, field] of names) values.set(text, await resolve(reader, ref, field, purpose));
      return { ...accessed, value: accessed.value.map((value) => replaced(value, values, 0)) };
    },
  };
}

async function resolve(
  reader: SecretReader,
  from: SecretRef,
  { manager, secretId, version, key }: FieldReference,
  purpose: AccessPurpose,
): Promise<unknown> {
  const ref = { manager, workspace: from.workspace, secretId, ...(version ? { version } : {}) };
  const { value, connectorType } = await reader.access(ref, purpose);
  // Whoever may store a credential must not get at another one by naming it in a field that is sent somewhere.
  if (connectorType !== null)
    throw unusable(from, `asks for ${manager}:${secretId}, which is a credential and no secret of another tool`);
  if (key === null) return value.reveal();
  const fields = value.reveal();
  const found =
    typeof fields === 'object' && fields !== null && Object.hasOwn(fields, key)
      ? (fields as Record<string, unknown>)[key]
      : undefined;
  if (found !== undefined) return found;
  throw unusable(from, `asks for a field of ${manager}:${secretId} that is not there`);
}

function collect(value: unknown, into: Map<string, FieldReference>, depth: number): void {
  if (typeof value === 'string') {
    const field = parseFieldReference(value);
    if (field) into.set(value, field);
  } else if (typeof value === 'object' && value !== null && depth < MAX_DEPTH) {
    for (const each of Object.values(value)) collect(each, into, depth + 1);
  }
}

function replaced(value: unknown, values: ReadonlyMap<string, unknown>, depth: number): unknown {
  if (typeof value === 'string') return values.has(value) ? values.get(value) : value;
  if (Array.isArray(value)) return value.map((each) => replaced(each, values, depth + 1));
  if (typeof value !== 'object' || value === null || depth >= MAX_DEPTH) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, replaced(each, values, depth + 1)]));
}

function unusable({ secretId }: SecretRef, why: string): CredentialUnusableError {
  return new CredentialUnusableError(
    'credential_malformed',
    `"${secretId}" ${why}.`,
    'Correct the reference or the secret.',
  );
}
