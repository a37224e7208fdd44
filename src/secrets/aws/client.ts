import { createHash } from 'node:crypto';
import { type DescribeSecretResponse, SecretsManagerClient, type Tag } from '@aws-sdk/client-secrets-manager';
import type { AwsSettings } from './settings.ts';

export const TAG_ID = 'lockgate:id';
export const TAG_TYPE = 'lockgate:type';
export const TAG_WORKSPACE = 'lockgate:workspace';

export function createClient({ region, endpoint }: AwsSettings): SecretsManagerClient {
  return new SecretsManagerClient({ region, ...(endpoint ? { endpoint } : {}), maxAttempts: 3 });
}

/** What the names of a workspace begin with. */
export function folderOf({ prefix }: AwsSettings, workspace: string): string {
  return `${prefix}/${workspace}/`;
}

/** Readable, and injective because part of a hash of the exact tuple follows; AWS keeps "-" and six characters for itself. */
export function nameOf(settings: AwsSettings, workspace: string, id: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([workspace, id]))
    .digest('hex')
    .slice(0, 12);
  return `${folderOf(settings, workspace)}${id}-${hash}`;
}

export function tagOf(tags: readonly Tag[] | undefined, key: string): string | undefined {
  return tags?.find((tag) => tag.Key === key)?.Value;
}

/** Whether a secret is the one that its name was made for. */
export function isOf(secret: Pick<DescribeSecretResponse, 'Tags'>, workspace: string, id: string): boolean {
  return tagOf(secret.Tags, TAG_ID) === id && tagOf(secret.Tags, TAG_WORKSPACE) === workspace;
}
