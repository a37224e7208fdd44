import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import type { BrowserSignInSettings } from './access/browser-sign-in.ts';
import { type OidcSettings, readOidcRules } from './access/oidc.ts';
import type { AuditFiles } from './audit/file-log.ts';
import type { ContentTarget } from './content/target.ts';
import { ConfigError } from './contract/errors.ts';
import { Secret } from './contract/secret.ts';
import type { DatabaseTarget } from './db/open.ts';
import { databaseFolder, dataDirIn } from './places.ts';
import { readManagers } from './secrets/declared.ts';
import { type Environment, oneOf } from './secrets/environment.ts';
import type { DeclaredManagers } from './secrets/managers.ts';
import { parseReference, type Reference } from './secrets/reference.ts';
import { type SecureStoreSettings, settingsIn } from './securestore/settings.ts';
import { VERSION } from './version.ts';

export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;

export interface HttpConfig {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** Addresses or networks of proxies that speak TLS with the world. */
  readonly trustedProxies: readonly string[];
  /** Of one caller. */
  readonly requestsPerMinute: number;
  readonly openMetrics: boolean;
  readonly oidc: OidcSettings | null;
  /** Null: people sign in with tokens only. */
  readonly browserSignIn: BrowserSignInSettings | null;
}

/** What a worker takes, and how many may be at work at once. */
export interface CrewConfig {
  readonly labels: readonly string[];
  readonly onlyLabels: boolean;
  readonly handsPerRun: number;
  readonly caps: { readonly perCredential: number; readonly perQuota: number; readonly perWorkspace: number };
}

/** The deployment's settings, read once from the environment. */
export interface Config {
  readonly workspace: string;
  readonly dataDir: string;
  readonly database: DatabaseTarget;
  readonly secretManagers: DeclaredManagers;
  /** Where the user and the password of the database are; null: in its URL. */
  readonly databaseSecret: Reference | null;
  readonly content: ContentTarget;
  readonly audit: AuditFiles;
  /** Origins outside the providers' own domains that secrets may name. */
  readonly allowedEndpoints: readonly string[];
  /** Whether credentials may use the identity of the machine. */
  readonly ambientCredentials: boolean;
  /** Whether the standard variables of OpenTelemetry ask for traces. */
  readonly tracing: boolean;
  readonly crew: CrewConfig;
  /** Threads of a process, beside its own, that help with the fetches of its runs. */
  readonly threads: number;
  /** How many days what grows is kept; zero: for ever. */
  readonly retention: { readonly changesDays: number; readonly runsDays: number };
  /** How the API is served. */
  readonly http: HttpConfig;
  /** Null: as the command has it. */
  readonly logLevel: (typeof LOG_LEVELS)[number] | null;
}

/**
 * Reads and checks the environment. Throws `ConfigError` that names the variable. Variables that hold a secret are
 * taken out of the environment, so that no child process and no report can show them.
 */
export function readConfig(environment: Environment = process.env): Config {
  const dataDir = dataDirIn(environment);
  const secretManagers = readManagers(environment, dataDir);
  const config: Config = {
    workspace: workspace(environment),
    dataDir,
    database: database(environment, dataDir),
    secretManagers,
    databaseSecret: databaseSecret(environment, secretManagers),
    content: content(environment, dataDir),
    audit: {
      file: join(dataDir, 'audit', 'access.jsonl'),
      keyFile: resolve(environment.LOCKGATE_AUDIT_KEY_FILE || join(dataDir, 'keys', 'audit.txt')),
    },
    allowedEndpoints: allowedEndpoints(environment),
    tracing: tracing(environment),
    crew: crew(environment),
    threads: numberIn(environment, 'LOCKGATE_THREADS', usualThreads(), 0, 64),
    retention: {
      changesDays: numberIn(environment, 'LOCKGATE_KEEP_CHANGES_DAYS', 0, 0, 36_500),
      runsDays: numberIn(environment, 'LOCKGATE_KEEP_RUNS_DAYS', 90, 0, 36_500),
    },
    http: http(environment),
    ambientCredentials: oneOf(environment, 'LOCKGATE_AMBIENT_CREDENTIALS', ['on', 'off'] as const, 'off') === 'on',
    logLevel: environment.LOCKGATE_LOG_LEVEL ? oneOf(environment, 'LOCKGATE_LOG_LEVEL', LOG_LEVELS, 'info') : null,
  };
  return Object.freeze(config);
}

