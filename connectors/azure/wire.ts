import {
  AnonymousCredential,
  ContainerClient,
  newPipeline,
  type StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { Runtime } from '../../src/contract/connector.ts';
import type { TokenSource } from '../entra/token.ts';
import type { AnswerHeaders, RawRequest } from '../http/messages.ts';
import { Requests } from '../http/requests.ts';

/** How a request proves who asks. */
export type Proof =
  | { readonly kind: 'query'; readonly text: string }
  | { readonly kind: 'key'; readonly key: StorageSharedKeyCredential }
  | { readonly kind: 'token'; readonly tokens: TokenSource }
  | { readonly kind: 'none' };

/** Blob Storage without the SDK's machinery, for the two requests of which a sync makes millions. Errors have the form of the SDK's. */
export interface Wire {
  readonly requests: Requests;
  /** Proves who asks. A query's values are as they are before they are encoded. */
  requestFor(
    key: string | null,
    query: readonly [name: string, value: string][],
    headers: readonly [name: string, value: string][],
    signal: AbortSignal,
  ): Promise<RawRequest>;
  /** False once a page was of a form that only the SDK can read. */
  listsPlainly: boolean;
}

/** Makes no request. `container` is its URL without any query. */
export async function openWire(container: URL, proof: Proof, runtime: Runtime, own: boolean): Promise<Wire> {
  const version = await versionOfSdk();
  const lookup = own ? undefined : runtime.egress.lookupFor(container);
  return {
    requests: new Requests(container.origin, lookup, refusal),
    listsPlainly: true,
    requestFor: async (key, query, headers, signal) => {
      const path = key === null ? container.pathname : `${container.pathname}/${escaped(key)}`;
      const dated = new Date(runtime.clock.now()).toUTCString();
      const all: [string, string][] = [...headers, ['x-ms-date', dated], ['x-ms-version', version]];
      if (proof.kind === 'token') all.push(['authorization', `Bearer ${await proof.tokens(signal)}`]);
      if (proof.kind === 'key') all.push(['authorization', signed(proof.key, path, query, all)]);
      const asked = query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
      if (proof.kind === 'query') asked.push(proof.text);
      return { path: asked.length > 0 ? `${path}?${asked.join('&')}` : path, headers: all.flat() };
    },
  };
}

function escaped(key: string): string {
  return key.split('/').map(encodeURIComponent).join('/');
}

/** The version of the service that the SDK speaks. */
let version: Promise<string> | undefined;
function versionOfSdk(): Promise<string> {
  version ??= new Promise((resolve, reject) => {
    const httpClient = {
      sendRequest: async (request: { headers: { get(name: string): string | undefined } }): Promise<never> => {
        resolve(request.headers.get('x-ms-version') ?? '');
        throw new Error('built only');
      },
    };
    const pipeline = newPipeline(new AnonymousCredential(), {
      httpClient: httpClient as never,
      retryOptions: { maxTries: 1 },
    });
    new ContainerClient('http://localhost/c', pipeline).getProperties().catch(reject);
  });
  return version;
}

/** What else of the headers is signed, in its order; a GET has no more of them. */
const SIGNED = ['if-modified-since', 'if-match', 'if-none-match', 'if-unmodified-since', 'range'];

/** https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key */
function signed(
  key: StorageSharedKeyCredential,
  path: string,
  query: readonly [string, string][],
  headers: readonly [string, string][],
): string {
  const named = new Map(headers);
  const own = headers.filter(([name]) => name.startsWith('x-ms-')).sort(([a], [b]) => (a < b ? -1 : 1));
  const asked = [...query].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `\n${name}:${value}`);
  const text = [
    // Content-Encoding, -Language, -Length, -MD5, -Type, and Date, for which x-ms-date stands.
    ...['GET', '', '', '', '', '', ''],
    ...SIGNED.map((name) => named.get(name) ?? ''),
    ...own.map(([name, value]) => `${name}:${value}`),
    `/${key.accountName}${path}${asked.join('')}`,
  ].join('\n');
  return `SharedKey ${key.accountName}:${key.computeHMACSHA256(text)}`;
}

function refusal(status: number, headers: AnswerHeaders, body: Buffer): Error {
  const text = body.toString();
  const of = (tag: string) => new RegExp(`<${tag}>([^<>]{1,1000})</${tag}>`).exec(text)?.[1];
  const header = (name: string) => headers[name]?.toString();
  return Object.assign(new Error(of('Message') ?? ''), {
    code: header('x-ms-error-code') ?? of('Code') ?? '',
    statusCode: status,
    response: { headers: { get: header } },
  });
}
