import { CONNECTOR_TYPES, type ConnectorType } from '../../contract/connector.ts';
import { CredentialNotFoundError } from '../../contract/errors.ts';
import type { Secret } from '../../contract/secret.ts';
import type { SecretDirectory, SecretInfo } from '../../contract/secret-manager.ts';
import { assertSecretId, sharedNameOf } from '../identifier.ts';
import { assertSameType, payloadOf } from '../payload.ts';
import {
  CALL,
  createClient,
  type Described,
  type GcpClient,
  isOf,
  LABEL_TYPE,
  LABEL_WORKSPACE,
  NOTE_ID,
  nameOf,
  parentOf,
} from './client.ts';
import { ALREADY_EXISTS, codeOf, toManagerError } from './errors.ts';
import type { GcpSettings } from './settings.ts';

const MAX_BYTES = 65_536;
const PAGE_SECRETS = 250;

interface Place {
  readonly client: GcpClient['sdk'];
  readonly ready: GcpClient['ready'];
  readonly settings: GcpSettings;
  readonly workspace: string;
}

/** Google Secret Manager without its reading half: nothing here asks for a value. */
export function openGcpDirectory(settings: GcpSettings, workspace: string): SecretDirectory {
  const { sdk, ready } = createClient(settings);
  const place: Place = { client: sdk, ready, settings, workspace };
  return {
    list: (filter) => list(place, filter?.connectorType),
    describe: (id) => describe(place, id),
    put: (id, connectorType, credential) => put(place, id, connectorType, credential),
    remove: (id) => remove(place, id),
  };
}

/** One listing, filtered by labels at the server; each hit is checked again, and its versions are not asked for. */
async function* list(
  { client, ready, settings, workspace }: Place,
  connectorType?: ConnectorType,
): AsyncIterable<SecretInfo> {
  const parts = [
    `labels.${LABEL_WORKSPACE}=${workspace}`,
    ...(connectorType ? [`labels.${LABEL_TYPE}=${connectorType}`] : []),
  ];
  const found: SecretInfo[] = [];
  await ready();
  try {
    const request = { parent: parentOf(settings), filter: parts.join(' AND '), pageSize: PAGE_SECRETS };
    for await (const secret of client.listSecretsAsync(request, CALL)) {
      const info = infoOf(secret as Described, settings, workspace);
      if (info && (!connectorType || info.connectorType === connectorType)) found.push(info);
    }
  } catch (error) {
    throw toManagerError(error);
  }
  yield* found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function infoOf(secret: Described, settings: GcpSettings, workspace: string): SecretInfo | null {
  const id = secret.annotations?.[NOTE_ID];
  const connectorType = CONNECTOR_TYPES.find((type) => type === secret.labels?.[LABEL_TYPE]);
  if (!id || !connectorType || !isOf(secret, workspace, id)) return null;
  // Another deployment may share the project with another prefix.
  if (!secret.name?.endsWith(`/${sharedNameOf(settings.prefix, workspace, id)}`)) return null;
  return { id, connectorType, versions: null };
}

async function describe(place: Place, id: string): Promise<SecretInfo> {
  assertSecretId(id);
  const { client, settings, workspace } = place;
  const name = nameOf(settings, workspace, id);
  await place.ready();
  try {
    const [secret] = await client.getSecret({ name }, CALL);
    const info = infoOf(secret as Described, settings, workspace);
    if (!info) throw new CredentialNotFoundError(id);
    const versions: { version: string; createdAt: string | null }[] = [];
    for await (const each of client.listSecretVersionsAsync({ parent: name }, CALL)) {
      if (each.state === 'DESTROYED') continue;
      const seconds = Number((each.createTime as { seconds?: unknown } | null | undefined)?.seconds);
      const createdAt = Number.isFinite(seconds) ? new Date(seconds * 1000).toISOString() : null;
      versions.push({ version: each.name?.split('/').at(-1) ?? '', createdAt });
    }
    return { ...info, versions: versions.sort((a, b) => Number(b.version) - Number(a.version)) };
  } catch (error) {
    throw toManagerError(error, id);
  }
}

async function put(
  place: Place,
  id: string,
  connectorType: ConnectorType,
  credential: Secret<unknown>,
): Promise<SecretInfo> {
  assertSecretId(id);
  const { client, settings, workspace } = place;
  const text = payloadOf(credential, MAX_BYTES);
  const name = nameOf(settings, workspace, id);
  await place.ready();
  const created = await create(place, id, connectorType);
  try {
    await client.addSecretVersion({ parent: name, payload: { data: Buffer.from(text.reveal()) } }, CALL);
  } catch (error) {
    // A secret without a version would be listed and could not be used.
    if (created) await client.deleteSecret({ name }, CALL).catch(() => undefined);
    throw toManagerError(error, id);
  }
  return describe(place, id);
}

/** False: it was there, of the same type. */
async function create(
  { client, settings, workspace }: Place,
  id: string,
  connectorType: ConnectorType,
): Promise<boolean> {
  const name = nameOf(settings, workspace, id);
  const secret = {
    ...(settings.location ? {} : { replication: { automatic: {} } }),
    labels: { [LABEL_TYPE]: connectorType, [LABEL_WORKSPACE]: workspace },
    annotations: { [NOTE_ID]: id },
  };
  try {
    await client.createSecret({ parent: parentOf(settings), secretId: name.split('/').at(-1) as string, secret }, CALL);
    return true;
  } catch (error) {
    if (codeOf(error) !== ALREADY_EXISTS) throw toManagerError(error, id);
  }
  const known = await client.getSecret({ name }, CALL).catch((error) => {
    throw toManagerError(error, id);
  });
  const info = infoOf(known[0] as Described, settings, workspace);
  assertSameType(id, info?.connectorType ?? null, connectorType);
  return false;
}

async function remove(place: Place, id: string): Promise<void> {
  await describe(place, id);
  const name = nameOf(place.settings, place.workspace, id);
  await place.client.deleteSecret({ name }, CALL).catch((error) => {
    throw toManagerError(error, id);
  });
}
