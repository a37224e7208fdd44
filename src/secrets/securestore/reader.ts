import { CredentialNotFoundError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { SecretReader } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { secureStoreClient } from './client.ts';
import { infoOf, pathOf } from './directory.ts';
import type { SecureStoreClientSettings } from './settings.ts';

/** The reading half of SecureStore, which writes down for whom and for what it was asked. */
export function openSecureStoreReader(settings: SecureStoreClientSettings): SecretReader {
  const client = secureStoreClient(settings);
  return {
    access: async (ref, purpose) => {
      const { workspace, secretId, version = 'latest' } = ref;
      assertSecretId(secretId);
      if (version !== 'latest' && !/^[1-9]\d{0,8}$/.test(version)) throw new CredentialNotFoundError(secretId);
      const { body } = await client.ask(
        'POST',
        `${pathOf(workspace, secretId)}/versions/${version}/reveal`,
        secretId,
        purpose,
      );
      const info = infoOf(body);
      // What was made for another place is not this secret, whatever the store says.
      if (info?.id !== secretId || body.name !== `workspaces/${workspace}/secrets/${secretId}`)
        throw new CredentialNotFoundError(secretId);
      return {
        ref: { ...ref, version: String(body.version) },
        connectorType: info.connectorType,
        value: new Secret<unknown>(body.value),
        scope: info.scope,
      };
    },
  };
}
