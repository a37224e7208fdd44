import { SecretManagerNotConfiguredError } from '../contract/errors.ts';
import type { SecretReader } from '../contract/secret-manager.ts';
import { openEnvReader } from './env/reader.ts';
import { openFileReader } from './file/reader.ts';
import type { ManagerSettings } from './open-directory.ts';

/** The half that reads values: for crawler workers and the library only. */
export function openReader(settings: ManagerSettings): SecretReader {
  if (!settings) throw new SecretManagerNotConfiguredError();
  return settings.backend === 'env' ? openEnvReader(settings.secrets) : openFileReader(settings.folder, settings);
}
