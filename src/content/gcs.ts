import { Storage } from '@google-cloud/storage';
import { keyFileClient } from '../google/key-file.ts';
import type { ObjectClient } from './objects.ts';
import type { BucketTarget } from './target.ts';

/** A bucket of Google Cloud Storage: with the deployment's own key file, or with Application Default Credentials. */
export function gcsObjects({ bucket: name, prefix, endpoint, credentialFile }: BucketTarget): ObjectClient {
  const storage = new Storage({
    ...(endpoint ? { apiEndpoint: endpoint, useAuthWithCustomEndpoint: true } : {}),
    ...(credentialFile
      ? { authClient: keyFileClient(credentialFile, 'LOCKGATE_CONTENT_CREDENTIAL_FILE') as never }
      : {}),
  });
  const bucket = storage.bucket(name);
  return {
    put: async (key, file) => {
      const options = {
        destination: prefix + key,
        resumable: false,
        validation: 'crc32c' as const,
        preconditionOpts: { ifGenerationMatch: 0 },
      };
      await bucket.upload(file, options).catch((error) => {
        // The name is its content's hash: what is there is the same.
        if (codeOf(error) !== 412) throw error;
      });
    },
    get: async (key, range) => {
      const file = bucket.file(prefix + key);
      if (!(await file.exists())[0]) return null;
      const end = range?.end === undefined ? {} : { end: range.end - 1 };
      return file.createReadStream({ validation: !range, ...(range ? { start: range.start, ...end } : {}) });
    },
    exists: async (key) => (await bucket.file(prefix + key).exists())[0],
    list: async function* () {
      for await (const file of bucket.getFilesStream({ prefix }) as AsyncIterable<{
        name: string;
        metadata: { size?: string | number; updated?: string };
      }>) {
        const { size = 0, updated } = file.metadata;
        yield { key: file.name.slice(prefix.length), size: Number(size), modifiedAt: new Date(updated ?? Date.now()) };
      }
    },
    remove: async (key) => void (await bucket.file(prefix + key).delete({ ignoreNotFound: true })),
  };
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
