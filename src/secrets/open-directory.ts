import type { SecretDirectory } from '../contract/secret-manager.ts';
import { openEnvDirectory } from './env/directory.ts';
import type { ManagerSettings } from './managers.ts';

/** The half that adds and lists. Nothing that this reaches can read a value. */
export function openDirectory(settings: ManagerSettings, workspace: string, now: () => number): SecretDirectory {
  if (settings.backend === 'env') return openEnvDirectory(settings.secrets);
  if (settings.backend === 'gcp') {
    return lazyDirectory(async () => (await import('./gcp/directory.ts')).openGcpDirectory(settings, workspace));
  }
  if (settings.backend === 'aws') {
    return lazyDirectory(async () => (await import('./aws/directory.ts')).openAwsDirectory(settings, workspace));
  }
  if (settings.backend === 'vault') {
    return lazyDirectory(async () =>
      settings.kv === 1
        ? (await import('./vault/directory-v1.ts')).openVaultV1Directory(settings, workspace)
        : (await import('./vault/directory.ts')).openVaultDirectory(settings, workspace),
    );
  }
  if (settings.backend === 'azure-key-vault') {
    return lazyDirectory(async () =>
      (await import('./azure-key-vault/directory.ts')).openKeyVaultDirectory(settings, workspace),
    );
  }
  if (settings.backend === 'kubernetes') {
    return lazyDirectory(async () =>
      (await import('./kubernetes/directory.ts')).openKubernetesDirectory(settings, workspace),
    );
  }
  if (settings.backend === 'securestore') {
    return lazyDirectory(async () =>
      (await import('./securestore/directory.ts')).openSecureStoreDirectory(settings, workspace),
    );
  }
  return lazyDirectory(async () =>
    (await import('./file/directory.ts')).openFileDirectory({ folder: settings.folder, workspace }, settings, now),
  );
}

/** A directory that is loaded, with its SDK, when it is first used. */
export function lazyDirectory(open: () => Promise<SecretDirectory>): SecretDirectory {
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
    put: async (id, type, credential, metadata) => (await directory()).put(id, type, credential, metadata),
    remove: async (id) => (await directory()).remove(id),
  };
}
