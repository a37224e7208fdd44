import { z } from 'zod';
import { CONNECTOR_TYPES, type ConnectorType } from '../../contract/connector.ts';
import { ConfigError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { SecretScope } from '../../contract/secret-manager.ts';

const PREFIX = 'LOCKGATE_SECRET_';
/** Settings that begin with the prefix and are no secrets. */
const SETTINGS = /^LOCKGATE_SECRET_(MANAGER|MANAGERS|PREFIX|NAME_TEMPLATE|PATHS)$/;

/** One credential of the environment. The value was taken out of the environment when the process started. */
export interface EnvSecret {
  readonly id: string;
  readonly variable: string;
  /** From `<variable>_TYPE`; null where it is missing or no connector type. */
  readonly connectorType: ConnectorType | null;
  /** From `<variable>_SCOPE`. */
  readonly scope: SecretScope | null;
  readonly value:
    | { readonly kind: 'json'; readonly json: Secret<string> }
    | { readonly kind: 'file'; readonly path: string };
}

/**
 * Finds `LOCKGATE_SECRET_<ID>` (JSON) and `LOCKGATE_SECRET_<ID>_FILE` (a mounted file) with `LOCKGATE_SECRET_<ID>_TYPE`.
 * `MY_CREDS` is the credential `my-creds`: one spelling for each variable, so that no two IDs share one.
 */
export function findEnvSecrets(environment: Readonly<Record<string, string | undefined>>): EnvSecret[] {
  const found: EnvSecret[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || SETTINGS.test(name) || /_(TYPE|SCOPE)$/.test(name) || value === undefined) continue;
    const variable = name.endsWith('_FILE') ? name.slice(0, -'_FILE'.length) : name;
    if (variable !== name && environment[variable] !== undefined) continue;
    const suffix = variable.slice(PREFIX.length);
    if (!/^[A-Z0-9][A-Z0-9_]{0,127}$/.test(suffix)) continue;
    const type = environment[`${variable}_TYPE`];
    found.push({
      id: suffix.toLowerCase().replaceAll('_', '-'),
      variable: name,
      connectorType: CONNECTOR_TYPES.find((known) => known === type) ?? null,
      scope: scopeIn(environment, `${variable}_SCOPE`),
      value: variable === name ? { kind: 'json', json: new Secret(value) } : { kind: 'file', path: value },
    });
  }
  return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

const Scope = z.strictObject({ collections: z.array(z.string()).optional(), paths: z.array(z.string()).optional() });

/** JSON such as `{"collections": ["handbook"], "paths": ["s3://bucket/docs"]}`. A scope that cannot be read must not be no scope. */
function scopeIn(environment: Readonly<Record<string, string | undefined>>, variable: string): SecretScope | null {
  const text = environment[variable];
  if (!text) return null;
  try {
    return Scope.parse(JSON.parse(text)) as SecretScope;
  } catch {
    throw new ConfigError(
      `${variable} is no scope.`,
      'Such as {"collections": ["handbook"], "paths": ["s3://bucket/docs"]}',
    );
  }
}
