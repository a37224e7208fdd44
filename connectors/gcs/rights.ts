import type { GcsClient } from './client.ts';

/** What a sync has no use for, in words. */
const MORE: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'storage.objects.create': 'create objects',
    'storage.objects.delete': 'delete objects',
    'storage.objects.update': 'change objects',
    'storage.objects.setIamPolicy': "change objects' permissions",
    'storage.buckets.update': 'change the bucket',
    'storage.buckets.delete': 'delete the bucket',
    'storage.buckets.setIamPolicy': "change the bucket's permissions",
  }),
);
const ANSWER_BYTES = 64 * 1024;

/**
 * What the credential may do beyond its task. Google tells everybody what they may do themselves; where it does not, nothing is said.
 * https://cloud.google.com/storage/docs/json_api/v1/buckets/testIamPermissions
 */
export async function rightsWarnings(client: GcsClient, bucket: string, signal: AbortSignal): Promise<string[]> {
  const query = new URLSearchParams();
  for (const permission of MORE.keys()) query.append('permissions', permission);
  try {
    const request = await client.requestFor(`${bucket}/iam/testPermissions`, query);
    const { permissions } = await client.requests.page(
      request,
      ANSWER_BYTES,
      signal,
      (body) => JSON.parse(body.toString()) as { permissions?: unknown },
    );
    const found = (Array.isArray(permissions) ? permissions : []).flatMap((name) => MORE.get(String(name)) ?? []);
    if (found.length === 0) return [];
    return [
      `The credential may also ${found.join(', ')}. A sync needs storage.objects.list and storage.objects.get only.`,
    ];
  } catch {
    signal.throwIfAborted();
    return [];
  }
}
