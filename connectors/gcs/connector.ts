import type {
  ByteRange,
  ChecksumAlgorithm,
  Connector,
  Content,
  Entry,
  Runtime,
  Source,
} from '../../src/contract/connector.ts';
import { NO_SETTINGS } from '../../src/contract/fields.ts';
import { checkByUse } from '../../src/contract/object-store.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { rangeOf, readContent } from '../http/content.ts';
import type { AnswerHeaders } from '../http/messages.ts';
import { type GcsClient, openClient } from './client.ts';
import { type GcsCredential, GcsFields, parseCredential } from './credential.ts';
import { toConnectorError } from './errors.ts';
import { listPage, positionAfter } from './listing.ts';
import { type GcsLocation, parseLocation } from './location.ts';
import { rightsWarnings } from './rights.ts';

export const gcs: Connector<GcsCredential, GcsLocation> = {
  type: 'gcs',
  capabilities: { listing: 'snapshot', ranges: true },
  credentialFields: GcsFields,
  settingsFields: NO_SETTINGS,
  parseCredential,
  parseLocation,
  positionAfter,
  quotaOf: (_, { bucket }) => bucket,
  open,
};

function open(credential: Secret<GcsCredential>, location: GcsLocation, runtime: Runtime): Source {
  const client = openClient(credential, runtime);
  const mapped = async <T>(operation: 'list' | 'read', signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
    try {
      signal.throwIfAborted();
      return await work();
    } catch (error) {
      throw toConnectorError(error, operation, signal);
    }
  };
  const source: Source = {
    check: async (signal) => {
      const report = await checkByUse(source, signal);
      const more = report.reachable ? await rightsWarnings(client, location.bucket, signal) : [];
      return { ...report, warnings: [...report.warnings, ...more] };
    },
    listPage: (at, signal) => mapped('list', signal, () => listPage(client, location, at, signal)),
    read: (entry, range, signal) => mapped('read', signal, () => read(client, location, entry, range, signal)),
    [Symbol.asyncDispose]: async () => client.requests.destroy(),
  };
  return source;
}

async function read(
  client: GcsClient,
  { bucket }: GcsLocation,
  entry: Entry,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<Content> {
  // A condition and not the generation in the address: so a replaced object (412) is told from a removed one (404).
  const query = new URLSearchParams({ alt: 'media', ifGenerationMatch: entry.version });
  const path = `${bucket}/o/${encodeURIComponent(entry.key)}`;
  const request = await client.requestFor(path, query, range ? ['range', rangeOf(range)] : []);
  const statedIn = (headers: AnswerHeaders) => ({ checksums: checksumsOf(String(headers['x-goog-hash'] ?? '')) });
  const toError = (error: unknown) => toConnectorError(error, 'read', signal);
  return readContent(client.requests, request, entry, range, signal, statedIn, toError);
}

/** `crc32c=base64,md5=base64`; composite objects have no MD5. */
function checksumsOf(stated: string): Content['checksums'] {
  const found: Partial<Record<ChecksumAlgorithm, string>> = {};
  for (const part of stated.split(',')) {
    const [, name, base64] = /^\s*(crc32c|md5)=([A-Za-z0-9+/=]+)\s*$/.exec(part) ?? [];
    if (name && base64) found[name as 'crc32c' | 'md5'] = Buffer.from(base64, 'base64').toString('hex');
  }
  return found;
}
