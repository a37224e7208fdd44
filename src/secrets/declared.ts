import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { ConfigError } from '../contract/errors.ts';
import { parseYaml } from '../contract/yaml.ts';
import { type Environment, oneOf } from './environment.ts';
import { settingsOf } from './from-environment.ts';
import { assertManagerName, type Backend, DEFAULT_NAME, type DeclaredManagers, type NamedManager } from './managers.ts';

const BACKENDS = ['file', 'env', 'gcp', 'aws', 'vault', 'azure-key-vault', 'kubernetes', 'securestore'] as const;

/**
 * The secret managers of the deployment: those that the file of `LOCKGATE_SECRET_MANAGERS` declares, or the one of
 * `LOCKGATE_SECRET_MANAGER`. Throws `ConfigError` that names the variable or the manager.
 */
export function readManagers(environment: Environment, dataDir: string): DeclaredManagers {
  const file = environment.LOCKGATE_SECRET_MANAGERS;
  if (file) return declaredIn(resolve(file), environment, dataDir);
  const backend = oneOf(environment, 'LOCKGATE_SECRET_MANAGER', [...BACKENDS, 'none'] as const, 'file');
  if (backend === 'none') return { default: null, byName: new Map() };
  const foreign = (environment.LOCKGATE_SECRET_PATHS ?? '')
    .split(',')
    .map((path) => path.trim())
    .filter(Boolean);
  const settings = settingsOf(backend, environment, dataDir);
  const only: NamedManager = { name: DEFAULT_NAME, settings, foreign, workspaces: null };
  return { default: DEFAULT_NAME, byName: new Map([[DEFAULT_NAME, only]]) };
}

const ListOf = z.array(z.string()).default([]);
const Declaration = z.strictObject({
  default: z.string(),
  managers: z.record(
    z.string(),
    z.looseObject({
      backend: z.enum(BACKENDS),
      paths: ListOf,
      workspaces: z.array(z.string()).optional(),
      enabled: z.boolean().default(true),
    }),
  ),
});

/** What a manager's settings are called in the file, and what their variables begin with. */
const SETTINGS: Readonly<Record<Backend, readonly [prefix: string, names: readonly string[]]>> = {
  file: ['LOCKGATE_', ['file_folder', 'recipient_file', 'identity_file']],
  env: ['LOCKGATE_', []],
  gcp: ['LOCKGATE_GCP_', ['project', 'location', 'endpoint', 'credentials_file']],
  aws: ['LOCKGATE_AWS_', ['region', 'endpoint', 'kms_key', 'tags']],
  vault: [
    'LOCKGATE_VAULT_',
    [
      'addr',
      'namespace',
      'mount',
      'kv',
      'ca_file',
      'auth',
      'auth_path',
      'token_file',
      'role',
      'jwt_file',
      'role_id',
      'secret_id_file',
      'runner_role',
      'worker_token_file',
      'worker_role_id',
      'worker_secret_id_file',
    ],
  ],
  'azure-key-vault': ['LOCKGATE_AZURE_', ['key_vault']],
  kubernetes: ['LOCKGATE_KUBERNETES_', ['namespace', 'kubeconfig', 'context']],
  securestore: ['LOCKGATE_SECURESTORE_', ['url', 'ca_file', 'token_file', 'client_cert_file', 'client_key_file']],
};
const PATHS = /(_file|_folder|kubeconfig)$/;

/** YAML or JSON; each manager's settings are those of its variables, without their beginning and in lower case. */
function declaredIn(file: string, environment: Environment, dataDir: string): DeclaredManagers {
  const where = `LOCKGATE_SECRET_MANAGERS (${file})`;
  const declaration = Declaration.safeParse(parsedFile(file, where));
  if (!declaration.success) {
    const at = declaration.error.issues[0]?.path.join('.') || 'the file';
    throw new ConfigError(
      `${where}: ${at} is missing or wrong.`,
      'It needs "default" and "managers", each with a "backend".',
    );
  }
  const byName = new Map<string, NamedManager>();
  for (const [name, { backend, paths, workspaces, enabled, ...given }] of Object.entries(declaration.data.managers)) {
    if (!enabled) continue;
    assertManagerName(name, where);
    const settings = settingsOf(backend, variablesOf(backend, given, file, environment, `${where}, ${name}`), dataDir);
    byName.set(name, { name, settings, foreign: paths, workspaces: workspaces ?? null });
  }
  const chosen = environment.LOCKGATE_SECRET_MANAGER || declaration.data.default;
  if (!byName.has(chosen)) throw new ConfigError(`${where} has no manager "${chosen}", which is to be the default.`);
  const folders = [...byName.values()].flatMap(({ settings }) =>
    settings.backend === 'file' ? [settings.folder] : [],
  );
  if (new Set(folders).size < folders.length)
    throw new ConfigError(`${where}: two managers have one folder.`, 'Give each its own file_folder.');
  return { default: chosen, byName };
}

function variablesOf(
  backend: Backend,
  given: Readonly<Record<string, unknown>>,
  file: string,
  environment: Environment,
  where: string,
): Environment {
  // Its secrets stand in the environment itself.
  if (backend === 'env') return environment;
  const [prefix, names] = SETTINGS[backend];
  const variables: Environment = {};
  for (const [name, value] of Object.entries(given)) {
    const common = name === 'prefix' || name === 'name_template';
    if (!common && !names.includes(name)) {
      throw new ConfigError(
        `${where} has a setting "${/^\w{1,40}$/.test(name) ? name : '?'}", which ${backend} does not know.`,
        `It knows: ${[...names, 'prefix', 'name_template', 'paths', 'workspaces', 'enabled'].join(', ')}. Secrets stand in files of their own.`,
      );
    }
    if (typeof value !== 'string' && typeof value !== 'number') throw new ConfigError(`${where}: ${name} is no text.`);
    const text = String(value);
    variables[(common ? 'LOCKGATE_SECRET_' : prefix) + name.toUpperCase()] = PATHS.test(name)
      ? resolve(dirname(file), text)
      : text;
  }
  return variables;
}

function parsedFile(file: string, where: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw new ConfigError(`${where} cannot be read.`, 'Check the path and its mode.');
  }
  try {
    return parseYaml(text);
  } catch {
    // Not the parser's own message: it quotes the text.
    throw new ConfigError(`${where} is neither YAML nor JSON.`);
  }
}
