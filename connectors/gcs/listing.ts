import { gunzip } from 'node:zlib';
import type { Entry, Page } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { GcsClient } from './client.ts';
import type { GcsLocation } from './location.ts';

const PAGE_OBJECTS = 1000;
const LISTING_BYTES = 32 * 1024 * 1024;
const FIELDS = 'items(name,generation,size,updated),nextPageToken,prefixes';

/** Where a listing goes on: Google's token, and the last name for the day when Google no longer knows the token. */
interface Position {
  /** Null: after a name. */
  readonly token: string | null;
  readonly after: string | null;
}

/** As far as `FIELDS` asks for it; numbers are strings, for they pass 2^53. */
interface ObjectMetadata {
  readonly name?: unknown;
  readonly generation?: unknown;
  readonly size?: unknown;
  readonly updated?: unknown;
}

interface Listed {
  readonly items: readonly ObjectMetadata[];
  readonly nextPageToken?: unknown;
}

export function positionAfter(key: string): string {
  const position: Position = { token: null, after: key };
  return JSON.stringify(position);
}

export async function listPage(
  client: GcsClient,
  location: GcsLocation,
  position: string | null,
  signal: AbortSignal,
): Promise<Page> {
  const from = position === null ? null : (JSON.parse(position) as Position);
  const ask = async (start: Readonly<Record<string, string>>): Promise<Listed> => {
    const query = new URLSearchParams({
      prefix: location.listed,
      maxResults: String(PAGE_OBJECTS),
      fields: FIELDS,
      ...start,
    });
    const request = await client.requestFor(`${location.bucket}/o`, query);
    return client.requests.page(request, LISTING_BYTES, signal, async (body, headers) =>
      listedIn(headers['content-encoding'] === 'gzip' ? await unzipped(body) : body),
    );
  };
  const askAfter = async (after: string) => {
    const { items, nextPageToken } = await ask({ startOffset: after });
    // The offset is inclusive.
    return pageOf({ items: items.filter(({ name }) => name !== after), nextPageToken }, location, from);
  };
  if (from && from.token === null) return askAfter(from.after as string);
  try {
    return pageOf(await ask(from?.token ? { pageToken: from.token } : {}), location, from);
  } catch (error) {
    const stale = Number((error as { code?: unknown }).code) === 400 && from?.after;
    if (!stale) throw error;
    return askAfter(from.after as string);
  }
}

function unzipped(body: Buffer): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  gunzip(body, { maxOutputLength: LISTING_BYTES }, (error, plain) =>
    error ? reject(invalid('The listing is not compressed as it says.')) : resolve(plain),
  );
  return promise;
}

function listedIn(body: Buffer): Listed {
  try {
    const answer = JSON.parse(body.toString()) as { kind?: unknown; items?: unknown; nextPageToken?: unknown } | null;
    const items = answer?.items ?? [];
    if (answer && typeof answer === 'object' && !Array.isArray(answer) && Array.isArray(items)) {
      return { items: items as ObjectMetadata[], nextPageToken: answer.nextPageToken };
    }
  } catch {
    // Said below.
  }
  throw invalid('The answer is not a listing.');
}

function pageOf({ items, nextPageToken: token }: Listed, location: GcsLocation, from: Position | null): Page {
  const entries = items.map(({ name, generation, size, updated }): Entry => {
    if (typeof name !== 'string' || typeof generation !== 'string' || typeof size !== 'string') {
      throw invalid('An object in the listing has no name, generation or size.');
    }
    if (!name.startsWith(location.listed))
      throw invalid('The listing has a name outside the prefix that was asked for.');
    return {
      key: name,
      path: location.prefix === '' ? name : name.slice(location.prefix.length) || name,
      version: generation,
      size: Number(size),
      modifiedAt: Date.parse(String(updated)) || 0,
    };
  });
  if (token === undefined || token === null) return { entries, next: { kind: 'end' } };
  if (typeof token !== 'string' || token === '')
    throw invalid('The listing is cut short and does not say where it goes on.');
  if (token === from?.token) throw invalid('The listing repeats its token, so it would never end.');
  const position: Position = { token, after: entries.at(-1)?.key ?? from?.after ?? null };
  return { entries, next: { kind: 'more', pageToken: JSON.stringify(position) } };
}

function invalid(message: string): ConnectorError {
  return new ConnectorError('invalid_listing', message, { operation: 'list', retryable: true });
}
