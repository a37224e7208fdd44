import type { Readable } from 'node:stream';
import { GetObjectCommand, type GetObjectCommandInput, type S3Client } from '@aws-sdk/client-s3';
import type {
  ByteRange,
  ChecksumAlgorithm,
  Connector,
  Content,
  Entry,
  Runtime,
  Source,
} from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import { NO_SETTINGS } from '../../src/contract/fields.ts';
import { assertRange, bodyOf, checkByUse } from '../../src/contract/object-store.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { rangeOf, readContent } from '../http/content.ts';
import type { AnswerHeaders, RawRequest } from '../http/messages.ts';

import { createHandler, type RegionalClient, regionalClient } from './client.ts';
import { parseCredential, requestOptionsOf, type S3Credential, S3Fields } from './credential.ts';
import { toConnectorError } from './errors.ts';
import { listPage, positionAfter } from './listing.ts';
import { parseLocation, type S3Location } from './location.ts';
import { rightsWarnings } from './rights.ts';
import type { Wire } from './wire.ts';

export const s3: Connector<S3Credential, S3Location> = {
  type: 's3',
  capabilities: { listing: 'snapshot', ranges: true },
  credentialFields: S3Fields,
  settingsFields: NO_SETTINGS,
  parseCredential,
  expiryOf: ({ expires_at }) => (expires_at ? new Date(expires_at) : null),
  parseLocation,
  positionAfter,
  quotaOf: (credential, { bucket }) => `${credential.reveal().endpoint ?? 'aws'} ${bucket}`,
  open,
};

function open(credential: Secret<S3Credential>, location: S3Location, runtime: Runtime): Source {
  const { payer, encryption } = requestOptionsOf(credential.reveal());
  const options = { ...payer, ...encryption };
  const client = regionalClient(credential, location.bucket, options, runtime);
  const mapped = <T>(operation: 'list' | 'read', signal: AbortSignal, work: Promise<T>): Promise<T> =>
    work.catch((error) => {
      throw toConnectorError(error, operation, signal);
    });
  const source: Source = {
    check: async (signal) => {
      const report = await checkByUse(source, signal);
      const handlerFor = (endpoint: string | undefined) => createHandler(endpoint, runtime);
      const more = report.readable
        ? await client.send(({ s3: sdk }) => rightsWarnings(sdk, credential, location.bucket, handlerFor, signal))
        : [];
      return { ...report, warnings: [...report.warnings, ...more] };
    },
    listPage: (position, signal) => mapped('list', signal, listPage(client, location, payer, position, signal)),
    read: (entry, range, signal) => mapped('read', signal, read(client, location, options, entry, range, signal)),
    [Symbol.asyncDispose]: async () => client.destroy(),
  };
  return source;
}

