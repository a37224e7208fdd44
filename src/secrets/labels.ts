import { SECRET_TYPES, type SecretMetadata, type SecretScope, type SecretType } from '../contract/secret-manager.ts';

/** What a backend keeps beside a value, so that listing never reads one. */
export interface Described {
  readonly id: string;
  readonly workspace: string;
  readonly type: SecretType;
  readonly scope: SecretScope | null;
  readonly expiresAt: string | null;
}

/** Tags of Azure Key Vault and AWS hold this many characters. */
const CHUNK_CHARACTERS = 250;
const MAX_CHUNKS = 4;

/**
 * The labels of a secret: `lockgate<separator>id` and so on. Values have only what every backend takes, which for a scope is
 * base64url of JSON, in pieces.
 */
export function toLabels(described: Described, separator: string): Record<string, string> {
  const { id, workspace, type, scope, expiresAt } = described;
  const text = scope ? Buffer.from(JSON.stringify(scope)).toString('base64url') : '';
  const key = (name: string) => `lockgate${separator}${name}`;
  const chunks = Math.ceil(text.length / CHUNK_CHARACTERS);
  return {
    [key('id')]: id,
    [key('workspace')]: workspace,
    [key('type')]: type,
    ...(expiresAt ? { [key('expires')]: expiresAt } : {}),
    ...(scope ? { [key('scope')]: String(chunks) } : {}),
    ...Object.fromEntries(
      Array.from({ length: chunks }, (_, at) => [
        key(`scope${separator}${at + 1}`),
        text.slice(at * CHUNK_CHARACTERS, (at + 1) * CHUNK_CHARACTERS),
      ]),
    ),
  };
}

/** Null: they are not the labels of a secret of ours. A scope that cannot be read permits nothing. */
export function fromLabels(
  labels: Readonly<Record<string, string | undefined>> | null | undefined,
  separator: string,
): Described | null {
  const value = (name: string) => labels?.[`lockgate${separator}${name}`];
  const id = value('id');
  const workspace = value('workspace');
  const type = SECRET_TYPES.find((known) => known === value('type'));
  if (!id || !workspace || !type) return null;
  const expires = value('expires');
  const expiresAt = expires && !Number.isNaN(Date.parse(expires)) ? expires : null;
  const chunks = Array.from(
    { length: Number(value('scope') ?? 0) },
    (_, at) => value(`scope${separator}${at + 1}`) ?? '',
  );
  return { id, workspace, type, scope: chunks.length > 0 ? scopeOf(chunks.join('')) : null, expiresAt };
}

function scopeOf(text: string): SecretScope {
  try {
    const scope: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    if (typeof scope === 'object' && scope !== null) return scope;
  } catch {
    // Falls through.
  }
  return { collections: [], paths: [] };
}

/** Labels without ours: what other tools have put beside a secret. */
export function withoutOurs(
  labels: Readonly<Record<string, string>> | null | undefined,
  separator: string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(labels ?? {}).filter(([key]) => !key.startsWith(`lockgate${separator}`)));
}

/** Whether labels can hold a scope. */
export function fitsLabels(scope: SecretScope): boolean {
  return Buffer.from(JSON.stringify(scope)).toString('base64url').length <= CHUNK_CHARACTERS * MAX_CHUNKS;
}

/** What a new version says beside its value: a scope stays as it was unless another is given. */
export function describedAs(
  tuple: Pick<Described, 'id' | 'workspace' | 'type'>,
  metadata: SecretMetadata | undefined,
  known: { readonly scope: SecretScope | null } | null,
): Described {
  const scope = metadata?.scope ?? known?.scope ?? null;
  const empty = scope !== null && !scope.collections && !scope.paths;
  return { ...tuple, scope: empty ? null : scope, expiresAt: metadata?.expiresAt ?? null };
}
