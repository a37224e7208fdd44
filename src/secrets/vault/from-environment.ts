import { resolve } from 'node:path';
import { ConfigError } from '../../contract/errors.ts';
import { type Environment, held, namingIn, oneOf, required } from '../environment.ts';
import type { VaultAuth, VaultSettings } from './settings.ts';

const KUBERNETES_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

export function readVault(environment: Environment): VaultSettings {
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
    ...namingIn(environment),
    kv: oneOf(environment, 'LOCKGATE_VAULT_KV', ['2', '1'] as const, '2') === '1' ? 1 : 2,
    egress: null,
    ca: environment.LOCKGATE_VAULT_CA_FILE ? { file: resolve(environment.LOCKGATE_VAULT_CA_FILE) } : null,
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
    const roleId = required(environment, 'LOCKGATE_VAULT_ROLE_ID');
    const runner = environment.LOCKGATE_VAULT_RUNNER_ROLE;
    if (runner) return { kind: 'wrapped', path, roleId, runner, worker: workerAuth(environment, path) };
    return { kind, path, roleId, secretId: held(environment, 'LOCKGATE_VAULT_SECRET_ID') };
  }
  const fallback = kind === 'kubernetes' ? KUBERNETES_TOKEN : undefined;
  return {
    kind: 'jwt',
    path,
    role: required(environment, 'LOCKGATE_VAULT_ROLE'),
    jwt: held(environment, 'LOCKGATE_VAULT_JWT', fallback),
  };
}

/** Who may fetch the wrapped secret ID of the runner, and nothing else. */
function workerAuth(environment: Environment, path: string): Extract<VaultAuth, { kind: 'wrapped' }>['worker'] {
  const roleId = environment.LOCKGATE_VAULT_WORKER_ROLE_ID;
  if (!roleId) return { kind: 'token', token: held(environment, 'LOCKGATE_VAULT_WORKER_TOKEN') };
  return { kind: 'approle', path, roleId, secretId: held(environment, 'LOCKGATE_VAULT_WORKER_SECRET_ID') };
}
