import type { Storage } from '@google-cloud/storage';
import type { Entry, Page } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { GcsLocation } from './location.ts';

const PAGE_OBJECTS = 1000;
const FIELDS = 'items(name,generation,size,updated),nextPageToken,prefixes';

/** Where a listing goes on: Google's token, and the last name for the day when Google no longer knows the token. */
interface Position {
  /** Null: after a name. */
  readonly token: string | null;
  readonly after: string | null;
}

/** Of an object's metadata, as far as `FIELDS` asks for it (the SDK gives it plain then, and no `File`); numbers are strings, for they pass 2^53. */
interface ObjectMetadata {
  readonly name?: string;
  readonly generation?: string | number;
  readonly size?: string | number;
  readonly updated?: string;
}

export function positionAfter(key: string): string {
  const position: Position = { token: null, after: key };
  return JSON.stringify(position);
}

export async function listPage(
  storage: Storage,
  location: GcsLocation,
  userProject: string | undefined,
  position: string | null,
): Promise<Page> {
  const from = position === null ? null : (JSON.parse(position) as Position);
  const ask = (start: { pageToken?: string; startOffset?: string }) =>
    storage.bucket(location.bucket).getFiles({
      autoPaginate: false,
      prefix: location.listed,
      maxResults: PAGE_OBJECTS,
      fields: FIELDS,
      ...(userProject ? { userProject } : {}),
      ...start,
    } as object);
  const askAfter = async (after: string) => {
    const [files, next] = await ask({ startOffset: after });
    // The offset is inclusive.
    return pageOf(
      (files as ObjectMetadata[]).filter(({ name }) => name !== after),
      next,
      location,
      from,
    );
  };
  if (from && from.token === null) return askAfter(from.after as string);
  try {
    const [files, next] = await ask(from?.token ? { pageToken: from.token } : {});
    return pageOf(files, next, location, from);
  } catch (error) {
    const stale = Number((error as { code?: unknown }).code) === 400 && from?.after;
    if (!stale) throw error;
    return askAfter(from.after as string);
  }
}

function pageOf(objects: readonly object[], next: unknown, location: GcsLocation, from: Position | null): Page {
  const entries = (objects as readonly ObjectMetadata[]).map(({ name, generation, size, updated }): Entry => {
    if (name === undefined || generation === undefined || size === undefined) {
      throw invalid('An object in the listing has no name, generation or size.');
    }
    if (!name.startsWith(location.listed))
      throw invalid('The listing has a name outside the prefix that was asked for.');
    return {
      key: name,
      path: name.slice(location.prefix.length) || name,
      version: String(generation),
      size: Number(size),
      modifiedAt: Date.parse(updated ?? '') || 0,
    };
  });
  const token = (next as { pageToken?: unknown } | null | undefined)?.pageToken;
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
