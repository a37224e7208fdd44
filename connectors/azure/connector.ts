import type { Readable } from 'node:stream';
import type { BlobDownloadResponseParsed, ContainerClient } from '@azure/storage-blob';
import type { ByteRange, Connector, Content, Entry, Runtime, Source } from '../../src/contract/connector.ts';
import type { Operation } from '../../src/contract/error-rules.ts';
import { NO_SETTINGS } from '../../src/contract/fields.ts';
import { assertRange, bodyOf, checkByUse } from '../../src/contract/object-store.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { certificateExpiry } from '../entra/credential.ts';
import { openContainer } from './client.ts';
import { type AzureCredential, AzureFields, parseCredential } from './credential.ts';
import { toConnectorError } from './errors.ts';
import { listPage } from './listing.ts';
import { type AzureLocation, parseLocation } from './location.ts';
import { sasExpiry, sasWarnings } from './sas.ts';

export const azure: Connector<AzureCredential, AzureLocation> = {
  type: 'azure',
  capabilities: { listing: 'snapshot', ranges: true },
  credentialFields: AzureFields,
  settingsFields: NO_SETTINGS,
  parseCredential,
  expiryOf: ({ proof }) => {
    if (proof.kind === 'sas') return sasExpiry(proof.token);
    return proof.kind === 'app' ? certificateExpiry(proof.app) : null;
  },
  parseLocation,
  quotaOf: (credential) => credential.reveal().endpoint,
  open,
};

function open(credential: Secret<AzureCredential>, location: AzureLocation, runtime: Runtime): Source {
  const { client, destroy } = openContainer(credential, location, runtime);
  const mapped = async <T>(operation: Operation, signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
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
      return { ...report, warnings: [...report.warnings, ...warningsOf(credential, runtime.clock.now())] };
    },
    listPage: (at, signal) => mapped('list', signal, () => listPage(client, location, at, signal)),
    read: (entry, range, signal) => mapped('read', signal, () => read(client, entry, range, signal)),
    [Symbol.asyncDispose]: async () => destroy(),
  };
  return source;
}

async function read(
  client: ContainerClient,
  entry: Entry,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<Content> {
  const count = range?.end === undefined ? undefined : range.end - range.start;
  const answer: BlobDownloadResponseParsed = await client.getBlobClient(entry.key).download(range?.start ?? 0, count, {
    conditions: { ifMatch: `"${entry.version}"` },
    abortSignal: signal,
    // A body that breaks off is resumed by the layers.
    maxRetryRequests: 0,
  });
  const stream = answer.readableStreamBody as Readable;
  assertRange(range, answer.contentRange, stream);
  const md5 = range ? undefined : answer.contentMD5;
  return {
    ...(answer.contentType ? { contentType: answer.contentType } : {}),
    checksums: md5 ? { md5: Buffer.from(md5).toString('hex') } : {},
    body: bodyOf(stream, (error) => toConnectorError(error, 'read', signal)),
  };
}

function warningsOf(credential: Secret<AzureCredential>, now: number): string[] {
  const { proof } = credential.reveal();
  if (proof.kind === 'sas') return sasWarnings(proof.token, now);
  if (proof.kind === 'account_key') {
    return ['An account key may read, change and delete everything in the account. A SAS with sp=rl is enough.'];
  }
  return [];
}
