import { SecretManagerNotConfiguredError } from '../contract/errors.ts';
import type { SecretReader } from '../contract/secret-manager.ts';
import { openEnvReader } from './env/reader.ts';
import { openFileReader } from './file/reader.ts';
import type { ManagerSettings } from './open-directory.ts';

/** The half that reads values: for crawler workers and the library only. */
export function openReader(settings: ManagerSettings): SecretReader {
  if (!settings) throw new SecretManagerNotConfiguredError();
  if (settings.backend === 'gcp') {
    let opened: Promise<SecretReader> | undefined;
    return {
      access: async (ref, purpose) => {
        // The SDK is loaded when it is first used.
        opened ??= import('./gcp/reader.ts').then(({ openGcpReader }) => openGcpReader(settings));
        return (await opened).access(ref, purpose);
      },
    };
  }
  return settings.backend === 'env' ? openEnvReader(settings.secrets) : openFileReader(settings.folder, settings);
}
