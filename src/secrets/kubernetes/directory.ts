import { CredentialNotFoundError } from '../../contract/errors.ts';
import type { Secret } from '../../contract/secret.ts';
import type { SecretDirectory, SecretInfo, SecretMetadata, SecretType } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { describedAs } from '../labels.ts';
import { assertPut, assertSameType, payloadOf } from '../payload.ts';
import { KubernetesClient, type KubernetesVersion } from './client.ts';
import type { KubernetesSettings } from './settings.ts';

/** An object may have 1 MiB with what stands beside the value, and the value is in base64. */
const MAX_BYTES = 700 * 1024;
const WRITE_ATTEMPTS = 50;

/** Kubernetes without its reading half: it asks for metadata only, and a new version is an object that it creates. */
export function openKubernetesDirectory(settings: KubernetesSettings, workspace: string): SecretDirectory {
  const client = new KubernetesClient(settings);
  const describe = async (id: string): Promise<SecretInfo> => {
    assertSecretId(id);
    const info = infoOf(await client.versionsOf(workspace, id));
    if (info) return info;
    throw new CredentialNotFoundError(id);
  };
  const put = async (id: string, type: SecretType, credential: Secret<unknown>, metadata?: SecretMetadata) => {
    assertPut(id, metadata);
    const text = payloadOf(credential, MAX_BYTES);
    for (let attempt = 1; ; attempt++) {
      const versions = await client.versionsOf(workspace, id);
      const known = infoOf(versions);
      if (known) assertSameType(id, known.connectorType, type);
      const name = client.nameOf(workspace, id, (versions[0]?.number ?? 0) + 1);
      const described = describedAs({ id, workspace, type }, metadata, known);
      if (await client.create(name, described, text.reveal())) return describe(id);
      // Somebody else took the number, or another secret has the name.
      if (attempt < WRITE_ATTEMPTS && (await client.versionsOf(workspace, id)).length > versions.length) continue;
      assertSameType(id, null, type);
    }
  };
  return {
    list: (filter) => list(client, workspace, filter?.connectorType),
    describe,
    put,
    remove: async (id) => {
      assertSecretId(id);
      const versions = await client.versionsOf(workspace, id);
      if (versions.length === 0) throw new CredentialNotFoundError(id);
      // The oldest first, so that what is left is the latest if this is cut off.
      for (const { name } of versions.toReversed()) await client.remove(name);
    },
  };
}

async function* list(client: KubernetesClient, workspace: string, type?: SecretType): AsyncIterable<SecretInfo> {
  const byId = Map.groupBy(await client.versions(workspace, type), ({ described }) => described.id);
  const found = [...byId.values()].flatMap((versions) => infoOf(versions) ?? []);
  yield* found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function infoOf(versions: readonly KubernetesVersion[]): SecretInfo | null {
  const [latest] = versions;
  if (!latest) return null;
  const { id, type, scope, expiresAt } = latest.described;
  const known = versions.map(({ number, createdAt }) => ({ version: String(number), createdAt }));
  return { id, connectorType: type, versions: known, scope, expiresAt };
}