function content(environment: Environment, dataDir: string): ContentTarget {
  const given = environment.LOCKGATE_CONTENT_STORE;
  const place = /^(s3|gs|azure):\/\/([A-Za-z0-9$][A-Za-z0-9._-]{1,62})(?:\/(.*))?$/.exec(given ?? '');
  if (!place?.[1] || !place[2]) {
    if (given && /^[a-z][a-z0-9+]*:\/\//.test(given))
      throw new ConfigError('LOCKGATE_CONTENT_STORE is no folder and no bucket.', 'Such as s3://bucket/prefix');
    return { kind: 'directory', folder: resolve(given || join(dataDir, 'content')) };
  }
  const kind = place[1] === 'gs' ? 'gcs' : (place[1] as 's3' | 'azure');
  const account = environment.LOCKGATE_CONTENT_ACCOUNT || null;
  const endpoint = environment.LOCKGATE_CONTENT_ENDPOINT || null;
  if (endpoint && !URL.canParse(endpoint)) throw new ConfigError('LOCKGATE_CONTENT_ENDPOINT is no URL.');
  if (kind === 'azure' && !account)
    throw new ConfigError('LOCKGATE_CONTENT_ACCOUNT is missing.', 'Set it to the storage account of the container.');
  const file = environment.LOCKGATE_CONTENT_CREDENTIAL_FILE;
  const prefix = (place[3] ?? '').replace(/\/+$/, '');
  return {
    kind,
    bucket: place[2],
    prefix: prefix === '' ? '' : `${prefix}/`,
    endpoint: endpoint?.replace(/\/+$/, '') ?? null,
    region: environment.LOCKGATE_CONTENT_REGION || environment.AWS_REGION || null,
    account,
    credentialFile: file ? resolve(file) : null,
  };
}

function tracing(environment: Environment): boolean {
  const { OTEL_SDK_DISABLED, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = environment;
  if (OTEL_SDK_DISABLED === 'true' || !(OTEL_EXPORTER_OTLP_ENDPOINT || OTEL_EXPORTER_OTLP_TRACES_ENDPOINT))
    return false;
  environment.OTEL_SERVICE_NAME ??= 'lockgate';
  return true;
}

function http(environment: Environment): HttpConfig {
  const host = environment.LOCKGATE_HOST || '127.0.0.1';
  const [certFile, keyFile] = [environment.LOCKGATE_TLS_CERT_FILE, environment.LOCKGATE_TLS_KEY_FILE];
  if (Boolean(certFile) !== Boolean(keyFile))
    throw new ConfigError('LOCKGATE_TLS_CERT_FILE and LOCKGATE_TLS_KEY_FILE belong together.', 'Set both or none.');
  const trustedProxies = listIn(environment.LOCKGATE_TRUSTED_PROXIES);
  const loopback = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host);
  if (!loopback && !certFile && trustedProxies.length === 0) {
    throw new ConfigError(
      `LOCKGATE_HOST is ${host}, where others could read tokens on their way.`,
      'Set LOCKGATE_TLS_CERT_FILE and LOCKGATE_TLS_KEY_FILE, or LOCKGATE_TRUSTED_PROXIES to the addresses of the proxy that speaks TLS.',
    );
  }
  return {
    host,
    port: numberIn(environment, 'LOCKGATE_PORT', 3000, 0, 65_535),
    tls: certFile && keyFile ? { certFile: resolve(certFile), keyFile: resolve(keyFile) } : null,
    trustedProxies,
    requestsPerMinute: numberIn(environment, 'LOCKGATE_REQUESTS_PER_MINUTE', 1200, 1, 1_000_000),
    openMetrics: oneOf(environment, 'LOCKGATE_OPEN_METRICS', ['on', 'off'] as const, loopback ? 'on' : 'off') === 'on',
    oidc: oidc(environment),
    browserSignIn: browserSignIn(environment),
  };
}

function crew(environment: Environment): CrewConfig {
  const labels = listIn(environment.LOCKGATE_WORKER_LABELS);
  const bad = labels.find((label) => !/^[a-z0-9][a-z0-9-]{0,40}$/.test(label));
  if (bad !== undefined)
    throw new ConfigError(
      `LOCKGATE_WORKER_LABELS has "${bad}", which is no label.`,
      'Use lower-case letters, digits and hyphens, and separate labels with commas.',
    );
  const bound = (name: string, fallback: number) => numberIn(environment, name, fallback, 0, 100_000);
  return {
    labels,
    onlyLabels: oneOf(environment, 'LOCKGATE_WORKER_ONLY_LABELS', ['on', 'off'] as const, 'off') === 'on',
    handsPerRun: numberIn(environment, 'LOCKGATE_WORKERS_PER_RUN', 8, 1, 1000),
    caps: {
      perCredential: bound('LOCKGATE_WORKERS_PER_CREDENTIAL', 16),
      perQuota: bound('LOCKGATE_WORKERS_PER_ACCOUNT', 16),
      perWorkspace: bound('LOCKGATE_WORKERS_PER_WORKSPACE', 0),
    },
  };
}

/** Unless the deployment says otherwise: each has PostgreSQL and V8's own threads work as well, which is a core for two. */
function usualThreads(): number {
  return Math.min(Math.max(Math.floor(availableParallelism() / 2) - 1, 0), 3);
}

function oidc(environment: Environment): OidcSettings | null {
  const issuer = environment.LOCKGATE_OIDC_ISSUER;
  if (!issuer) return null;
  if (!URL.canParse(issuer)) throw new ConfigError('LOCKGATE_OIDC_ISSUER is not a URL.', 'As it stands in the tokens.');
  const audience = environment.LOCKGATE_OIDC_AUDIENCE;
  const rules = environment.LOCKGATE_OIDC_RULES;
  if (!audience || !rules)
    throw new ConfigError(
      'LOCKGATE_OIDC_AUDIENCE or LOCKGATE_OIDC_RULES is missing.',
      'The first is who tokens must be for; the second a file with rules that turn claims into roles.',
    );
  return { issuer, audience, jwksUri: environment.LOCKGATE_OIDC_JWKS || null, rules: readOidcRules(resolve(rules)) };
}

function browserSignIn(environment: Environment): BrowserSignInSettings | null {
  const clientId = environment.LOCKGATE_OIDC_CLIENT_ID;
  if (!clientId) return null;
  const publicUrl = environment.LOCKGATE_PUBLIC_URL ?? '';
  if (!environment.LOCKGATE_OIDC_ISSUER || !URL.canParse(publicUrl))
    throw new ConfigError(
      'LOCKGATE_OIDC_CLIENT_ID needs LOCKGATE_OIDC_ISSUER and LOCKGATE_PUBLIC_URL.',
      'The latter is where people reach Lockgate, such as https://lockgate.internal; the issuer sends them back to its /auth/oidc/callback.',
    );
  const file = environment.LOCKGATE_OIDC_CLIENT_SECRET_FILE;
  try {
    const clientSecret = file ? new Secret(readFileSync(file, 'utf8').trim()) : null;
    return { clientId, clientSecret, publicUrl: new URL(publicUrl).origin };
  } catch {
    throw new ConfigError('LOCKGATE_OIDC_CLIENT_SECRET_FILE cannot be read.', 'Check the path and its mode.');
  }
}

/** What is told of the deployment to whoever may look at it. */
export function aboutOf({ content, secretManagers, http, retention }: Config) {
  return {
    version: VERSION,
    contentStore: content.kind === 'directory' ? `folder ${content.folder}` : `${content.kind} ${content.bucket}`,
    secretManager: secretManagers.default,
    oidc: http.oidc !== null,
    keepChangesDays: retention.changesDays,
    keepRunsDays: retention.runsDays,
  };
}

function listIn(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

function numberIn(environment: Environment, name: string, fallback: number, least: number, most: number): number {
  const given = environment[name];
  if (given === undefined || given === '') return fallback;
  const value = Number(given);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new ConfigError(`${name} is no number from ${least} to ${most}.`);
}

/** The service that commands are for, where it is another one than this machine's; null: none. */
export function readRemote(environment: Environment = process.env): {
  readonly url: string;
  readonly token: string;
  readonly workspace?: string;
} | null {
  const url = environment.LOCKGATE_URL;
  if (!url) return null;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new ConfigError('LOCKGATE_URL is no URL.', 'Such as https://lockgate.internal');
  const file = environment.LOCKGATE_TOKEN_FILE;
  const token = environment.LOCKGATE_TOKEN || (file ? tokenIn(file) : '');
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new ConfigError('LOCKGATE_TOKEN is missing.', 'Set it, or LOCKGATE_TOKEN_FILE to a file that holds it.');
  return { url, token, ...(environment.LOCKGATE_WORKSPACE ? { workspace: environment.LOCKGATE_WORKSPACE } : {}) };
}

function tokenIn(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    throw new ConfigError('LOCKGATE_TOKEN_FILE cannot be read.', 'Check the path and its mode.');
  }
}

/** The settings of the secret server, which is a program apart. Throws `ConfigError` that names the variable. */
export function readSecureStoreSettings(environment: Environment = process.env): SecureStoreSettings {
  return settingsIn(environment);
}

/** What a worker that this process starts finds of its environment; everything else stays behind. */
const INHERITED =
  /^(PATH|HOME|USER|LANG|LC_.*|TZ|TMPDIR|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|(HTTPS?|NO|ALL)_PROXY|DATABASE_.*|LOCKGATE_.*|AWS_.*|AZURE_.*|IDENTITY_.*|MSI_.*|GOOGLE_.*|KUBERNETES_.*|VAULT_.*|OTEL_.*)$/i;

/** To be asked before the configuration is read, which takes secrets out. */
export function inheritedEnvironment(environment: Environment = process.env): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter(([name, value]) => INHERITED.test(name) && value !== undefined),
  ) as Record<string, string>;
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
  if (!url) return { kind: 'embedded', folder: databaseFolder(dataDir) };
  takenUrl.set(environment, url);
  delete environment.DATABASE_URL;
  if (URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol)) return { kind: 'url', url: new Secret(url) };
  throw new ConfigError('DATABASE_URL is not a URL of PostgreSQL.', 'Use postgres://user:password@host:5432/database');
}

function allowedEndpoints(environment: Environment): string[] {
  return listIn(environment.LOCKGATE_ALLOWED_ENDPOINTS).map((text) => {
    if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return new URL(text).origin;
    throw new ConfigError(
      `LOCKGATE_ALLOWED_ENDPOINTS has "${text}", which is not an origin.`,
      'Separate origins with commas, such as https://minio.internal:9000',
    );
  });
}