function read(
  client: RegionalClient,
  { bucket }: S3Location,
  options: Partial<GetObjectCommandInput>,
  entry: Entry,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<Content> {
  return client.send(({ wire, s3 }) =>
    wire ? readByWire(wire, entry, range, signal) : readBySdk(s3, bucket, options, entry, range, signal),
  );
}

/** The listed version or nothing. A listing without ETags leaves only the length to go by. */
function conditionOf({ version }: Entry): string | undefined {
  return isETag(version) ? version : undefined;
}

function readByWire(wire: Wire, entry: Entry, range: ByteRange | undefined, signal: AbortSignal): Promise<Content> {
  const statedIn = (said: AnswerHeaders) => {
    const stated = statedBy(said);
    return { checksums: checksumsOf(stated), assert: () => assertVersion(stated, entry) };
  };
  const toError = (error: unknown) => toConnectorError(error, 'read', signal);
  const read = (asked: RawRequest) => readContent(wire.requests, asked, entry, range, signal, statedIn, toError);
  try {
    const request = wire.object(entry.key, conditionOf(entry), range && rangeOf(range));
    return request instanceof Promise ? request.then(read) : read(request);
  } catch (error) {
    return Promise.reject(error);
  }
}

async function readBySdk(
  s3: S3Client,
  bucket: string,
  options: Partial<GetObjectCommandInput>,
  entry: Entry,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<Content> {
  const condition = conditionOf(entry);
  const command = new GetObjectCommand({
    Bucket: bucket,
    Key: entry.key,
    ...options,
    ...(condition ? { IfMatch: condition } : {}),
    ...(range ? { Range: rangeOf(range) } : {}),
  });
  const output = await s3.send(command, { abortSignal: signal });
  const stated: Stated = {
    etag: output.ETag,
    encryption: output.ServerSideEncryption,
    customerKey: output.SSECustomerAlgorithm !== undefined,
    composite: output.ChecksumType === 'COMPOSITE',
    sha256: output.ChecksumSHA256,
    sha1: output.ChecksumSHA1,
    crc32: output.ChecksumCRC32,
    crc32c: output.ChecksumCRC32C,
    crc64nvme: output.ChecksumCRC64NVME,
  };
  const stream = output.Body as Readable;
  try {
    assertVersion(stated, entry);
    assertRange(range, output.ContentRange, stream);
  } catch (error) {
    stream.destroy();
    throw error;
  }
  return {
    ...(output.ContentType ? { contentType: output.ContentType } : {}),
    checksums: range ? {} : checksumsOf(stated),
    body: bodyOf(stream, (error) => toConnectorError(error, 'read', signal)),
  };
}

/** What an answer says of an object. */
interface Stated {
  readonly etag: string | undefined;
  readonly encryption: string | undefined;
  readonly customerKey: boolean;
  /** Its checksums are over its parts. */
  readonly composite: boolean;
  readonly sha256: string | undefined;
  readonly sha1: string | undefined;
  readonly crc32: string | undefined;
  readonly crc32c: string | undefined;
  readonly crc64nvme: string | undefined;
}

/** Each name by itself: that is several times as fast as a table of names. */
function statedBy(headers: AnswerHeaders): Stated {
  const text = (value: string | string[] | undefined) => (typeof value === 'string' ? value : undefined);
  return {
    etag: text(headers.etag),
    encryption: text(headers['x-amz-server-side-encryption']),
    customerKey: headers['x-amz-server-side-encryption-customer-algorithm'] !== undefined,
    composite: headers['x-amz-checksum-type'] === 'COMPOSITE',
    sha256: text(headers['x-amz-checksum-sha256']),
    sha1: text(headers['x-amz-checksum-sha1']),
    crc32: text(headers['x-amz-checksum-crc32']),
    crc32c: text(headers['x-amz-checksum-crc32c']),
    crc64nvme: text(headers['x-amz-checksum-crc64nvme']),
  };
}

/** Throws `changed_during_fetch` when the answer is of another version than the listed one. */
function assertVersion({ etag }: Stated, entry: Entry): void {
  const condition = conditionOf(entry);
  if (condition && etag !== undefined && etag !== condition) throw changed();
}

function isETag(version: string): boolean {
  return version.startsWith('"');
}

function changed(): ConnectorError {
  return new ConnectorError('changed_during_fetch', 'The object changed after it was listed.', {
    operation: 'read',
    retryable: false,
  });
}

/**
 * What S3 states of the whole object. Composite checksums are over parts, so they say nothing of the bytes; an ETag is
 * the MD5 only of an object that was written in one part and without KMS or customer keys.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
 */
function checksumsOf(said: Stated): Content['checksums'] {
  const stated: Partial<Record<ChecksumAlgorithm, string>> = {};
  const plain = said.encryption === undefined || said.encryption === 'AES256';
  const md5 = /^"([0-9a-f]{32})"$/.exec(said.etag ?? '')?.[1];
  if (md5 && plain && !said.customerKey) stated.md5 = md5;
  if (said.composite) return stated;
  for (const algorithm of ALGORITHMS) {
    const base64 = said[algorithm];
    if (base64 && !base64.includes('-')) stated[algorithm] = Buffer.from(base64, 'base64').toString('hex');
  }
  return stated;
}

const ALGORITHMS = ['sha256', 'sha1', 'crc32', 'crc32c', 'crc64nvme'] as const;
