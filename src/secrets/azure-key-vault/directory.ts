import type { SecretClient, SecretProperties } from '@azure/keyvault-secrets';
import { CredentialNotFoundError } from '../../contract/errors.ts';
import type { Secret } from '../../contract/secret.ts';
import type { SecretDirectory, SecretInfo, SecretMetadata, SecretType } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { describedAs, fromLabels, toLabels } from '../labels.ts';
import { assertPut, assertSameType, payloadOf } from '../payload.ts';
import { createClient, describedBy, nameOf, type Tags } from './client.ts';
import { statusOf, toManagerError } from './errors.ts';
import type { KeyVaultSettings } from './settings.ts';

const MAX_BYTES = 25_000;

interface Place {
  readonly client: SecretClient;
  readonly settings: KeyVaultSettings;
  readonly workspace: string;
}

/** Azure Key Vault without its reading half: it asks for the properties of secrets and never for a value. */
export function openKeyVaultDirectory(settings: KeyVaultSettings, workspace: string): SecretDirectory {
  const place: Place = { client: createClient(settings), settings, workspace };
  return {
    list: (filter) => list(place, filter?.connectorType),
    describe: async (id) => {
      const found = await find(place, id);
      if (!found?.info) throw new CredentialNotFoundError(id);
      return found.info;
    },
    put: (id, type, credential, metadata) => put(place, id, type, credential, metadata),
    remove: (id) => remove(place, id),
  };
}

/** Key Vault filters nothing: every secret of the vault is looked at, by its tags. */
async function* list({ client, settings, workspace }: Place, connectorType?: SecretType): AsyncIterable<SecretInfo> {
  const found: SecretInfo[] = [];
  try {
    for await (const { name, tags, enabled } of client.listPropertiesOfSecrets()) {
      const described = fromLabels(tags as Tags, '-');
      if (described?.workspace !== workspace || enabled === false) continue;
      const { id, type, scope, expiresAt } = described;
      if (name !== nameOf(settings, workspace, id) || (connectorType && type !== connectorType)) continue;
      found.push({ id, connectorType: type, versions: null, scope, expiresAt });
    }
  } catch (error) {
    throw toManagerError(error);
  }
  yield* found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Null: there is nothing of the name. `info` null: there is, and it is not what the name was made for. */
async function find({ client, settings, workspace }: Place, id: string): Promise<{ info: SecretInfo | null } | null> {
  assertSecretId(id);
  const versions: SecretProperties[] = [];
  try {
    for await (const each of client.listPropertiesOfSecretVersions(nameOf(settings, workspace, id)))
      versions.push(each);
  } catch (error) {
    if (statusOf(error) === 404) return null;
    throw toManagerError(error, id);
  }
  const age = ({ createdOn }: SecretProperties) => createdOn?.getTime() ?? 0;
  versions.sort((a, b) => age(b) - age(a));
  const [latest] = versions;
  if (!latest) return null;
  const described = describedBy(latest.tags as Tags, workspace, id);
  if (!described) return { info: null };
  const { type: connectorType, scope } = described;
  const expiresAt = described.expiresAt ?? latest.expiresOn?.toISOString() ?? null;
  const known = versions.map(({ version = '', createdOn }) => ({
    version,
    createdAt: createdOn?.toISOString() ?? null,
  }));
  return { info: { id, connectorType, versions: known, scope, expiresAt } };
}

async function put(
  place: Place,
  id: string,
  type: SecretType,
  credential: Secret<unknown>,
  metadata?: SecretMetadata,
): Promise<SecretInfo> {
  assertPut(id, metadata);
  const { client, settings, workspace } = place;
  const text = payloadOf(credential, MAX_BYTES);
  const known = await find(place, id);
  if (known) assertSameType(id, known.info?.connectorType ?? null, type);
  const name = nameOf(settings, workspace, id);
  const options = {
    contentType: `application/vnd.lockgate.${type}+json`,
    tags: toLabels(describedAs({ id, workspace, type }, metadata, known?.info ?? null), '-'),
  };
  try {
    await client.setSecret(name, text.reveal(), options).catch(async (error) => {
      // What was removed keeps its name until it is purged: it is brought back, and gets a new version.
      if (statusOf(error) !== 409) throw error;
      await (await client.beginRecoverDeletedSecret(name)).pollUntilDone();
      await client.setSecret(name, text.reveal(), options);
    });
  } catch (error) {
    throw toManagerError(error, id);
  }
  const written = await find(place, id);
  if (written?.info) return written.info;
  throw new CredentialNotFoundError(id);
}

/** A vault keeps what is removed for as long as it is set to; storing it again brings it back. */
async function remove(place: Place, id: string): Promise<void> {
  const known = await find(place, id);
  if (!known?.info) throw new CredentialNotFoundError(id);
  try {
    const deletion = await place.client.beginDeleteSecret(nameOf(place.settings, place.workspace, id));
    await deletion.pollUntilDone();
  } catch (error) {
    throw toManagerError(error, id);
  }
}
