import { isDeepStrictEqual } from 'node:util';
import { CredentialNotFoundError } from '../../contract/errors.ts';
import type { Secret } from '../../contract/secret.ts';
import type { SecretDirectory, SecretInfo, SecretMetadata, SecretType } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { type Described, describedAs, toLabels, withoutOurs } from '../labels.ts';
import { assertPut, assertSameType, payloadOf } from '../payload.ts';
import {
  CALL,
  createClient,
  describedBy,
  type GcpClient,
  type GcpSecret,
  LABEL_TYPE,
  LABEL_WORKSPACE,
  LISTING,
  nameOf,
  parentOf,
  secretIdOf,
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
    put: (id, type, credential, metadata) => put(place, id, type, credential, metadata),
    remove: (id) => remove(place, id),
  };
}

/** One listing, filtered by labels at the server; each hit is checked again, and its versions are not asked for. */
async function* list(
  { client, ready, settings, workspace }: Place,
  connectorType?: SecretType,
): AsyncIterable<SecretInfo> {
  const parts = [
    `labels.${LABEL_WORKSPACE}=${workspace}`,
    ...(connectorType ? [`labels.${LABEL_TYPE}=${connectorType}`] : []),
  ];
  const found: SecretInfo[] = [];
  await ready();
  try {
    const request = { parent: parentOf(settings), filter: parts.join(' AND '), pageSize: PAGE_SECRETS };
    for await (const secret of client.listSecretsAsync(request, LISTING)) {
      const info = infoOf(secret as GcpSecret, settings, workspace);
      if (info && (!connectorType || info.connectorType === connectorType)) found.push(info);
    }
  } catch (error) {
    throw toManagerError(error);
  }
  yield* found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function infoOf(secret: GcpSecret, settings: GcpSettings, workspace: string): SecretInfo | null {
  const described = describedBy(secret);
  if (described?.workspace !== workspace) return null;
  const { id, type: connectorType, scope, expiresAt } = described;
  // Another deployment may share the project with another prefix.
  if (!secret.name?.endsWith(`/${secretIdOf(settings, workspace, id)}`)) return null;
  return { id, connectorType, versions: null, scope, expiresAt };
}

async function describe(place: Place, id: string): Promise<SecretInfo> {
  assertSecretId(id);
  const { client, settings, workspace } = place;
  const name = nameOf(settings, workspace, id);
  await place.ready();
  try {
    const [secret] = await client.getSecret({ name }, CALL);
    const info = infoOf(secret as GcpSecret, settings, workspace);
    if (info?.id !== id) throw new CredentialNotFoundError(id);
    const versions: { version: string; createdAt: string | null }[] = [];
    for await (const each of client.listSecretVersionsAsync({ parent: name }, LISTING)) {
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
  type: SecretType,
  credential: Secret<unknown>,
  metadata?: SecretMetadata,
): Promise<SecretInfo> {
  assertPut(id, metadata);
  const { client, settings, workspace } = place;
  const text = payloadOf(credential, MAX_BYTES);
  const name = nameOf(settings, workspace, id);
  await place.ready();
  const tuple = { id, workspace, type };
  const created = await create(place, describedAs(tuple, metadata, null));
  try {
    if (!created) await describeAnew(place, describedAs(tuple, metadata, await knownAs(place, id, type)));
    await client.addSecretVersion({ parent: name, payload: { data: Buffer.from(text.reveal()) } }, CALL);
  } catch (error) {
    // A secret without a version would be listed and could not be used.
    if (created) await client.deleteSecret({ name }, CALL).catch(() => undefined);
    throw toManagerError(error, id);
  }
  return describe(place, id);
}

/** False: it was there, of the same type. */
async function create({ client, settings, workspace }: Place, described: Described): Promise<boolean> {
  const { id, type } = described;
  const name = nameOf(settings, workspace, id);
  const secret = {
    ...(settings.location ? {} : { replication: { automatic: {} } }),
    labels: { [LABEL_TYPE]: type, [LABEL_WORKSPACE]: workspace },
    annotations: toLabels(described, '-'),
  };
  try {
    await client.createSecret({ parent: parentOf(settings), secretId: name.split('/').at(-1) as string, secret }, CALL);
    return true;
  } catch (error) {
    if (codeOf(error) !== ALREADY_EXISTS) throw toManagerError(error, id);
    return false;
  }
}

async function knownAs(
  { client, settings, workspace }: Place,
  id: string,
  type: SecretType,
): Promise<SecretInfo | null> {
  const [secret] = await client.getSecret({ name: nameOf(settings, workspace, id) }, CALL);
  const info = infoOf(secret as GcpSecret, settings, workspace);
  assertSameType(id, info?.id === id ? info.connectorType : null, type);
  return info;
}

/** Notes of other tools stay. */
async function describeAnew({ client, settings, workspace }: Place, described: Described): Promise<void> {
  const name = nameOf(settings, workspace, described.id);
  const [known] = await client.getSecret({ name }, CALL);
  const before = (known as GcpSecret).annotations ?? {};
  const annotations = { ...withoutOurs(before, '-'), ...toLabels(described, '-') };
  if (isDeepStrictEqual(annotations, { ...before })) return;
  await client.updateSecret({ secret: { name, annotations }, updateMask: { paths: ['annotations'] } }, CALL);
}

async function remove(place: Place, id: string): Promise<void> {
  await describe(place, id);
  const name = nameOf(place.settings, place.workspace, id);
  await place.client.deleteSecret({ name }, CALL).catch((error) => {
    throw toManagerError(error, id);
  });
}
