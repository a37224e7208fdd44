import type { SecretReader } from '../contract/secret-manager.ts';
import { openEnvReader } from './env/reader.ts';
import type { DeclaredManagers, ManagerSettings } from './managers.ts';

/** The half that reads values: for crawler workers and the library only. */
export function openReader(settings: ManagerSettings): SecretReader {
  if (settings.backend === 'env') return openEnvReader(settings.secrets);
  if (settings.backend === 'gcp') {
    return lazyReader(async () => (await import('./gcp/reader.ts')).openGcpReader(settings));
  }
  if (settings.backend === 'aws') {
    return lazyReader(async () => (await import('./aws/reader.ts')).openAwsReader(settings));
  }
  if (settings.backend === 'vault') {
    return lazyReader(async () => (await import('./vault/reader.ts')).openVaultReader(settings));
  }
  if (settings.backend === 'azure-key-vault') {
    return lazyReader(async () => (await import('./azure-key-vault/reader.ts')).openKeyVaultReader(settings));
  }
  if (settings.backend === 'kubernetes') {
    return lazyReader(async () => (await import('./kubernetes/reader.ts')).openKubernetesReader(settings));
  }
  if (settings.backend === 'securestore') {
    return lazyReader(async () => (await import('./securestore/reader.ts')).openSecureStoreReader(settings));
  }
  return lazyReader(async () => (await sealed()).openFileReader(settings.folder, settings));
}

const sealed = () => import('./file/reader.ts');

/** Loads what reading takes most of its time for, while there is time: what opens sealed files. The others wait for their services. */
export function prepareReader({ byName, default: name }: DeclaredManagers): void {
  if (byName.get(name ?? '')?.settings.backend === 'file') sealed().catch(() => undefined);
}

/** A reader that is loaded, with its SDK, when it is first used. */
function lazyReader(open: () => Promise<SecretReader>): SecretReader {
  let opened: Promise<SecretReader> | undefined;
  return {
    access: async (ref, purpose) => {
      opened ??= open();
      return (await opened).access(ref, purpose);
    },
  };
}
