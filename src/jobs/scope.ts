import { SecretAccessDeniedError } from '../contract/errors.ts';
import type { AccessedSecret } from '../contract/secret-manager.ts';

/** What a credential is about to be used for. */
export interface Use {
  readonly path: string;
  /** Null: no collection. */
  readonly collection?: string | null;
}

/**
 * Throws `SecretAccessDeniedError` unless the secret may be used for this: knowing a credential's ID is not the right to use
 * it. To be asked after the access and before the first request.
 */
export function assertScope({ scope, ref }: Pick<AccessedSecret, 'scope' | 'ref'>, { path, collection }: Use): void {
  if (!scope) return;
  if (scope.collections && !(collection && scope.collections.includes(collection))) {
    throw refusal(ref.secretId, collection ? `the collection "${collection}"` : 'anything outside its collections');
  }
  if (scope.paths && !scope.paths.some((allowed) => covers(allowed, path))) throw refusal(ref.secretId, path);
}

/** Whether `path` is the allowed place or lies below it. */
export function covers(allowed: string, path: string): boolean {
  const outer = canonical(allowed);
  const inner = canonical(path);
  return outer !== null && inner !== null && (inner === outer || inner.startsWith(`${outer}/`));
}

/**
 * Keys of object stores are what they are. Paths of SharePoint are compared as it compares them: without case, decoded. Null:
 * it cannot be compared safely.
 */
function canonical(path: string): string | null {
  if (!/^https:/i.test(path)) return path.replace(/\/+$/, '');
  try {
    const { host, pathname } = new URL(path);
    const segments = pathname.split('/').filter(Boolean).map(decodeURIComponent);
    if (segments.some((segment) => segment.includes('/') || segment === '..')) return null;
    return [`https://${host}`, ...segments].join('/').toLowerCase();
  } catch {
    return null;
  }
}

function refusal(id: string, what: string): SecretAccessDeniedError {
  return new SecretAccessDeniedError(
    `"${id}" may not be used for ${what}.`,
    'Its scope says so: see lockgate secrets describe, and change it with --for-collection and --for-path of secrets put.',
  );
}
