import {
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  type DescribeSecretResponse,
  PutSecretValueCommand,
  paginateListSecrets,
  paginateListSecretVersionIds,
  RestoreSecretCommand,
  type SecretsManagerClient,
  type Tag,
  TagResourceCommand,
  UntagResourceCommand,
} from '@aws-sdk/client-secrets-manager';
import { CredentialNotFoundError } from '../../contract/errors.ts';
import type { Secret } from '../../contract/secret.ts';
import type { SecretDirectory, SecretInfo, SecretMetadata, SecretType } from '../../contract/secret-manager.ts';
import { assertSecretId } from '../identifier.ts';
import { type Described, describedAs, fromLabels, toLabels } from '../labels.ts';
import { assertPut, assertSameType, payloadOf } from '../payload.ts';
import { createClient, folderOf, nameOf, tagsOf } from './client.ts';
import { isScheduledForDeletion, nameOfError, toManagerError } from './errors.ts';
import type { AwsSettings } from './settings.ts';

const MAX_BYTES = 65_536;
const RECOVERY_DAYS = 7;

interface Place {
  readonly client: SecretsManagerClient;
  readonly settings: AwsSettings;
  readonly workspace: string;
}

/** AWS Secrets Manager without its reading half: nothing here asks for a value. */
export function openAwsDirectory(settings: AwsSettings, workspace: string): SecretDirectory {
  const place: Place = { client: createClient(settings), settings, workspace };
  return {
    list: (filter) => list(place, filter?.connectorType),
    describe: (id) => describe(place, id),
    put: (id, type, credential, metadata) => put(place, id, type, credential, metadata),
    remove: (id) => remove(place, id),
  };
}

/** By the beginning of their names, which AWS matches loosely: each hit is checked by its tags. */
async function* list({ client, settings, workspace }: Place, connectorType?: SecretType): AsyncIterable<SecretInfo> {
  const Filters = [{ Key: 'name' as const, Values: [folderOf(settings, workspace)] }];
  const found: SecretInfo[] = [];
  try {
    for await (const page of paginateListSecrets({ client }, { Filters, MaxResults: 100 })) {
      for (const { Name, Tags } of page.SecretList ?? []) {
        const info = infoOf(Name, Tags, settings, workspace);
        if (info && (!connectorType || info.connectorType === connectorType)) found.push(info);
      }
    }
  } catch (error) {
    throw toManagerError(error);
  }
  yield* found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function infoOf(
  name: string | undefined,
  tags: Tag[] | undefined,
  settings: AwsSettings,
  workspace: string,
): SecretInfo | null {
  const described = fromLabels(tagsOf(tags), ':');
  if (described?.workspace !== workspace) return null;
  const { id, type: connectorType, scope, expiresAt } = described;
  return name === nameOf(settings, workspace, id) ? { id, connectorType, versions: null, scope, expiresAt } : null;
}

async function find({ client, settings, workspace }: Place, id: string): Promise<DescribeSecretResponse | null> {
  try {
    const secret = await client.send(new DescribeSecretCommand({ SecretId: nameOf(settings, workspace, id) }));
    return secret.DeletedDate ? null : secret;
  } catch (error) {
    if (nameOfError(error) === 'ResourceNotFoundException') return null;
    throw toManagerError(error, id);
  }
}

async function describe(place: Place, id: string): Promise<SecretInfo> {
  assertSecretId(id);
  const { client, settings, workspace } = place;
  const secret = await find(place, id);
  const info = secret && infoOf(secret.Name, secret.Tags, settings, workspace);
  if (info?.id !== id) throw new CredentialNotFoundError(id);
  const versions: { version: string; createdAt: string | null; current: boolean }[] = [];
  try {
    const request = { SecretId: nameOf(settings, workspace, id), IncludeDeprecated: true, MaxResults: 100 };
    for await (const page of paginateListSecretVersionIds({ client }, request)) {
      for (const { VersionId = '', CreatedDate, VersionStages } of page.Versions ?? []) {
        const current = VersionStages?.includes('AWSCURRENT') ?? false;
        versions.push({ version: VersionId, createdAt: CreatedDate?.toISOString() ?? null, current });
      }
    }
  } catch (error) {
    throw toManagerError(error, id);
  }
  const age = (each: (typeof versions)[number]) => Date.parse(each.createdAt ?? '') || 0;
  versions.sort((a, b) => Number(b.current) - Number(a.current) || age(b) - age(a));
  return { ...info, versions: versions.map(({ version, createdAt }) => ({ version, createdAt })) };
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
  const SecretId = nameOf(settings, workspace, id);
  const tuple = { id, workspace, type };
  try {
    if (!(await create(place, describedAs(tuple, metadata, null), text))) {
      const known = await assertSame(place, id, type);
      await describeAnew(place, SecretId, toLabels(describedAs(tuple, metadata, known), ':'));
      await client.send(new PutSecretValueCommand({ SecretId, SecretString: text.reveal() }));
    }
  } catch (error) {
    throw toManagerError(error, id);
  }
  return describe(place, id);
}

/** False: a secret of that name is there, or was and is restored. */
async function create({ client, settings }: Place, described: Described, text: Secret<string>): Promise<boolean> {
  const Name = nameOf(settings, described.workspace, described.id);
  const Tags = toTags({ ...settings.tags, ...toLabels(described, ':') });
  const { kmsKeyId } = settings;
  try {
    await client.send(
      new CreateSecretCommand({ Name, SecretString: text.reveal(), Tags, ...(kmsKeyId ? { KmsKeyId: kmsKeyId } : {}) }),
    );
    return true;
  } catch (error) {
    if (isScheduledForDeletion(error)) {
      await client.send(new RestoreSecretCommand({ SecretId: Name }));
      return false;
    }
    if (nameOfError(error) === 'ResourceExistsException') return false;
    throw error;
  }
}

async function assertSame(place: Place, id: string, type: SecretType): Promise<SecretInfo | null> {
  const secret = await find(place, id);
  const info = secret && infoOf(secret.Name, secret.Tags, place.settings, place.workspace);
  assertSameType(id, info?.id === id ? info.connectorType : null, type);
  return info;
}

/** Tags of other tools stay. */
async function describeAnew({ client }: Place, SecretId: string, labels: Record<string, string>): Promise<void> {
  const before = tagsOf((await client.send(new DescribeSecretCommand({ SecretId }))).Tags);
  const stale = Object.keys(before).filter((key) => key.startsWith('lockgate:') && !(key in labels));
  const changed = Object.entries(labels).filter(([key, value]) => before[key] !== value);
  if (changed.length > 0)
    await client.send(new TagResourceCommand({ SecretId, Tags: toTags(Object.fromEntries(changed)) }));
  if (stale.length > 0) await client.send(new UntagResourceCommand({ SecretId, TagKeys: stale }));
}

function toTags(labels: Readonly<Record<string, string>>): Tag[] {
  return Object.entries(labels).map(([Key, Value]) => ({ Key, Value }));
}

/** It can be restored for a week; storing it again restores it too. */
async function remove(place: Place, id: string): Promise<void> {
  await describe(place, id);
  const SecretId = nameOf(place.settings, place.workspace, id);
  try {
    await place.client.send(new DeleteSecretCommand({ SecretId, RecoveryWindowInDays: RECOVERY_DAYS }));
  } catch (error) {
    throw toManagerError(error, id);
  }
}
