import { createReadStream } from 'node:fs';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3';
import type { ByteRange } from '../contract/connector.ts';
import type { ObjectClient } from './objects.ts';
import type { BucketTarget } from './target.ts';

/** A connection on which nothing comes or goes for so long, in milliseconds, is given up; without this it would be one of the fifty that there may be for ever. */
const SOCKETS = { connectionTimeout: 10_000, socketTimeout: 30_000 };

/** A bucket of S3, as the default provider chain of the machine: it is the deployment's own. */
export function s3Objects({ bucket, prefix, endpoint, region }: BucketTarget): ObjectClient {
  const client = new S3Client({
    region: region ?? 'us-east-1',
    ...(endpoint ? { endpoint, forcePathStyle: true } : {}),
    followRegionRedirects: true,
    maxAttempts: 5,
    requestHandler: SOCKETS,
  });
  const Bucket = bucket;
  const at = (key: string) => ({ Bucket, Key: prefix + key });
  return {
    put: async (key, file, { sha256, size }) => {
      const ChecksumSHA256 = Buffer.from(sha256, 'hex').toString('base64');
      const command = new PutObjectCommand({
        ...at(key),
        Body: createReadStream(file),
        ContentLength: size,
        ChecksumSHA256,
        IfNoneMatch: '*',
      });
      await client.send(command).catch((error) => {
        // The key is its content's hash: what is there is the same.
        if (statusOf(error) !== 412 && statusOf(error) !== 409) throw error;
      });
    },
    get: async (key, range) => {
      const Range = range ? { Range: rangeOf(range) } : {};
      try {
        const { Body } = await client.send(new GetObjectCommand({ ...at(key), ...Range }));
        return Body as AsyncIterable<Uint8Array>;
      } catch (error) {
        if (statusOf(error) === 404) return null;
        throw error;
      }
    },
    exists: async (key) => {
      try {
        await client.send(new HeadObjectCommand(at(key)));
        return true;
      } catch (error) {
        if (statusOf(error) === 404) return false;
        throw error;
      }
    },
    list: async function* () {
      for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket, Prefix: prefix })) {
        for (const { Key = '', Size = 0, LastModified = new Date() } of Contents)
          yield { key: Key.slice(prefix.length), size: Size, modifiedAt: LastModified };
      }
    },
    remove: async (key) => void (await client.send(new DeleteObjectCommand(at(key)))),
  };
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode;
}

function rangeOf({ start, end }: ByteRange): string {
  return `bytes=${start}-${end === undefined ? '' : end - 1}`;
}
