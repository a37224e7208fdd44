import { readFile } from 'node:fs/promises';
import { DefaultAzureCredential } from '@azure/identity';
import { AzureLogger } from '@azure/logger';
import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { ConfigError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';
import type { ObjectClient } from './objects.ts';
import type { BucketTarget } from './target.ts';

// Microsoft's libraries write requests and failures to standard error when their log level says so.
AzureLogger.log = () => undefined;

/** A container of Azure Blob Storage: by the deployment's own account key or SAS in a file, or as the machine's identity. */
export async function azureObjects(target: BucketTarget): Promise<ObjectClient> {
  const { prefix } = target;
  const client = await containerOf(target);
  return {
    put: async (key, file, { size }) => {
      const blob = client.getBlockBlobClient(prefix + key);
      const options = { conditions: { ifNoneMatch: '*' } };
      const done = size === 0 ? blob.upload('', 0, options) : blob.uploadFile(file, options);
      await done.catch((error) => {
        // The name is its content's hash: what is there is the same.
        if (statusOf(error) !== 409 && statusOf(error) !== 412) throw error;
      });
    },
    get: async (key, range) => {
      const count = range?.end === undefined ? undefined : range.end - range.start;
      try {
        const { readableStreamBody } = await client.getBlobClient(prefix + key).download(range?.start ?? 0, count);
        return (readableStreamBody ?? []) as AsyncIterable<Uint8Array>;
      } catch (error) {
        if (statusOf(error) === 404) return null;
        throw error;
      }
    },
    exists: (key) => client.getBlobClient(prefix + key).exists(),
    list: async function* () {
      for await (const { name, properties } of client.listBlobsFlat({ prefix })) {
        const { contentLength = 0, createdOn, lastModified } = properties;
        yield {
          key: name.slice(prefix.length),
          size: contentLength,
          modifiedAt: lastModified ?? createdOn ?? new Date(),
        };
      }
    },
    remove: async (key) => void (await client.getBlobClient(prefix + key).deleteIfExists()),
  };
}

async function containerOf({ bucket, endpoint, account, credentialFile }: BucketTarget): Promise<ContainerClient> {
  const origin = endpoint ?? `https://${account}.blob.core.windows.net`;
  const url = `${origin}/${bucket}`;
  if (!credentialFile) return new ContainerClient(url, new DefaultAzureCredential());
  const text = await readFile(credentialFile, 'utf8').catch(() => {
    throw new ConfigError('LOCKGATE_CONTENT_CREDENTIAL_FILE cannot be read.', 'Check the path and its mode.');
  });
  return clientOf(url, account ?? '', new Secret(text.trim()));
}

/** An account key is base64; anything else is a SAS. */
function clientOf(url: string, account: string, secret: Secret<string>): ContainerClient {
  return secret
    .map((text) => {
      if (/^[A-Za-z0-9+/]{64,}={0,2}$/.test(text))
        return new ContainerClient(url, new StorageSharedKeyCredential(account, text));
      return new ContainerClient(`${url}?${text.replace(/^\?/, '')}`);
    })
    .reveal();
}

function statusOf(error: unknown): number | undefined {
  return (error as { statusCode?: number } | null)?.statusCode;
}
