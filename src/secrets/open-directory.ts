import { SecretManagerNotConfiguredError } from '../contract/errors.ts';
import type { SecretDirectory } from '../contract/secret-manager.ts';
import { openEnvDirectory } from './env/directory.ts';
import type { EnvSecret } from './env/names.ts';
import { openFileDirectory } from './file/directory.ts';

/** The settings of one secret manager; null: none is switched on. */
export type ManagerSettings =
  | { readonly backend: 'file'; readonly folder: string; readonly recipientFile: string; readonly identityFile: string }
  | { readonly backend: 'env'; readonly secrets: readonly EnvSecret[] }
  | null;

/** The half that adds and lists. Nothing that this reaches can read a value. */
export function openDirectory(settings: ManagerSettings, workspace: string, now: () => number): SecretDirectory {
  if (!settings) throw new SecretManagerNotConfiguredError();
  if (settings.backend === 'env') return openEnvDirectory(settings.secrets);
  return openFileDirectory({ folder: settings.folder, workspace }, settings, now);
}
