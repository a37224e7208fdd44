import type { Readable } from 'node:stream';
import type { Storage } from '@google-cloud/storage';
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
import { assertRange, bodyOf, checkByUse } from '../../src/contract/object-store.ts';
import type { Secret } from '../../src/contract/secret.ts';

import { createStorage } from './client.ts';
import { type GcsCredential, GcsFields, parseCredential } from './credential.ts';
import { toConnectorError } from './errors.ts';
import { listPage, positionAfter } from './listing.ts';
import { type GcsLocation, parseLocation } from './location.ts';

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
  const storage = createStorage(credential, runtime);
  const userProject = credential.reveal().user_project;
  const mapped = async <T>(operation: 'list' | 'read', signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
    try {
      signal.throwIfAborted();
      return await untilAborted(work(), signal);
    } catch (error) {
      throw toConnectorError(error, operation, signal);
    }
  };
  const source: Source = {
    check: (signal) => checkByUse(source, signal),
    listPage: (at, signal) => mapped('list', signal, () => listPage(storage, location, userProject, at)),
    read: (entry, range, signal) =>
      mapped('read', signal, () => read(storage, location, userProject, entry, range, signal)),
    [Symbol.asyncDispose]: async () => undefined,
  };
  return source;
}

/** The SDK takes no signal: an aborted call is left to end by itself, and nobody waits for it. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const aborted = () => reject(signal.reason);
  signal.addEventListener('abort', aborted, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', aborted);
    work.catch(() => undefined);
  }
}

async function read(
  storage: Storage,
  { bucket }: GcsLocation,
  userProject: string | undefined,
  entry: Entry,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<Content> {
  const file = storage.bucket(bucket).file(entry.key);
  // A condition and not the generation in the address: so a replaced object (412) is told from a removed one (404).
  file.interceptors.push({
    request: (options) => {
      options.qs = { ...options.qs, ifGenerationMatch: entry.version };
      return options as never;
    },
  });
  const stream = file.createReadStream({
    // The bytes as they are stored: a gzip-encoded object stays gzip, and its stated hash is of these.
    decompress: false,
    validation: false,
    ...(userProject ? { userProject } : {}),
    ...(range ? { start: range.start, ...(range.end === undefined ? {} : { end: range.end - 1 }) } : {}),
  });
  const stop = () => stream.destroy();
  signal.addEventListener('abort', stop, { once: true });
  stream.once('close', () => signal.removeEventListener('abort', stop));
  const headers = await headersOf(stream);
  assertRange(range, headers['content-range'], stream);
  const contentType = headers['content-type'];
  return {
    ...(contentType ? { contentType } : {}),
    checksums: range ? {} : checksumsOf(headers['x-goog-hash'] ?? ''),
    body: bodyOf(stream, (error) => toConnectorError(error, 'read', signal)),
  };
}

type Headers = Readonly<Record<string, string | undefined>>;

const SDK_LISTENERS = 20;

interface Answer {
  readonly body?: Readable;
  readonly statusCode: number;
  readonly headers: Headers;
}

/** The request is made when the stream is first read, and its body waits until it is read on. */
async function headersOf(stream: Readable): Promise<Headers> {
  const answered = new Promise<Answer>((resolve, reject) => {
    stream.once('response', (answer: Answer) => {
      // The SDK itself hangs more listeners on its stream than Node thinks sound, and Node would complain of each read.
      answer.body?.setMaxListeners?.(SDK_LISTENERS);
      resolve(answer);
    });
    stream.once('error', reject);
  });
  stream.read(0);
  const { statusCode, headers } = await answered;
  if (statusCode >= 200 && statusCode < 300) return headers;
  stream.on('error', () => undefined);
  stream.destroy();
  throw Object.assign(new Error('refused'), { code: statusCode, response: { headers } });
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
