import type { ContentStore, PackIndex } from '../contract/content-store.ts';
import { openDirectoryStore } from './directory.ts';
import { openObjectContent, stagingIn } from './objects.ts';
import type { BucketTarget, ContentTarget } from './target.ts';

/** Opens the content store of the deployment. An SDK is loaded only for the store that needs it. */
export async function openContent(
  target: ContentTarget,
  dataDir: string,
  index: PackIndex | null = null,
): Promise<ContentStore> {
  if (target.kind === 'directory') return openDirectoryStore(target.folder, index);
  return openObjectContent(await clientOf(target), stagingIn(dataDir));
}

async function clientOf(target: BucketTarget) {
  if (target.kind === 's3') return (await import('./s3.ts')).s3Objects(target);
  if (target.kind === 'gcs') return (await import('./gcs.ts')).gcsObjects(target);
  return (await import('./azure.ts')).azureObjects(target);
}
