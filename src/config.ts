import { join, resolve } from 'node:path';
import type { AuditFiles } from './audit/file-log.ts';
import { ConfigError } from './contract/errors.ts';
import { Secret } from './contract/secret.ts';
import type { DatabaseTarget } from './db/open.ts';
import type { AwsSettings } from './secrets/aws/settings.ts';
import type { KeyVaultSettings } from './secrets/azure-key-vault/settings.ts';
import type { EnvSecret } from './secrets/env/names.ts';
import { findEnvSecrets } from './secrets/env/names.ts';
import type { GcpSettings } from './secrets/gcp/settings.ts';
import type { Held, VaultAuth, VaultSettings } from './secrets/vault/settings.ts';

export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;

/** The deployment's settings, read once from the environment. */
export interface Config {
  readonly workspace: string;
  readonly dataDir: string;
  readonly database: DatabaseTarget;
  readonly secretManager: SecretManagerConfig | null;
  readonly contentDir: string;
  readonly audit: AuditFiles;
  /** Origins outside the providers' own domains that secrets may name. */
  readonly allowedEndpoints: readonly string[];
  /** Whether credentials may use the identity of the machine. */
  readonly ambientCredentials: boolean;
  /** Null: as the command has it. */
  readonly logLevel: (typeof LOG_LEVELS)[number] | null;
}

export type SecretManagerConfig =
  | {
      readonly backend: 'file';
      readonly folder: string;
      readonly recipientFile: string;
      readonly identityFile: string;
    }
  | GcpSettings
  | AwsSettings
  | VaultSettings
  | KeyVaultSettings
  | { readonly backend: 'env'; readonly secrets: readonly EnvSecret[] };

type Environment = Record<string, string | undefined>;

/**
 * Reads and checks the environment. Throws `ConfigError` that names the variable. Variables that hold a secret are
 * taken out of the environment, so that no child process and no report can show them.
 */
