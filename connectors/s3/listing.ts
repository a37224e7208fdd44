import { isAscii } from 'node:buffer';
import { ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import type { Entry, Outline, Page } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Clients, RegionalClient } from './client.ts';
import type { S3Location } from './location.ts';
import { type OutlinedListing, objectsIn, outlineListing, wordsIn } from './outline.ts';
import { type ListedObject, type ListingFrame, scanListing } from './scan.ts';

const PAGE_KEYS = 1000;
/** Storage classes that a plain GET is refused for. */
const ARCHIVED = new Set(['GLACIER', 'DEEP_ARCHIVE']);

/** Where a listing goes on: S3's token, and the last key for the day when S3 no longer knows the token. */
interface Position {
  /** Null: after a key. */
  readonly token: string | null;
  readonly after: string | null;
}

export function positionAfter(key: string): string {
  const position: Position = { token: null, after: key };
  return JSON.stringify(position);
}

const LISTING_BYTES = 32 * 1024 * 1024;

/** What a page has, however it was read. */
type Listed = ListingFrame & ({ readonly objects: readonly ListedObject[] } | OutlinedListing);

export async function listPage(
  client: RegionalClient,
  location: S3Location,
  payer: { RequestPayer?: 'requester' },
  position: string | null,
  signal: AbortSignal,
): Promise<Page> {
  const from = position === null ? null : (JSON.parse(position) as Position);
  const ask = (start: Start) => client.send((clients) => askFor(clients, location, payer, start, signal));
  if (!from) return pageOf(await ask({}), location, null);
  if (from.token === null) return pageOf(await ask({ after: from.after as string }), location, from);
  try {
    return pageOf(await ask({ token: from.token }), location, from);
  } catch (error) {
    const stale = (error as { name?: string }).name === 'InvalidArgument' && from.after !== null;
    if (!stale) throw error;
    return pageOf(await ask({ after: from.after as string }), location, from);
  }
}

interface Start {
  readonly token?: string;
  readonly after?: string;
}

async function askFor(
  { wire, s3 }: Clients,
  location: S3Location,
  payer: { RequestPayer?: 'requester' },
  start: Start,
  signal: AbortSignal,
): Promise<Listed> {
  if (wire?.listsPlainly) {
    const query: [string, string][] = [
      ['list-type', '2'],
      // Keys may hold characters that XML cannot.
      ['encoding-type', 'url'],
      ['max-keys', String(PAGE_KEYS)],
      ['prefix', location.listed],
      ...(start.token === undefined ? [] : ([['continuation-token', start.token]] as [string, string][])),
      ...(start.after === undefined ? [] : ([['start-after', start.after]] as [string, string][])),
    ];
    const request = await wire.listing(query);
    const scanned = await wire.requests.page(request, LISTING_BYTES, signal, listingIn);
    if (scanned) return scanned;
    // Whoever writes such pages writes all of them so.
    wire.listsPlainly = false;
  }
  const command = new ListObjectsV2Command({
    Bucket: location.bucket,
    Prefix: location.listed,
    MaxKeys: PAGE_KEYS,
    EncodingType: 'url',
    ...payer,
    ...(start.token === undefined ? {} : { ContinuationToken: start.token }),
    ...(start.after === undefined ? {} : { StartAfter: start.after }),
  });
  return listedBy(await s3.send(command, { abortSignal: signal }));
}

function listingIn(body: Buffer): Listed | null {
  return (isAscii(body) ? outlineListing(body) : null) ?? scanListing(body.toString());
}

function listedBy(output: ListObjectsV2CommandOutput): Listed {
  return {
    truncated: output.IsTruncated,
    token: output.NextContinuationToken,
    encoded: output.EncodingType === 'url',
    objects: (output.Contents ?? []).map(({ Key, ETag, Size, LastModified, StorageClass }) => {
      if (Key === undefined || Size === undefined) throw invalid('An object in the listing has no key or no size.');
      const modifiedAt = LastModified?.getTime() ?? Number.NaN;
      return { key: Key, size: Size, etag: ETag, modifiedAt, storageClass: StorageClass };
    }),
  };
}

function pageOf(listed: Listed, location: S3Location, from: Position | null): Page {
  if (listed.truncated === undefined) throw invalid('The answer is not a listing.');
  if ('pieces' in listed) {
    const outline = outlineOf(listed, location);
    return new OutlinedPage(outline, nextOf(listed, outline.keys.at(-1), from));
  }
  const entries = entriesOf(listed.objects, listed, location);
  return { entries, next: nextOf(listed, entries.at(-1)?.key, from) };
}

function nextOf({ truncated, token }: ListingFrame, last: string | undefined, from: Position | null): Page['next'] {
  if (!truncated) return { kind: 'end' };
  if (!token) throw invalid('The listing is cut short and does not say where it goes on.');
  if (token === from?.token) throw invalid('The listing repeats its token, so it would never end.');
  const next: Position = { token, after: last ?? from?.after ?? null };
  return { kind: 'more', pageToken: JSON.stringify(next) };
}

function entriesOf(
  objects: readonly ListedObject[],
  { encoded }: ListingFrame,
  { listed, prefix }: S3Location,
): readonly Entry[] {
  return objects.map((object): Entry => {
    const key = encoded ? decodeKey(object.key) : object.key;
    if (!key.startsWith(listed)) throw outside();
    const modifiedAt = Number.isFinite(object.modifiedAt) ? object.modifiedAt : 0;
    const entry = {
      key,
      path: prefix === '' ? key : key.slice(prefix.length) || key,
      version: object.etag ?? `modified ${modifiedAt}`,
      size: object.size,
      modifiedAt,
    };
    return ARCHIVED.has(object.storageClass ?? '') ? { ...entry, unreadable: 'archived' } : entry;
  });
}

function outlineOf(listed: OutlinedListing, location: S3Location): Outline {
  const isEncoded = listed.encoded && listed.keys.some((key) => /[%+]/.test(key));
  const keys = isEncoded ? listed.keys.map(decodeKey) : listed.keys;
  if (!keys.every((key) => key.startsWith(location.listed))) throw outside();
  return {
    keys,
    ascii: !isEncoded,
    form: `s3 ${listed.encoded}`,
    words: (from, to) => wordsIn(listed, from, to),
    entries: (from, to) => entriesOf(objectsIn(listed, from, to), listed, location),
  };
}

/** A page whose entries are made when somebody asks for them. A class, because V8 keeps each getter of an object's own for long. */
class OutlinedPage implements Page {
  readonly outline: Outline;
  readonly next: Page['next'];
  #entries: readonly Entry[] | null = null;

  constructor(outline: Outline, next: Page['next']) {
    this.outline = outline;
    this.next = next;
  }

  get entries(): readonly Entry[] {
    this.#entries ??= this.outline.entries(0, this.outline.keys.length);
    return this.#entries;
  }
}

function outside(): ConnectorError {
  return invalid('The listing has a key outside the prefix that was asked for.');
}

/** S3 encodes a listing's keys as forms do: a space is a plus sign. */
function decodeKey(key: string): string {
  if (!key.includes('%') && !key.includes('+')) return key;
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    throw invalid('A key in the listing is not encoded as it should be.');
  }
}

function invalid(message: string): ConnectorError {
  return new ConnectorError('invalid_listing', message, { operation: 'list', retryable: true });
}
