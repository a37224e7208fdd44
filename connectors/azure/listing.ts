import type { BlobItem, ContainerClient, ContainerListBlobFlatSegmentResponse } from '@azure/storage-blob';
import type { Entry, Page } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Clients } from './client.ts';
import type { AzureLocation } from './location.ts';
import { type ListedBlob, scanBlobs } from './scan.ts';
import type { Wire } from './wire.ts';

const PAGE_BLOBS = 5000;

const LISTING_BYTES = 64 * 1024 * 1024;

/** Names come in an order that Azure does not define beyond "alphabetical". */
export async function listPage(
  { wire, sdk }: Clients,
  location: AzureLocation,
  marker: string | null,
  signal: AbortSignal,
): Promise<Page> {
  const { entries, marker: next } =
    (await byWire(wire, location, marker, signal)) ?? (await bySdk(sdk, location, marker, signal));
  if (next === '') return { entries, next: { kind: 'end' } };
  if (next === marker) throw invalid('The listing repeats its marker, so it would never end.');
  return { entries, next: { kind: 'more', pageToken: next } };
}

interface ReadPage {
  readonly entries: readonly Entry[];
  /** Empty: this was the last page. */
  readonly marker: string;
}

async function byWire(
  wire: Wire,
  location: AzureLocation,
  marker: string | null,
  signal: AbortSignal,
): Promise<ReadPage | null> {
  if (!wire.listsPlainly) return null;
  const query: [string, string][] = [
    ['restype', 'container'],
    ['comp', 'list'],
    ['include', 'metadata'],
    ['maxresults', String(PAGE_BLOBS)],
    ...(location.listed === '' ? [] : ([['prefix', location.listed]] as [string, string][])),
    ...(marker === null ? [] : ([['marker', marker]] as [string, string][])),
  ];
  const request = await wire.requestFor(null, query, [], signal);
  return wire.requests.page(request, LISTING_BYTES, signal, (body) => {
    const entries: Entry[] = [];
    const next = scanBlobs(body, (blobs) => addEntries(entries, blobs, location));
    // Pages with names that XML cannot say are few and whoever writes comments writes them on every page: it is asked again only there.
    if (next === null && !body.includes('Encoded="true"')) wire.listsPlainly = false;
    return next === null ? null : { entries, marker: next };
  });
}

async function bySdk(
  sdk: ContainerClient,
  location: AzureLocation,
  marker: string | null,
  signal: AbortSignal,
): Promise<ReadPage> {
  const pages = sdk
    .listBlobsFlat({ prefix: location.listed, includeMetadata: true, abortSignal: signal })
    .byPage({ maxPageSize: PAGE_BLOBS, ...(marker === null ? {} : { continuationToken: marker }) });
  const { value } = (await pages.next()) as { value: ContainerListBlobFlatSegmentResponse | undefined };
  if (!value?.segment) throw invalid('The answer is not a listing.');
  const entries: Entry[] = [];
  addEntries(entries, value.segment.blobItems.flatMap(blobOf), location);
  return { entries, marker: value.continuationToken ?? '' };
}

function blobOf({ name, properties, deleted, snapshot, metadata }: BlobItem): ListedBlob[] {
  if (deleted || snapshot) return [];
  const { etag, contentLength: size, lastModified, accessTier } = properties;
  if (name === undefined || etag === undefined || size === undefined) {
    throw invalid('A blob in the listing has no name, ETag or size.');
  }
  const marked = Object.entries(metadata ?? {}).some(
    ([key, value]) => key.toLowerCase() === 'hdi_isfolder' && value === 'true',
  );
  const modifiedAt = lastModified?.getTime() ?? Number.NaN;
  return [{ name, etag, size, modifiedAt, archived: accessTier === 'Archive', marked }];
}

function addEntries(entries: Entry[], blobs: readonly ListedBlob[], { listed, prefix }: AzureLocation): void {
  for (const { name, etag, size, modifiedAt, archived, marked } of blobs) {
    // Accounts with a hierarchical namespace list their directories as blobs without content.
    if (marked && size === 0) continue;
    if (!name.startsWith(listed)) throw invalid('The listing has a name outside the prefix that was asked for.');
    const entry = {
      key: name,
      path: prefix === '' ? name : name.slice(prefix.length) || name,
      version: etag.includes('"') ? etag.replaceAll('"', '') : etag,
      size,
      modifiedAt: Number.isFinite(modifiedAt) ? modifiedAt : 0,
    };
    entries.push(archived ? { ...entry, unreadable: 'archived' } : entry);
  }
}

function invalid(message: string): ConnectorError {
  return new ConnectorError('invalid_listing', message, { operation: 'list', retryable: true });
}
