import { join, resolve } from 'node:path';
import type { AuditFiles } from './audit/file-log.ts';
import { ConfigError } from './contract/errors.ts';
import { Secret } from './contract/secret.ts';
import type { DatabaseTarget } from './db/open.ts';
import { readManagers } from './secrets/declared.ts';
import { type Environment, oneOf } from './secrets/environment.ts';
import type { DeclaredManagers } from './secrets/managers.ts';
import { parseReference, type Reference } from './secrets/reference.ts';

export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;

/** The deployment's settings, read once from the environment. */
export interface Config {
  readonly workspace: string;
  readonly dataDir: string;
  readonly database: DatabaseTarget;
  readonly secretManagers: DeclaredManagers;
  /** Where the user and the password of the database are; null: in its URL. */
  readonly databaseSecret: Reference | null;
  readonly contentDir: string;
  readonly audit: AuditFiles;
  /** Origins outside the providers' own domains that secrets may name. */
  readonly allowedEndpoints: readonly string[];
  /** Whether credentials may use the identity of the machine. */
  readonly ambientCredentials: boolean;
  /** Null: as the command has it. */
  readonly logLevel: (typeof LOG_LEVELS)[number] | null;
}

/**
 * Reads and checks the environment. Throws `ConfigError` that names the variable. Variables that hold a secret are
 * taken out of the environment, so that no child process and no report can show them.
 */
export function readConfig(environment: Environment = process.env): Config {
  const dataDir = resolve(environment.LOCKGATE_DATA_DIR || './data');
  const secretManagers = readManagers(environment, dataDir);
  const config: Config = {
    workspace: workspace(environment),
    dataDir,
    database: database(environment, dataDir),
    secretManagers,
    databaseSecret: databaseSecret(environment, secretManagers),
    contentDir: resolve(environment.LOCKGATE_CONTENT_STORE || join(dataDir, 'content')),
    audit: {
      file: join(dataDir, 'audit', 'access.jsonl'),
      keyFile: resolve(environment.LOCKGATE_AUDIT_KEY_FILE || join(dataDir, 'keys', 'audit.txt')),
    },
    allowedEndpoints: allowedEndpoints(environment),
    ambientCredentials: oneOf(environment, 'LOCKGATE_AMBIENT_CREDENTIALS', ['on', 'off'] as const, 'off') === 'on',
    logLevel: environment.LOCKGATE_LOG_LEVEL ? oneOf(environment, 'LOCKGATE_LOG_LEVEL', LOG_LEVELS, 'info') : null,
  };
  return Object.freeze(config);
}

function workspace(environment: Environment): string {
  const name = environment.LOCKGATE_WORKSPACE || 'default';
  if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(name)) return name;
  throw new ConfigError('LOCKGATE_WORKSPACE is not a name.', 'Use up to 63 lower-case letters, digits and hyphens.');
}

function databaseSecret(environment: Environment, managers: DeclaredManagers): Reference | null {
  const given = environment.DATABASE_SECRET;
  if (!given) return null;
  const reference = parseReference(given, managers, managers.default ?? '');
  if (managers.byName.has(reference.manager)) return reference;
  throw new ConfigError(
    'DATABASE_SECRET names no secret manager of the deployment.',
    'Such as my-manager:path/to/secret; it holds {"username": "...", "password": "..."}.',
  );
}

const takenUrl = new WeakMap<Environment, string>();

function database(environment: Environment, dataDir: string): DatabaseTarget {
  const url = environment.DATABASE_URL || takenUrl.get(environment);
  if (!url) return { kind: 'embedded', folder: join(dataDir, 'postgres') };
  takenUrl.set(environment, url);
  delete environment.DATABASE_URL;
  if (URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol)) return { kind: 'url', url: new Secret(url) };
  throw new ConfigError('DATABASE_URL is not a URL of PostgreSQL.', 'Use postgres://user:password@host:5432/database');
}

function allowedEndpoints(environment: Environment): string[] {
  const listed = (environment.LOCKGATE_ALLOWED_ENDPOINTS ?? '').split(',').map((part) => part.trim());
  return listed.filter(Boolean).map((text) => {
    if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return new URL(text).origin;
    throw new ConfigError(
      `LOCKGATE_ALLOWED_ENDPOINTS has "${text}", which is not an origin.`,
      'Separate origins with commas, such as https://minio.internal:9000',
    );
  });
}
