import type { Readable } from 'node:stream';
import { GetObjectCommand, type GetObjectCommandInput, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
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

import { type RegionalClient, regionalClient } from './client.ts';
import { parseCredential, requestOptionsOf, type S3Credential, S3Fields } from './credential.ts';
import { toConnectorError } from './errors.ts';
import { listPage, positionAfter } from './listing.ts';
import { parseLocation, type S3Location } from './location.ts';

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
  const client = regionalClient(credential, runtime);
  const { payer, encryption } = requestOptionsOf(credential.reveal());
  const mapped = async <T>(operation: 'list' | 'read', signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw toConnectorError(error, operation, signal);
    }
  };
  const source: Source = {
    check: (signal) => checkByUse(source, signal),
    listPage: (position, signal) => mapped('list', signal, () => listPage(client, location, payer, position, signal)),
    read: (entry, range, signal) =>
      mapped('read', signal, () => read(client, location, { ...payer, ...encryption }, entry, range, signal)),
    [Symbol.asyncDispose]: async () => client.destroy(),
  };
  return source;
}

async function read(
  client: RegionalClient,
  { bucket }: S3Location,
  options: Partial<GetObjectCommandInput>,
  entry: Entry,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<Content> {
  const output = await client.send((s3) =>
    s3.send(
      new GetObjectCommand({
        Bucket: bucket,
        Key: entry.key,
        ...options,
        // The listed version or nothing. A listing without ETags leaves only the length to go by.
        ...(isETag(entry.version) ? { IfMatch: entry.version } : {}),
        ...(range ? { Range: `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}` } : {}),
      }),
      { abortSignal: signal },
    ),
  );
  const stream = output.Body as Readable;
  if (isETag(entry.version) && output.ETag !== undefined && output.ETag !== entry.version) {
    stream.destroy();
    throw changed();
  }
  assertRange(range, output.ContentRange, stream);
  return {
    ...(output.ContentType ? { contentType: output.ContentType } : {}),
    checksums: range ? {} : checksumsOf(output),
    body: bodyOf(stream, (error) => toConnectorError(error, 'read', signal)),
  };
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
function checksumsOf(output: GetObjectCommandOutput): Content['checksums'] {
  const stated: Partial<Record<ChecksumAlgorithm, string>> = {};
  const plain = output.ServerSideEncryption === undefined || output.ServerSideEncryption === 'AES256';
  const md5 = /^"([0-9a-f]{32})"$/.exec(output.ETag ?? '')?.[1];
  if (md5 && plain && !output.SSECustomerAlgorithm) stated.md5 = md5;
  if (output.ChecksumType === 'COMPOSITE') return stated;
  const encoded: [ChecksumAlgorithm, string | undefined][] = [
    ['sha256', output.ChecksumSHA256],
    ['sha1', output.ChecksumSHA1],
    ['crc32', output.ChecksumCRC32],
    ['crc32c', output.ChecksumCRC32C],
    ['crc64nvme', output.ChecksumCRC64NVME],
  ];
  for (const [algorithm, base64] of encoded) {
    if (base64 && !base64.includes('-')) stated[algorithm] = Buffer.from(base64, 'base64').toString('hex');
  }
  return stated;
}
