import { CredentialNotFoundError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { AccessedSecret, SecretReader, SecretRef } from '../../contract/secret-manager.ts';
import { parseForeign, parsePayload } from '../payload.ts';
import { createClient, describedBy, nameOf, type Tags } from './client.ts';
import { toManagerError } from './errors.ts';
import type { KeyVaultSettings } from './settings.ts';

/** The reading half of Azure Key Vault: one request for the value, its version and what it is. */
export function openKeyVaultReader(settings: KeyVaultSettings): SecretReader {
  const client = createClient(settings);
  const access = async (ref: SecretRef): Promise<AccessedSecret> => {
    const { workspace, secretId, version, foreign } = ref;
    if (foreign && !/^[A-Za-z0-9-]{1,127}$/.test(secretId)) throw new CredentialNotFoundError(secretId);
    const name = foreign ? secretId : nameOf(settings, workspace, secretId);
    const secret = await client.getSecret(name, version ? { version } : {});
    const found = { ...ref, version: secret.properties.version ?? '' };
    const text = new Secret(secret.value ?? '');
    if (foreign) return { ref: found, connectorType: null, value: text.map(parseForeign), scope: null };
    const described = describedBy(secret.properties.tags as Tags, workspace, secretId);
    if (!described) throw new CredentialNotFoundError(secretId);
    const value = text.map((json) => parsePayload(json, secretId));
    return { ref: found, connectorType: described.type, value, scope: described.scope };
  };
  return {
    access: async (ref) => {
      if (ref.version !== undefined && !/^[0-9a-f]{1,64}$/.test(ref.version))
        throw new CredentialNotFoundError(ref.secretId);
      try {
        return await access(ref);
      } catch (error) {
        throw toManagerError(error, ref.secretId);
      }
    },
  };
}
