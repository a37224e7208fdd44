import { ConfigError, SecretManagerError } from '../contract/errors.ts';
import type { AwsSettings } from './aws/settings.ts';
import type { KeyVaultSettings } from './azure-key-vault/settings.ts';
import type { EnvSecret } from './env/names.ts';
import type { GcpSettings } from './gcp/settings.ts';
import type { KubernetesSettings } from './kubernetes/settings.ts';
import type { SecureStoreClientSettings } from './securestore/settings.ts';
import type { VaultSettings } from './vault/settings.ts';

/** The settings of one secret manager. */
export type ManagerSettings =
  | { readonly backend: 'file'; readonly folder: string; readonly recipientFile: string; readonly identityFile: string }
  | GcpSettings
  | AwsSettings
  | VaultSettings
  | KeyVaultSettings
  | KubernetesSettings
  | SecureStoreClientSettings
  | { readonly backend: 'env'; readonly secrets: readonly EnvSecret[] };

export type Backend = ManagerSettings['backend'];

/** One secret manager under the name by which references call it. */
export interface NamedManager {
  readonly name: string;
  readonly settings: ManagerSettings;
  /** Secrets of other tools that may be used, by the beginnings of their names; `*`: all. */
  readonly foreign: readonly string[];
  /** Null: every workspace. */
  readonly workspaces: readonly string[] | null;
}

/** The secret managers of a deployment. */
export interface DeclaredManagers {
  /** Null: no secret manager is switched on. */
  readonly default: string | null;
  readonly byName: ReadonlyMap<string, NamedManager>;
}

/** What source records call the default of a deployment that has one secret manager. */
export const DEFAULT_NAME = 'default';

/** The manager of that name that a workspace may use; null: there is none. */
export function declaredManager(managers: DeclaredManagers, name: string, workspace: string): NamedManager | null {
  const found =
    managers.byName.get(name) ?? (name === DEFAULT_NAME ? managers.byName.get(managers.default ?? '') : undefined);
  return found && (!found.workspaces || found.workspaces.includes(workspace)) ? found : null;
}

/** The same managers for a process that only adds and lists: without the values that the environment held. */
export function withoutValues(managers: DeclaredManagers): DeclaredManagers {
  const stripped = [...managers.byName].map(([name, manager]): [string, NamedManager] => {
    const { settings } = manager;
    if (settings.backend !== 'env') return [name, manager];
    const secrets = settings.secrets.map((secret) => ({ ...secret, value: { kind: 'file' as const, path: '' } }));
    return [name, { ...manager, settings: { ...settings, secrets } }];
  });
  return { ...managers, byName: new Map(stripped) };
}

/** The name of the manager that is meant where none is named. */
export function defaultOf(managers: DeclaredManagers): string {
  return managers.default ?? DEFAULT_NAME;
}

/** The names under which sources may know a manager, its own the first. */
export function namesOf(managers: DeclaredManagers, name: string): string[] {
  return name === managers.default && name !== DEFAULT_NAME ? [name, DEFAULT_NAME] : [name];
}

export function permitsForeign({ foreign }: NamedManager, name: string): boolean {
  if (name.split('/').some((part) => part === '..' || part === '.' || part === '')) return false;
  return foreign.some((beginning) => beginning === '*' || name.startsWith(beginning));
}

export const MANAGER_NAME = /^[a-z0-9][a-z0-9-]{0,39}$/;

export function assertManagerName(name: string, where: string): void {
  if (MANAGER_NAME.test(name)) return;
  throw new ConfigError(
    `${where}: this is no name of a secret manager.`,
    'Use up to 40 lower-case letters, digits and hyphens.',
  );
}

export function unknownManager(name: string): SecretManagerError {
  return new SecretManagerError(
    'secret_manager_unknown',
    `There is no secret manager "${name}" for this workspace.`,
    'List them with: lockgate secrets managers',
  );
}
