import { CredentialNotFoundError } from '../../contract/errors.ts';
import { SECRET_TYPES, type SecretDirectory, type SecretInfo, type SecretType } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { describedAs, toLabels } from '../labels.ts';
import { assertPut, assertSameType, payloadOf } from '../payload.ts';
import { vaultClient } from './client.ts';
import { assertOk, leavesBelow, MAX_BYTES } from './directory.ts';
import { folderOf, idOf, nameOf, pathOf, typedName } from './names.ts';
import type { VaultSettings } from './settings.ts';

/**
 * Version 1 of Vault's engine without its reading half. It keeps one value and nothing beside it: the type stands in the
 * path, a new value replaces the old one, and a scope lies with the value, so each put must name it again.
 */
export function openVaultV1Directory(settings: VaultSettings, workspace: string): SecretDirectory {
  const client = vaultClient(settings);
  const folder = folderOf(settings, workspace);
  const listType = async (type: SecretType): Promise<SecretInfo[]> => {
    const leaves = await leavesBelow(client, pathOf(settings, null, `${folder}${type}`));
    return leaves.flatMap((leaf) => {
      const id = idOf(settings, workspace, leaf);
      return id ? [infoOf(id, type)] : [];
    });
  };
  const find = async (id: string): Promise<SecretInfo | null> => {
    assertSecretId(id);
    const all = await Promise.all(SECRET_TYPES.map(listType));
    return all.flat().find((info) => info.id === id) ?? null;
  };
  const pathFor = (id: string, type: SecretType) =>
    pathOf(settings, null, typedName(nameOf(settings, workspace, id), type));
  return {
    list: async function* (filter) {
      const types = SECRET_TYPES.filter((type) => !filter?.connectorType || type === filter.connectorType);
      yield* (await Promise.all(types.map(listType))).flat().sort((a, b) => (a.id < b.id ? -1 : 1));
    },
    describe: async (id) => {
      const found = await find(id);
      if (found) return found;
      throw new CredentialNotFoundError(id);
    },
    put: async (id, type, credential, metadata) => {
      assertPut(id, metadata);
      const text = payloadOf(credential, MAX_BYTES);
      const known = await find(id);
      if (known) assertSameType(id, known.connectorType, type);
      const labels = toLabels(describedAs({ id, workspace, type }, metadata, null), '_');
      assertOk(await client.request('POST', pathFor(id, type), { credential: JSON.parse(text.reveal()), ...labels }));
      return infoOf(id, type);
    },
    remove: async (id) => {
      const known = await find(id);
      if (!known) throw new CredentialNotFoundError(id);
      assertOk(await client.request('DELETE', pathFor(id, known.connectorType)));
    },
  };
}

function infoOf(id: string, connectorType: SecretType): SecretInfo {
  return { id, connectorType, versions: [{ version: '1', createdAt: null }], expiresAt: null, scope: null };
}
