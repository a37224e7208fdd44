import { ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import type { Entry, Page } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { RegionalClient } from './client.ts';
import type { S3Location } from './location.ts';

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

export async function listPage(
  client: RegionalClient,
  location: S3Location,
  payer: { RequestPayer?: 'requester' },
  position: string | null,
  signal: AbortSignal,
): Promise<Page> {
  const from = position === null ? null : (JSON.parse(position) as Position);
  const ask = (start: { ContinuationToken?: string; StartAfter?: string }) =>
    client.send((s3) =>
      s3.send(
        new ListObjectsV2Command({
          Bucket: location.bucket,
          Prefix: location.listed,
          MaxKeys: PAGE_KEYS,
          // Keys may hold characters that XML cannot.
          EncodingType: 'url',
          ...payer,
          ...start,
        }),
        { abortSignal: signal },
      ),
    );
  if (!from) return pageOf(await ask({}), location, null);
  if (from.token === null) return pageOf(await ask({ StartAfter: from.after as string }), location, from);
  try {
    return pageOf(await ask({ ContinuationToken: from.token }), location, from);
  } catch (error) {
    const stale = (error as { name?: string }).name === 'InvalidArgument' && from.after !== null;
    if (!stale) throw error;
    return pageOf(await ask({ StartAfter: from.after as string }), location, from);
  }
}

function pageOf(output: ListObjectsV2CommandOutput, location: S3Location, from: Position | null): Page {
  if (output.IsTruncated === undefined) throw invalid('The answer is not a listing.');
  const encoded = output.EncodingType === 'url';
  const entries = (output.Contents ?? []).map((object): Entry => {
    const { Key, ETag, Size, LastModified, StorageClass } = object;
    if (Key === undefined || Size === undefined) throw invalid('An object in the listing has no key or no size.');
    const key = encoded ? decodeKey(Key) : Key;
    if (!key.startsWith(location.listed)) throw invalid('The listing has a key outside the prefix that was asked for.');
    const modifiedAt = LastModified?.getTime() ?? 0;
    const archived = ARCHIVED.has(StorageClass ?? '');
    return {
      key,
      path: key.slice(location.prefix.length) || key,
      version: ETag ?? `modified ${modifiedAt}`,
      size: Size,
      modifiedAt: Number.isFinite(modifiedAt) ? modifiedAt : 0,
      ...(archived ? { unreadable: 'archived' as const } : {}),
    };
  });
  if (!output.IsTruncated) return { entries, next: { kind: 'end' } };
  const token = output.NextContinuationToken;
  if (!token) throw invalid('The listing is cut short and does not say where it goes on.');
  if (token === from?.token) throw invalid('The listing repeats its token, so it would never end.');
  const next: Position = { token, after: entries.at(-1)?.key ?? from?.after ?? null };
  return { entries, next: { kind: 'more', pageToken: JSON.stringify(next) } };
}

/** S3 encodes a listing's keys as forms do: a space is a plus sign. */
function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    throw invalid('A key in the listing is not encoded as it should be.');
  }
}

function invalid(message: string): ConnectorError {
  return new ConnectorError('invalid_listing', message, { operation: 'list', retryable: true });
}
