import { CONNECTOR_TYPES } from '../../contract/connector.ts';
import { CredentialNotFoundError, CredentialUnusableError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { SecretReader } from '../../contract/secret-manager.ts';
import { parsePayload } from '../payload.ts';
import { CALL, createClient, type Described, type GcpClient, isOf, LABEL_TYPE, nameOf } from './client.ts';
import { codeOf, FAILED_PRECONDITION, toManagerError } from './errors.ts';
import type { GcpSettings } from './settings.ts';

/** The reading half of Google Secret Manager. */
export function openGcpReader(settings: GcpSettings): SecretReader {
  const { sdk: client, ready } = createClient(settings);
  return {
    access: async (ref) => {
      const { workspace, secretId } = ref;
      const name = nameOf(settings, workspace, secretId);
      if (ref.version !== undefined && !/^\d{1,18}$/.test(ref.version)) throw new CredentialNotFoundError(secretId);
      await ready();
      try {
        const [secret] = await client.getSecret({ name }, CALL);
        if (!isOf(secret as Described, workspace, secretId)) throw new CredentialNotFoundError(secretId);
        const connectorType = CONNECTOR_TYPES.find((type) => type === (secret as Described).labels?.[LABEL_TYPE]);
        if (!connectorType) {
          throw new CredentialUnusableError(
            'credential_wrong_type',
            `"${secretId}" is labelled with no connector type.`,
          );
        }
        const [answer] = await accessVersion(client, name, ref.version ?? null);
        const version = answer.name?.split('/').at(-1) ?? '';
        const data = answer.payload?.data;
        const value = new Secret(data ?? new Uint8Array()).map((bytes) =>
          parsePayload(Buffer.from(bytes).toString('utf8'), secretId),
        );
        return { ref: { ...ref, version }, connectorType, value };
      } catch (error) {
        throw toManagerError(error, secretId);
      }
    },
  };
}

/** `latest` is the newest version even when it is disabled; then the newest that is enabled is meant. */
async function accessVersion(client: GcpClient['sdk'], name: string, version: string | null) {
  try {
    return await client.accessSecretVersion({ name: `${name}/versions/${version ?? 'latest'}` }, CALL);
  } catch (error) {
    if (version !== null || codeOf(error) !== FAILED_PRECONDITION) throw error;
    const numbers: number[] = [];
    for await (const each of client.listSecretVersionsAsync({ parent: name, filter: 'state:ENABLED' }, CALL)) {
      numbers.push(Number(each.name?.split('/').at(-1)));
    }
    if (numbers.length === 0) throw error;
    return await client.accessSecretVersion({ name: `${name}/versions/${Math.max(...numbers)}` }, CALL);
  }
}
