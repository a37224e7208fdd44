import { CredentialNotFoundError, SecretAccessDeniedError } from '../../contract/errors.ts';
import type { Secret } from '../../contract/secret.ts';
import type { SecretDirectory, SecretInfo, SecretMetadata, SecretType } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { type Described, describedAs, fromLabels, toLabels, withoutOurs } from '../labels.ts';
import { assertPut, assertSameType, payloadOf } from '../payload.ts';
import { unavailable, type VaultAnswer, type VaultClient, vaultClient } from './client.ts';
import { folderOf, nameOf, pathOf } from './names.ts';
import type { VaultSettings } from './settings.ts';

export const MAX_BYTES = 512 * 1024;
/** Metadata asked for side by side in a listing. */
const AT_ONCE = 8;
const WRITE_ATTEMPTS = 50;

interface Place {
  readonly client: VaultClient;
  readonly settings: VaultSettings;
  readonly workspace: string;
}

/** What stands in a secret's `custom_metadata`, which no policy need hide from who lists. */
export type Notes = Readonly<Record<string, string>>;

interface Metadata {
  readonly current_version?: number;
  readonly custom_metadata?: Notes | null;
  readonly versions?: Readonly<Record<string, { created_time?: string; deletion_time?: string; destroyed?: boolean }>>;
}

/** Version 2 of Vault's engine without its reading half: it reads metadata and never `data`. */
export function openVaultDirectory(settings: VaultSettings, workspace: string): SecretDirectory {
  const place: Place = { client: vaultClient(settings), settings, workspace };
  return {
    list: (filter) => list(place, filter?.connectorType),
    describe: async (id) => {
      const found = await find(place, id);
      if (found) return found.info;
      throw new CredentialNotFoundError(id);
    },
    put: (id, type, credential, metadata) => put(place, id, type, credential, metadata),
    remove: async (id) => {
      if (!(await find(place, id))) throw new CredentialNotFoundError(id);
      assertOk(await place.client.request('DELETE', metadataPath(place, id)));
    },
  };
}

function metadataPath({ settings, workspace }: Place, id: string): string {
  return pathOf(settings, 'metadata', nameOf(settings, workspace, id));
}

export function assertOk(answer: VaultAnswer): VaultAnswer {
  const { status } = answer;
  if (status >= 200 && status < 300) return answer;
  if (status === 403) {
    throw new SecretAccessDeniedError(
      'Vault refuses this.',
      'Workers need read on MOUNT/data/PREFIX/*; who adds and lists secrets needs create and update on it, and create, update, read, list and delete on MOUNT/metadata/PREFIX/*.',
    );
  }
  throw unavailable(status);
}

/** The names below a folder that are no folders themselves. */
export async function leavesBelow(client: VaultClient, folder: string): Promise<string[]> {
  // The same as the method LIST, which few HTTP libraries and proxies know.
  const answer = await client.request('GET', `${folder}?list=true`);
  // Vault knows no empty folders.
  if (answer.status === 404) return [];
  const { keys } = (assertOk(answer).body.data ?? {}) as { keys?: unknown };
  return (Array.isArray(keys) ? keys : []).map(String).filter((key) => !key.endsWith('/'));
}

async function* list(place: Place, connectorType?: SecretType): AsyncIterable<SecretInfo> {
  const { client, settings, workspace } = place;
  const folder = folderOf(settings, workspace);
  const leaves = await leavesBelow(client, pathOf(settings, 'metadata', folder));
  const found: SecretInfo[] = [];
  for (let at = 0; at < leaves.length; at += AT_ONCE) {
    const some = leaves.slice(at, at + AT_ONCE).map((leaf) => look(place, folder + leaf));
    for (const each of await Promise.all(some)) {
      // Another deployment's, or one of another tool that copied our notes: the name must be the one that its ID has.
      if (!each || each.name !== nameOf(settings, workspace, each.info.id)) continue;
      if (!connectorType || each.info.connectorType === connectorType) found.push(each.info);
    }
  }
  yield* found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

interface Found {
  readonly name: string;
  readonly info: SecretInfo;
  readonly current: number;
}

async function find(place: Place, id: string): Promise<Found | null> {
  assertSecretId(id);
  const found = await look(place, nameOf(place.settings, place.workspace, id));
  return found?.info.id === id ? found : null;
}

async function look({ client, settings, workspace }: Place, name: string): Promise<Found | null> {
  const answer = await client.request('GET', pathOf(settings, 'metadata', name));
  if (answer.status === 404) return null;
  const metadata = (assertOk(answer).body.data ?? {}) as Metadata;
  const described = fromLabels(metadata.custom_metadata, '_');
  if (described?.workspace !== workspace || !metadata.current_version) return null;
  const versions = Object.entries(metadata.versions ?? {})
    .filter(([, { destroyed, deletion_time }]) => !destroyed && !deletion_time)
    .map(([version, { created_time }]) => ({ version, createdAt: created_time ?? null }))
    .sort((a, b) => Number(b.version) - Number(a.version));
  const { id, type: connectorType, scope, expiresAt } = described;
  return { name, info: { id, connectorType, versions, scope, expiresAt }, current: metadata.current_version };
}

/** First what the secret is, then its value: a value without a type never exists. */
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
  const path = pathOf(settings, 'data', nameOf(settings, workspace, id));
  for (let attempt = 1; ; attempt++) {
    const known = await find(place, id);
    if (known) assertSameType(id, known.info.connectorType, type);
    await note(place, describedAs({ id, workspace, type }, metadata, known?.info ?? null), known !== null);
    const data = { credential: JSON.parse(text.reveal()) };
    const answer = await client.request('POST', path, { data, options: { cas: known?.current ?? 0 } });
    // Somebody else wrote meanwhile: look again.
    if (answer.status === 400 && attempt < WRITE_ATTEMPTS) continue;
    if (answer.status >= 400 && !known) await client.request('DELETE', metadataPath(place, id));
    assertOk(answer);
    const written = await find(place, id);
    if (written) return written.info;
    throw new CredentialNotFoundError(id);
  }
}

/** Notes of other tools stay. */
async function note(place: Place, described: Described, known: boolean): Promise<void> {
  const path = metadataPath(place, described.id);
  const there = await place.client.request('GET', path);
  const { current_version, custom_metadata } = (there.body.data ?? {}) as Metadata;
  if (there.status === 200 && current_version && !known) {
    const owner = fromLabels(custom_metadata, '_');
    const ours = owner?.id === described.id && owner.workspace === described.workspace;
    assertSameType(described.id, ours ? owner.type : null, described.type);
  }
  const labels = { ...withoutOurs(there.status === 200 ? custom_metadata : null, '_'), ...toLabels(described, '_') };
  assertOk(await place.client.request('POST', path, { custom_metadata: labels }));
}
