import type { BlobItem, ContainerClient, ContainerListBlobFlatSegmentResponse } from '@azure/storage-blob';
import type { Entry, Page } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { AzureLocation } from './location.ts';

const PAGE_BLOBS = 5000;

/** Names come in an order that Azure does not define beyond "alphabetical". */
export async function listPage(
  client: ContainerClient,
  location: AzureLocation,
  marker: string | null,
  signal: AbortSignal,
): Promise<Page> {
  const pages = client
    .listBlobsFlat({ prefix: location.listed, includeMetadata: true, abortSignal: signal })
    .byPage({ maxPageSize: PAGE_BLOBS, ...(marker === null ? {} : { continuationToken: marker }) });
  const { value } = (await pages.next()) as { value: ContainerListBlobFlatSegmentResponse | undefined };
  if (!value?.segment) throw invalid('The answer is not a listing.');
  const entries = value.segment.blobItems.flatMap((item) => entryOf(item, location));
  const next = value.continuationToken;
  if (!next) return { entries, next: { kind: 'end' } };
  if (next === marker) throw invalid('The listing repeats its marker, so it would never end.');
  return { entries, next: { kind: 'more', pageToken: next } };
}

function entryOf(item: BlobItem, location: AzureLocation): Entry[] {
  const { name, properties, deleted, snapshot } = item;
  if (deleted || snapshot) return [];
  if (isDirectory(item)) return [];
  const { etag, contentLength, lastModified, accessTier } = properties;
  if (name === undefined || etag === undefined || contentLength === undefined) {
    throw invalid('A blob in the listing has no name, ETag or size.');
  }
  if (!name.startsWith(location.listed)) throw invalid('The listing has a name outside the prefix that was asked for.');
  const modifiedAt = lastModified?.getTime() ?? 0;
  return [
    {
      key: name,
      path: name.slice(location.prefix.length) || name,
      version: etag.replaceAll('"', ''),
      size: contentLength,
      modifiedAt: Number.isFinite(modifiedAt) ? modifiedAt : 0,
      ...(accessTier === 'Archive' ? { unreadable: 'archived' as const } : {}),
    },
  ];
}

/** Accounts with a hierarchical namespace list their directories as blobs without content. */
function isDirectory({ metadata, properties }: BlobItem): boolean {
  const marked = Object.entries(metadata ?? {}).some(
    ([name, value]) => name.toLowerCase() === 'hdi_isfolder' && value === 'true',
  );
  return marked && (properties.contentLength ?? 0) === 0;
}

function invalid(message: string): ConnectorError {
  return new ConnectorError('invalid_listing', message, { operation: 'list', retryable: true });
}
