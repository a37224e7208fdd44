import { InputError } from '../contract/errors.ts';
import type { Secret } from '../contract/secret.ts';
import type { Backend, DeclaredManagers } from './managers.ts';

/** Which secret a source uses, as its record has it. */
export interface Reference {
  readonly manager: string;
  readonly secretId: string;
  readonly version: string | null;
}

const NAME = '[a-z0-9][a-z0-9-]{0,39}';
const PATH = '[A-Za-z0-9][A-Za-z0-9._/+=@-]{0,511}';
const TEXT = new RegExp(`^(?:(${NAME}):)?(${PATH})(?:#([A-Za-z0-9-]{1,64}))?$`);
/** A field of a secret that is kept elsewhere; without `.key` the whole of it. */
const FIELD = new RegExp(
  `^vault\\.secret\\((${NAME}):(${PATH}?)(?:#([A-Za-z0-9-]{1,64}))?(?:\\.([A-Za-z_][A-Za-z0-9_-]{0,127}))?\\)$`,
);

/** How deep fields may lie in a credential. */
export const MAX_DEPTH = 4;

/** Other tools' words for our backends. */
const FOREIGN_TYPES: Readonly<Record<string, Backend>> = {
  AwsSecretsManager: 'aws',
  GcpSecretManager: 'gcp',
  Env: 'env',
};

/**
 * Reads `my-creds`, `my-vault:path/to/secret`, `my-vault:path#version`, or the object `{ "type": "GcpSecretManager",
 * "secretName": "..." }`, also as JSON text. Throws `InputError`.
 */
export function parseReference(given: unknown, managers: DeclaredManagers, fallback: string): Reference {
  const parsed = typeof given === 'string' && given.trimStart().startsWith('{') ? fromJson(given) : given;
  if (typeof parsed === 'object' && parsed !== null) return fromObject(parsed as Record<string, unknown>, managers);
  const found = typeof parsed === 'string' ? TEXT.exec(parsed) : null;
  if (!found?.[2]) throw bad();
  return { manager: found[1] ?? fallback, secretId: found[2], version: found[3] ?? null };
}

/** A reference as one writes it. */
export function formatReference({ manager, secretId, version }: Reference, fallback: string): string {
  return `${manager === fallback ? '' : `${manager}:`}${secretId}${version ? `#${version}` : ''}`;
}

export interface FieldReference extends Reference {
  /** Null: the whole value. */
  readonly key: string | null;
}

/** `vault.secret(<manager>:<path>.<key>)`; null: the text is none of that. */
export function parseFieldReference(text: string): FieldReference | null {
  const found = FIELD.exec(text);
  if (!found?.[1] || !found[2]) return null;
  return { manager: found[1], secretId: found[2], version: found[3] ?? null, key: found[4] ?? null };
}

function fromObject({ type, secretName, version }: Record<string, unknown>, managers: DeclaredManagers): Reference {
  const backend = typeof type === 'string' ? FOREIGN_TYPES[type] : undefined;
  if (!backend || typeof secretName !== 'string' || !new RegExp(`^${PATH}$`).test(secretName)) throw bad();
  const fitting = [...managers.byName.values()].filter(({ settings }) => settings.backend === backend);
  const [only] = fitting;
  if (!only || fitting.length > 1) {
    throw new InputError(
      'invalid_reference',
      only
        ? `There are several secret managers of the kind ${type}.`
        : `There is no secret manager of the kind ${type}.`,
      only ? 'Name one: <manager>:<secret name>' : 'Declare it in LOCKGATE_SECRET_MANAGERS.',
    );
  }
  return { manager: only.name, secretId: secretName, version: typeof version === 'string' ? version : null };
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw bad();
  }
}

function bad(): InputError {
  return new InputError(
    'invalid_reference',
    'This names no credential.',
    'Use my-creds, my-manager:path/to/secret, my-manager:path#version, or {"type": "GcpSecretManager", "secretName": "..."}.',
  );
}

/** Whether any field is kept elsewhere, so that the credential is whole only when it is accessed. */
export function hasReferences(credential: Secret<unknown>): boolean {
  const found = (value: unknown, depth: number): boolean => {
    if (typeof value === 'string') return parseFieldReference(value) !== null;
    return typeof value === 'object' && value !== null && depth < MAX_DEPTH
      ? Object.values(value).some((each) => found(each, depth + 1))
      : false;
  };
  return found(credential.reveal(), 0);
}
