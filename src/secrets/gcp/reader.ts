import { CredentialNotFoundError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { AccessedSecret, SecretReader, SecretRef } from '../../contract/secret-manager.ts';
import { parseForeign, parsePayload } from '../payload.ts';
import {
  CALL,
  createClient,
  describedBy,
  type GcpClient,
  type GcpSecret,
  LISTING,
  nameOf,
  parentOf,
} from './client.ts';
import { codeOf, FAILED_PRECONDITION, toManagerError } from './errors.ts';
import type { GcpSettings } from './settings.ts';

/** The reading half of Google Secret Manager. */
export function openGcpReader(settings: GcpSettings): SecretReader {
  const { sdk: client, ready } = createClient(settings);
  const read = async (name: string, ref: SecretRef, parse: (text: string) => unknown) => {
    const [answer] = await accessVersion(client, name, ref.version ?? null);
    const data = answer.payload?.data;
    const value = new Secret(data ?? new Uint8Array()).map((bytes) => parse(Buffer.from(bytes).toString('utf8')));
    return { ref: { ...ref, version: answer.name?.split('/').at(-1) ?? '' }, value };
  };
  const access = async (ref: SecretRef): Promise<AccessedSecret> => {
    const { workspace, secretId } = ref;
    if (ref.foreign) {
      // A name and no resource's path, so that it cannot lead out of the project.
      if (!/^[A-Za-z0-9_-]{1,255}$/.test(secretId)) throw new CredentialNotFoundError(secretId);
      const name = `${parentOf(settings)}/secrets/${secretId}`;
      return { ...(await read(name, ref, parseForeign)), connectorType: null, scope: null };
    }
    const name = nameOf(settings, workspace, secretId);
    const [secret] = await client.getSecret({ name }, CALL);
    const described = describedBy(secret as GcpSecret);
    if (described?.id !== secretId || described.workspace !== workspace) throw new CredentialNotFoundError(secretId);
    const accessed = await read(name, ref, (text) => parsePayload(text, secretId));
    return { ...accessed, connectorType: described.type, scope: described.scope };
  };
  return {
    access: async (ref) => {
      if (ref.version !== undefined && !/^\d{1,18}$/.test(ref.version)) throw new CredentialNotFoundError(ref.secretId);
      await ready();
      try {
        return await access(ref);
      } catch (error) {
        throw toManagerError(error, ref.secretId);
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
    for await (const each of client.listSecretVersionsAsync({ parent: name, filter: 'state:ENABLED' }, LISTING)) {
      numbers.push(Number(each.name?.split('/').at(-1)));
    }
    if (numbers.length === 0) throw error;
    return await client.accessSecretVersion({ name: `${name}/versions/${Math.max(...numbers)}` }, CALL);
  }
}
