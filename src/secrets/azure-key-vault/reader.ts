import { CredentialNotFoundError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { SecretReader } from '../../contract/secret-manager.ts';
import { parsePayload } from '../payload.ts';
import { createClient, nameOf, typeOf } from './client.ts';
import { toManagerError } from './errors.ts';
import type { KeyVaultSettings } from './settings.ts';

/** The reading half of Azure Key Vault: one request for the value, its version and what it is. */
export function openKeyVaultReader(settings: KeyVaultSettings): SecretReader {
  const client = createClient(settings);
  return {
    access: async (ref) => {
      const { workspace, secretId, version } = ref;
      if (version !== undefined && !/^[0-9a-f]{1,64}$/.test(version)) throw new CredentialNotFoundError(secretId);
      try {
        const secret = await client.getSecret(nameOf(settings, workspace, secretId), version ? { version } : {});
        const connectorType = typeOf(secret.properties.tags, workspace, secretId);
        if (!connectorType) throw new CredentialNotFoundError(secretId);
        const value = new Secret(secret.value ?? '').map((text) => parsePayload(text, secretId));
        return { ref: { ...ref, version: secret.properties.version ?? '' }, connectorType, value };
      } catch (error) {
        throw toManagerError(error, secretId);
      }
    },
  };
}
