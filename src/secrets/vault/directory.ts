import { CONNECTOR_TYPES, type ConnectorType } from '../../contract/connector.ts';
import { CredentialNotFoundError, SecretAccessDeniedError } from '../../contract/errors.ts';
import type { Secret } from '../../contract/secret.ts';
import type { SecretDirectory, SecretInfo } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { assertSameType, payloadOf } from '../payload.ts';
import { leafOf, pathOf, unavailable, type VaultAnswer, VaultClient } from './client.ts';
import type { VaultSettings } from './settings.ts';

const MAX_BYTES = 512 * 1024;
/** Metadata asked for side by side in a listing. */
const AT_ONCE = 8;
const WRITE_ATTEMPTS = 50;

interface Place {
  readonly client: VaultClient;
  readonly settings: VaultSettings;
  readonly workspace: string;
}

/** What stands in a secret's `custom_metadata`, which no policy need hide from who lists. */
export interface Notes {
  readonly lockgate_id?: string;
  readonly lockgate_type?: string;
  readonly lockgate_workspace?: string;
}

interface Metadata {
  readonly current_version?: number;
  readonly custom_metadata?: Notes | null;
  readonly versions?: Readonly<Record<string, { created_time?: string; deletion_time?: string; destroyed?: boolean }>>;
}

/** Vault without its reading half: it reads metadata and never `data`. */
export function openVaultDirectory(settings: VaultSettings, workspace: string): SecretDirectory {
  const place: Place = { client: new VaultClient(settings), settings, workspace };
  return {
    list: (filter) => list(place, filter?.connectorType),
    describe: async (id) => {
      const found = await find(place, id);
      if (found) return found.info;
      throw new CredentialNotFoundError(id);
    },
    put: (id, connectorType, credential) => put(place, id, connectorType, credential),
    remove: async (id) => {
      if (!(await find(place, id))) throw new CredentialNotFoundError(id);
      assertOk(await place.client.request('DELETE', pathOf(settings, 'metadata', workspace, id)));
    },
  };
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

async function* list(place: Place, connectorType?: ConnectorType): AsyncIterable<SecretInfo> {
  // The same as the method LIST, which few HTTP libraries and proxies know.
  const answer = await place.client.request('GET', `${pathOf(place.settings, 'metadata', place.workspace)}?list=true`);
  // Vault knows no empty folders.
  if (answer.status === 404) return;
  const { keys } = (assertOk(answer).body.data ?? {}) as { keys?: unknown };
  const ids = (Array.isArray(keys) ? keys : []).flatMap((leaf) => idOf(place, String(leaf)) ?? []);
  const found: SecretInfo[] = [];
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    for (const each of await Promise.all(ids.slice(at, at + AT_ONCE).map((id) => find(place, id)))) {
      if (each && (!connectorType || each.info.connectorType === connectorType)) found.push(each.info);
    }
  }
  yield* found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Null: the name is not one of ours. */
function idOf({ workspace }: Place, leaf: string): string | null {
  const id = leaf.slice(0, -13);
  return leafOf(workspace, id) === leaf ? id : null;
}

async function find(place: Place, id: string): Promise<{ info: SecretInfo; current: number } | null> {
  assertSecretId(id);
  const answer = await place.client.request('GET', pathOf(place.settings, 'metadata', place.workspace, id));
  if (answer.status === 404) return null;
  const metadata = (assertOk(answer).body.data ?? {}) as Metadata;
  const connectorType = typeOf(metadata.custom_metadata, place.workspace, id);
  if (!connectorType || !metadata.current_version) return null;
  const versions = Object.entries(metadata.versions ?? {})
    .filter(([, { destroyed, deletion_time }]) => !destroyed && !deletion_time)
    .map(([version, { created_time }]) => ({ version, createdAt: created_time ?? null }))
    .sort((a, b) => Number(b.version) - Number(a.version));
  return { info: { id, connectorType, versions }, current: metadata.current_version };
}

/** The type of a secret that is the one that its name was made for; null of any other. */
export function typeOf(notes: Notes | null | undefined, workspace: string, id: string): ConnectorType | null {
  if (notes?.lockgate_id !== id || notes.lockgate_workspace !== workspace) return null;
  return CONNECTOR_TYPES.find((type) => type === notes.lockgate_type) ?? null;
}

/** First what the secret is, then its value: a value without a type never exists. */
async function put(
  place: Place,
  id: string,
  connectorType: ConnectorType,
  credential: Secret<unknown>,
): Promise<SecretInfo> {
  const { client, settings, workspace } = place;
  const text = payloadOf(credential, MAX_BYTES);
  const path = pathOf(settings, 'data', workspace, id);
  for (let attempt = 1; ; attempt++) {
    const known = await find(place, id);
    if (known) assertSameType(id, known.info.connectorType, connectorType);
    else await note(place, id, connectorType);
    const data = { credential: JSON.parse(text.reveal()) };
    const answer = await client.request('POST', path, { data, options: { cas: known?.current ?? 0 } });
    // Somebody else wrote meanwhile: look again.
    if (answer.status === 400 && attempt < WRITE_ATTEMPTS) continue;
    if (answer.status >= 400 && !known) await client.request('DELETE', pathOf(settings, 'metadata', workspace, id));
    assertOk(answer);
    const written = await find(place, id);
    if (written) return written.info;
    throw new CredentialNotFoundError(id);
  }
}

async function note({ client, settings, workspace }: Place, id: string, connectorType: ConnectorType): Promise<void> {
  const path = pathOf(settings, 'metadata', workspace, id);
  const there = await client.request('GET', path);
  if (there.status === 200) {
    const { current_version, custom_metadata } = (there.body.data ?? {}) as Metadata;
    if (current_version) assertSameType(id, typeOf(custom_metadata, workspace, id), connectorType);
  }
  const custom_metadata: Notes = { lockgate_id: id, lockgate_type: connectorType, lockgate_workspace: workspace };
  assertOk(await client.request('POST', path, { custom_metadata }));
}