export function readConfig(environment: Environment = process.env): Config {
  const dataDir = resolve(environment.LOCKGATE_DATA_DIR || './data');
  const config: Config = {
    workspace: workspace(environment),
    dataDir,
    database: database(environment, dataDir),
    secretManager: secretManager(environment, dataDir),
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

const takenUrl = new WeakMap<Environment, string>();

function database(environment: Environment, dataDir: string): DatabaseTarget {
  const url = environment.DATABASE_URL || takenUrl.get(environment);
  if (!url) return { kind: 'embedded', folder: join(dataDir, 'postgres') };
  takenUrl.set(environment, url);
  delete environment.DATABASE_URL;
  if (URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol)) return { kind: 'url', url: new Secret(url) };
  throw new ConfigError('DATABASE_URL is not a URL of PostgreSQL.', 'Use postgres://user:password@host:5432/database');
}

const BACKENDS = ['file', 'env', 'gcp', 'aws', 'vault', 'azure-key-vault', 'none'] as const;

function secretManager(environment: Environment, dataDir: string): SecretManagerConfig | null {
  const backend = oneOf(environment, 'LOCKGATE_SECRET_MANAGER', BACKENDS, 'file');
  if (backend === 'none') return null;
  if (backend === 'gcp') return gcp(environment);
  if (backend === 'aws') return aws(environment);
  if (backend === 'vault') return vault(environment);
  if (backend === 'azure-key-vault') return keyVault(environment);
  if (backend === 'file') {
    return {
      backend,
      folder: join(dataDir, 'secrets'),
      recipientFile: resolve(environment.LOCKGATE_RECIPIENT_FILE || join(dataDir, 'keys', 'recipient.txt')),
      identityFile: resolve(environment.LOCKGATE_IDENTITY_FILE || join(dataDir, 'keys', 'identity.txt')),
    };
  }
  return { backend, secrets: takeEnvSecrets(environment) };
}

function gcp(environment: Environment): GcpSettings {
  const project = environment.LOCKGATE_GCP_PROJECT ?? '';
  if (!/^[a-z0-9][a-z0-9:.-]{3,62}$/.test(project)) {
    throw new ConfigError(
      'LOCKGATE_GCP_PROJECT is not the ID of a project.',
      'Set it to the project that holds the secrets.',
    );
  }
  const location = environment.LOCKGATE_GCP_LOCATION || null;
  if (location && !/^[a-z]+-[a-z]+\d{1,2}$/.test(location)) {
    throw new ConfigError(
      'LOCKGATE_GCP_LOCATION is not a region.',
      'Such as europe-west3; unset it for global secrets.',
    );
  }
  const prefix = secretPrefix(environment);
  const endpoint = managerEndpoint(environment, 'LOCKGATE_GCP_ENDPOINT');
  const credentialsFile = environment.LOCKGATE_GCP_CREDENTIALS_FILE
    ? resolve(environment.LOCKGATE_GCP_CREDENTIALS_FILE)
    : null;
  return { backend: 'gcp', project, location, prefix, endpoint, credentialsFile };
}

function aws(environment: Environment): AwsSettings {
  const region = environment.LOCKGATE_AWS_REGION || environment.AWS_REGION || '';
  if (!/^[a-z]{2}(-[a-z]+){1,3}-\d{1,2}$/.test(region)) {
    throw new ConfigError(
      'LOCKGATE_AWS_REGION is not a region.',
      'Set it to where the secrets lie, such as eu-west-1.',
    );
  }
  const kmsKeyId = environment.LOCKGATE_AWS_KMS_KEY || null;
  const pairs = (environment.LOCKGATE_AWS_TAGS ?? '')
    .split(',')
    .map((pair) => pair.trim())
    .filter(Boolean);
  const tags = pairs.map((pair) => /^([\w .:/=+@-]{1,128}?)=([\w .:/=+@-]{0,256})$/.exec(pair));
  if (tags.includes(null)) {
    throw new ConfigError(
      'LOCKGATE_AWS_TAGS are no tags.',
      'Separate them with commas, such as team=data,stage=production',
    );
  }
  return {
    backend: 'aws',
    region,
    prefix: secretPrefix(environment),
    endpoint: managerEndpoint(environment, 'LOCKGATE_AWS_ENDPOINT'),
    kmsKeyId,
    tags: Object.fromEntries(tags.map((found) => [found?.[1] as string, found?.[2] as string])),
  };
}

function keyVault(environment: Environment): KeyVaultSettings {
  const given = environment.LOCKGATE_AZURE_KEY_VAULT ?? '';
  const url = /^[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]$/.test(given) ? `https://${given}.vault.azure.net` : given;
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:') {
    throw new ConfigError(
      'LOCKGATE_AZURE_KEY_VAULT is not a vault.',
      'Set it to its name, or to its URL such as https://NAME.vault.azure.net',
    );
  }
  return { backend: 'azure-key-vault', url: new URL(url).origin, prefix: secretPrefix(environment) };
}

const KUBERNETES_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

function vault(environment: Environment): VaultSettings {
  const given = environment.LOCKGATE_VAULT_ADDR || environment.VAULT_ADDR || '';
  if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol)) {
    throw new ConfigError('LOCKGATE_VAULT_ADDR is not the address of a Vault.', 'Such as https://vault.internal:8200');
  }
  const mount = environment.LOCKGATE_VAULT_MOUNT || 'secret';
  const kind = oneOf(environment, 'LOCKGATE_VAULT_AUTH', ['token', 'approle', 'kubernetes', 'jwt'] as const, 'token');
  const path = environment.LOCKGATE_VAULT_AUTH_PATH || kind;
  for (const [name, value] of [
    ['LOCKGATE_VAULT_MOUNT', mount],
    ['LOCKGATE_VAULT_AUTH_PATH', path],
  ] as const) {
    if (!/^[\w-]+(\/[\w-]+)*$/.test(value))
      throw new ConfigError(`${name} is not a path.`, 'Use letters, digits, hyphens and slashes between them.');
  }
  return {
    backend: 'vault',
    address: new URL(given).origin,
    namespace: environment.LOCKGATE_VAULT_NAMESPACE || environment.VAULT_NAMESPACE || null,
    mount,
    prefix: secretPrefix(environment),
    caFile: environment.LOCKGATE_VAULT_CA_FILE ? resolve(environment.LOCKGATE_VAULT_CA_FILE) : null,
    auth: vaultAuth(environment, kind, path),
  };
}

