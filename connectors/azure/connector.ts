import type { ByteRange, Connector, Content, Entry, Runtime, Source } from '../../src/contract/connector.ts';
import type { Operation } from '../../src/contract/error-rules.ts';
import { NO_SETTINGS } from '../../src/contract/fields.ts';
import { checkByUse } from '../../src/contract/object-store.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { certificateExpiry } from '../entra/credential.ts';
import { rangeOf, readContent, type Stated } from '../http/content.ts';
import type { AnswerHeaders } from '../http/messages.ts';
import { type Clients, openContainer } from './client.ts';
import { type AzureCredential, AzureFields, parseCredential } from './credential.ts';
import { toConnectorError } from './errors.ts';
import { listPage } from './listing.ts';
import { type AzureLocation, parseLocation } from './location.ts';
import { sasExpiry, sasWarnings } from './sas.ts';
import type { Wire } from './wire.ts';

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
  const { clients, destroy } = openContainer(credential, location, runtime);
  const mapped = async <T>(operation: Operation, signal: AbortSignal, work: (clients: Clients) => Promise<T>) => {
    try {
      signal.throwIfAborted();
      return await work(await clients());
    } catch (error) {
      throw toConnectorError(error, operation, signal);
    }
  };
  const source: Source = {
    check: async (signal) => {
      const report = await checkByUse(source, signal);
      return { ...report, warnings: [...report.warnings, ...warningsOf(credential, runtime.clock.now())] };
    },
    listPage: (at, signal) => mapped('list', signal, (opened) => listPage(opened, location, at, signal)),
    read: (entry, range, signal) => mapped('read', signal, ({ wire }) => read(wire, entry, range, signal)),
    [Symbol.asyncDispose]: async () => destroy(),
  };
  return source;
}

async function read(
  { requests, requestFor }: Wire,
  entry: Entry,
  range: ByteRange | undefined,
  signal: AbortSignal,
): Promise<Content> {
  const headers: [string, string][] = [['if-match', `"${entry.version}"`]];
  if (range) headers.push(['x-ms-range', rangeOf(range)]);
  const request = await requestFor(entry.key, [], headers, signal);
  const toError = (error: unknown) => toConnectorError(error, 'read', signal);
  return readContent(requests, request, entry, range, signal, statedIn, toError);
}

function statedIn(headers: AnswerHeaders): Stated {
  const md5 = headers['content-md5'];
  return { checksums: typeof md5 === 'string' ? { md5: Buffer.from(md5, 'base64').toString('hex') } : {} };
}

function warningsOf(credential: Secret<AzureCredential>, now: number): string[] {
  const { proof } = credential.reveal();
  if (proof.kind === 'sas') return sasWarnings(proof.token, now);
  if (proof.kind === 'account_key') {
    return ['An account key may read, change and delete everything in the account. A SAS with sp=rl is enough.'];
  }
  return [];
}
