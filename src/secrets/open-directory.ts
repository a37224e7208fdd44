import { SecretManagerNotConfiguredError } from '../contract/errors.ts';
import type { SecretDirectory } from '../contract/secret-manager.ts';
import type { AwsSettings } from './aws/settings.ts';
import type { KeyVaultSettings } from './azure-key-vault/settings.ts';
import { openEnvDirectory } from './env/directory.ts';
import type { EnvSecret } from './env/names.ts';
import { openFileDirectory } from './file/directory.ts';
import type { GcpSettings } from './gcp/settings.ts';
import type { VaultSettings } from './vault/settings.ts';

/** The settings of one secret manager; null: none is switched on. */
export type ManagerSettings =
  | { readonly backend: 'file'; readonly folder: string; readonly recipientFile: string; readonly identityFile: string }
  | GcpSettings
  | AwsSettings
  | VaultSettings
  | KeyVaultSettings
  | { readonly backend: 'env'; readonly secrets: readonly EnvSecret[] }
  | null;

/** The half that adds and lists. Nothing that this reaches can read a value. */
export function openDirectory(settings: ManagerSettings, workspace: string, now: () => number): SecretDirectory {
  if (!settings) throw new SecretManagerNotConfiguredError();
  if (settings.backend === 'env') return openEnvDirectory(settings.secrets);
  if (settings.backend === 'gcp') {
    return lazyDirectory(async () => (await import('./gcp/directory.ts')).openGcpDirectory(settings, workspace));
  }
  if (settings.backend === 'aws') {
    return lazyDirectory(async () => (await import('./aws/directory.ts')).openAwsDirectory(settings, workspace));
  }
  if (settings.backend === 'vault') {
    return lazyDirectory(async () => (await import('./vault/directory.ts')).openVaultDirectory(settings, workspace));
  }
  if (settings.backend === 'azure-key-vault') {
    return lazyDirectory(async () =>
      (await import('./azure-key-vault/directory.ts')).openKeyVaultDirectory(settings, workspace),
    );
  }
  return openFileDirectory({ folder: settings.folder, workspace }, settings, now);
}

/** A directory whose SDK is loaded when it is first used. */
function lazyDirectory(open: () => Promise<SecretDirectory>): SecretDirectory {
  let opened: Promise<SecretDirectory> | undefined;
  const directory = () => {
    opened ??= open();
    return opened;
  };
  return {
    list: async function* (filter) {
      yield* (await directory()).list(filter);
    },
    describe: async (id) => (await directory()).describe(id),
    put: async (id, connectorType, credential) => (await directory()).put(id, connectorType, credential),
    remove: async (id) => (await directory()).remove(id),
  };
}