function vaultAuth(
  environment: Environment,
  kind: 'token' | 'approle' | 'kubernetes' | 'jwt',
  path: string,
): VaultAuth {
  if (kind === 'token') return { kind, token: held(environment, 'LOCKGATE_VAULT_TOKEN') };
  if (kind === 'approle') {
    return {
      kind,
      path,
      roleId: required(environment, 'LOCKGATE_VAULT_ROLE_ID'),
      secretId: held(environment, 'LOCKGATE_VAULT_SECRET_ID'),
    };
  }
  const fallback = kind === 'kubernetes' ? KUBERNETES_TOKEN : undefined;
  return {
    kind: 'jwt',
    path,
    role: required(environment, 'LOCKGATE_VAULT_ROLE'),
    jwt: held(environment, 'LOCKGATE_VAULT_JWT', fallback),
  };
}

function required(environment: Environment, name: string): string {
  const value = environment[name];
  if (value) return value;
  throw new ConfigError(`${name} is missing.`, 'LOCKGATE_VAULT_AUTH asks for it.');
}

/** What earlier readings took out of an environment, by the names of the variables. */
const takenValues = new WeakMap<Environment, Map<string, Secret<string>>>();

/** A secret of the deployment itself: a file that `<name>_FILE` names, or the variable, which is taken out of the environment. */
function held(environment: Environment, name: string, fallback?: string): Held {
  const file = environment[`${name}_FILE`];
  if (file) return { file: resolve(file) };
  const known = takenValues.get(environment) ?? new Map<string, Secret<string>>();
  takenValues.set(environment, known);
  const value = environment[name];
  if (value) {
    known.set(name, new Secret(value));
    delete environment[name];
  }
  const taken = known.get(name);
  if (taken) return { value: taken };
  if (fallback) return { file: fallback };
  throw new ConfigError(`${name} is missing.`, `Set ${name}_FILE to a mounted file, or ${name} itself.`);
}

function secretPrefix(environment: Environment): string {
  const prefix = environment.LOCKGATE_SECRET_PREFIX || 'lockgate';
  if (/^[A-Za-z][A-Za-z0-9_-]{0,39}$/.test(prefix)) return prefix;
  throw new ConfigError(
    'LOCKGATE_SECRET_PREFIX is not a prefix.',
    'Use up to 40 letters, digits, hyphens and underscores.',
  );
}

function managerEndpoint(environment: Environment, name: string): string | null {
  const endpoint = environment[name];
  if (!endpoint) return null;
  if (URL.canParse(endpoint) && /^https?:$/.test(new URL(endpoint).protocol)) return new URL(endpoint).origin;
  throw new ConfigError(`${name} is not an origin.`, 'Unset it for the cloud itself.');
}

/** What earlier readings took out of an environment, so that reading it again finds the same. */
const taken = new WeakMap<Environment, Map<string, EnvSecret>>();

function takeEnvSecrets(environment: Environment): EnvSecret[] {
  const known = taken.get(environment) ?? new Map<string, EnvSecret>();
  taken.set(environment, known);
  for (const secret of findEnvSecrets(environment)) {
    known.set(secret.id, secret);
    if (secret.value.kind === 'json') delete environment[secret.variable];
  }
  return [...known.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
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

function oneOf<const T extends string>(environment: Environment, name: string, values: readonly T[], fallback: T): T {
  const given = environment[name];
  if (given === undefined || given === '') return fallback;
  const found = values.find((value) => value === given);
  if (found) return found;
  throw new ConfigError(`${name} is "${given}".`, `Use one of: ${values.join(', ')}.`);
}
