import { join, resolve } from 'node:path';
import type { AuditFiles } from '../audit/file-log.ts';
import { ConfigError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';
import { type Environment, managerEndpoint, pathIn } from '../secrets/environment.ts';
import { readVault } from '../secrets/vault/from-environment.ts';
import type { KeySettings } from './keyring.ts';
import type { KeySource } from './keys.ts';

export interface SecureStoreSettings {
  readonly dataDir: string;
  /** Null: an embedded PostgreSQL in the data directory. */
  readonly databaseUrl: Secret<string> | null;
  readonly keys: KeySettings;
  /** Where the key is that `init` makes; null: it lives elsewhere. */
  readonly keyFile: string | null;
  readonly policyFile: string;
  readonly audit: AuditFiles;
  /** Signs the heads of the audit log: an Ed25519 key in PEM, made at the first start. */
  readonly signingKeyFile: string;
  readonly headsEverySeconds: number;
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string; readonly clientCaFile: string | null } | null;
  readonly graceSeconds: number;
  readonly failuresPerMinute: number;
}

const DAY = 24 * 3600;

/** Reads and checks the environment of the server. Throws `ConfigError` that names the variable. */
export function settingsIn(environment: Environment): SecureStoreSettings {
  const of = (name: string) => environment[`LOCKGATE_SECURESTORE_${name}`] || undefined;
  const dataDir = resolve(of('DATA_DIR') ?? './securestore');
  const path = (name: string, fallback: string) => resolve(of(name) ?? join(dataDir, fallback));
  const host = of('HOST') ?? '127.0.0.1';
  const [certFile, keyFile, clientCaFile] = ['TLS_CERT_FILE', 'TLS_KEY_FILE', 'CLIENT_CA_FILE'].map(of);
  if (Boolean(certFile) !== Boolean(keyFile))
    throw new ConfigError('LOCKGATE_SECURESTORE_TLS_CERT_FILE and LOCKGATE_SECURESTORE_TLS_KEY_FILE belong together.');
  if (!certFile && !/^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host)) {
    throw new ConfigError(
      `LOCKGATE_SECURESTORE_HOST is ${host}, where others could read values on their way.`,
      'Set LOCKGATE_SECURESTORE_TLS_CERT_FILE and LOCKGATE_SECURESTORE_TLS_KEY_FILE.',
    );
  }
  if (clientCaFile && !certFile)
    throw new ConfigError('LOCKGATE_SECURESTORE_CLIENT_CA_FILE needs TLS.', 'Set its certificate and key, too.');
  const active = keySource(of('KEY') ?? `file:${join(dataDir, 'keys', 'kek.txt')}`, environment);
  return {
    dataDir,
    databaseUrl: databaseUrl(environment),
    keys: { active, retained: listOf(of('OLD_KEYS')).map((each) => keySource(each, environment)) },
    keyFile: active.kind === 'file' ? active.path : null,
    policyFile: path('POLICY_FILE', 'policy.yaml'),
    audit: {
      file: path('AUDIT_FILE', join('audit', 'access.jsonl')),
      keyFile: path('AUDIT_KEY_FILE', join('keys', 'audit.txt')),
    },
    signingKeyFile: path('SIGNING_KEY_FILE', join('keys', 'signing.pem')),
    headsEverySeconds: numberOf(of('HEADS_EVERY_SECONDS'), 300, 1, DAY),
    host,
    port: numberOf(of('PORT'), 8443, 0, 65_535),
    tls:
      certFile && keyFile
        ? {
            certFile: resolve(certFile),
            keyFile: resolve(keyFile),
            clientCaFile: clientCaFile ? resolve(clientCaFile) : null,
          }
        : null,
    graceSeconds: numberOf(of('GRACE_DAYS'), 7, 0, 365) * DAY,
    failuresPerMinute: numberOf(of('FAILURES_PER_MINUTE'), 20, 1, 100_000),
  };
}

const GCP_KEY = /^projects\/[\w.:-]+\/locations\/[\w-]+\/keyRings\/[\w-]+\/cryptoKeys\/[\w-]+$/;
const AZURE_KEY = /^(https:\/\/[A-Za-z0-9.:-]+)\/keys\/([0-9A-Za-z-]{1,127})\/?$/;

/** `file:/path`, `aws-kms:KEY@region`, `gcp-kms:NAME`, `azure-key-vault:URL`, `vault-transit:KEY`. */
function keySource(text: string, environment: Environment): KeySource {
  const [, kind, name = ''] = /^(file|aws-kms|gcp-kms|azure-key-vault|vault-transit):(.+)$/.exec(text) ?? [];
  if (kind === 'file') return { kind, path: resolve(name) };
  if (kind === 'vault-transit') return { kind, key: name, vault: readVault(environment) };
  const endpoint = () => managerEndpoint(environment, 'LOCKGATE_SECURESTORE_KMS_ENDPOINT');
  const at = name.lastIndexOf('@');
  if (kind === 'aws-kms' && at > 0) {
    return { kind, keyId: name.slice(0, at), region: name.slice(at + 1), endpoint: endpoint() };
  }
  if (kind === 'gcp-kms' && GCP_KEY.test(name)) {
    return { kind, name, endpoint: endpoint(), credentialsFile: pathIn(environment, 'LOCKGATE_GCP_CREDENTIALS_FILE') };
  }
  const [, vault, key] = AZURE_KEY.exec(name) ?? [];
  if (kind === 'azure-key-vault' && vault && key) return { kind, vault: new URL(vault).origin, name: key };
  throw new ConfigError(
    'LOCKGATE_SECURESTORE_KEY or LOCKGATE_SECURESTORE_OLD_KEYS names no key.',
    'Such as file:/run/secrets/kek, aws-kms:alias/securestore@eu-west-1, gcp-kms:projects/P/locations/L/keyRings/R/cryptoKeys/K, azure-key-vault:https://NAME.vault.azure.net/keys/KEY (without a version) or vault-transit:securestore.',
  );
}

const takenUrl = new WeakMap<Environment, Secret<string>>();

function databaseUrl(environment: Environment): Secret<string> | null {
  const given = environment.LOCKGATE_SECURESTORE_DATABASE_URL;
  if (given) {
    if (!URL.canParse(given) || !/^postgres(ql)?:$/.test(new URL(given).protocol))
      throw new ConfigError('LOCKGATE_SECURESTORE_DATABASE_URL is not a URL of PostgreSQL.');
    takenUrl.set(environment, new Secret(given));
    delete environment.LOCKGATE_SECURESTORE_DATABASE_URL;
  }
  return takenUrl.get(environment) ?? null;
}

function listOf(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

function numberOf(given: string | undefined, fallback: number, least: number, most: number): number {
  const value = given === undefined ? fallback : Number(given);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new ConfigError(`A number of LOCKGATE_SECURESTORE_* is none from ${least} to ${most}.`);
}
