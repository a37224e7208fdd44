import { GetObjectCommand, type GetObjectCommandInput, type S3Client } from '@aws-sdk/client-s3';
import { type Dispatcher, Pool } from 'undici';
import type { Clock } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import { Secret } from '../../src/contract/secret.ts';
import { encoded, type Headers, type Keys, Signer } from './signing.ts';

/** Chunks as large as they have become since the last one was taken. */
export interface WireBody extends AsyncIterable<Uint8Array> {
  /** Gives the rest up. */
  destroy(): void;
}

/** An answer that is read whole is no longer than this. */
export const WHOLE_BYTES = 1024 * 1024;
/** What a stream holds at the most before its reader has taken it; then the sender waits. */
const AHEAD_BYTES = 512 * 1024;
const ERROR_BYTES = 64 * 1024;

export interface WireAnswer {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/**
 * S3 without the SDK's machinery, for the two requests of which a sync makes millions. The SDK says where a bucket is, what each
 * request carries and who asks; what it would do for each request alone is done once. Errors have the form of the SDK's.
 */
export interface Wire {
  /** The whole body; of a page or of a small object. */
  whole(request: WireRequest, atMost: number): Promise<WireAnswer & { readonly body: Buffer }>;
  /** A body as it comes. */
  stream(request: WireRequest): Promise<WireAnswer & { readonly body: WireBody }>;
  /** False once a page was of a form that only the SDK can read. */
  listsPlainly: boolean;
  destroy(): void;
}

export interface WireRequest {
  /** Null: the bucket. */
  readonly key: string | null;
  readonly query?: readonly [name: string, value: string][];
  readonly headers?: readonly [name: string, value: string][];
  readonly signal: AbortSignal;
}

/** What the SDK adds for its own bookkeeping, or anew for each request. */
const OWN: ReadonlySet<string> = new Set([
  ...['authorization', 'host', 'x-amz-date', 'x-amz-content-sha256', 'x-amz-security-token'],
  ...['amz-sdk-invocation-id', 'amz-sdk-request', 'x-amz-user-agent', 'content-length', 'content-type'],
]);

/** Headers that say something of an object, which a listing does not take. */
const OF_OBJECTS = /^x-amz-(checksum-mode|server-side-encryption-customer-)/;

interface Prepared {
  readonly origin: string;
  readonly host: string;
  /** Of the bucket, with a slash at its end. */
  readonly path: string;
  readonly headers: readonly [string, string][];
  /** Null: nobody signs. */
  readonly signer: Signer | null;
}

/** Null: the requests are of a kind that only the SDK can make. */
export async function openWire(
  client: S3Client,
  bucket: string,
  options: Partial<GetObjectCommandInput>,
  settings: { readonly connections: number; readonly connect: object; readonly clock: Clock },
): Promise<Wire | null> {
  const prepared = await prepare(client, bucket, options, settings.clock);
  if (!prepared) return null;
  const pool = new Pool(prepared.origin, {
    connections: settings.connections,
    pipelining: 1,
    allowH2: false,
    // The layers time out.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: settings.connect,
  });
  return new PoolWire(client, prepared, pool);
}

interface BuiltRequest {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Has the SDK build and sign a request without sending it, and keeps what all requests have in common. */
async function prepare(
  client: S3Client,
  bucket: string,
  options: Partial<GetObjectCommandInput>,
  clock: Clock,
): Promise<Prepared | null> {
  const command = new GetObjectCommand({ Bucket: bucket, Key: 'k', ...options });
  const built: { request?: BuiltRequest } = {};
  command.middlewareStack.add(
    () => async (args) => {
      built.request = args.request as BuiltRequest;
      return { output: { $metadata: {} }, response: {} } as never;
    },
    { step: 'deserialize', priority: 'high', name: 'buildOnly' },
  );
  await client.send(command);
  if (!built.request) return null;
  const { protocol, hostname, port, path, headers } = built.request;
  const scope = /^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/([a-z0-9-]+)\/(s3)\/aws4_request,/.exec(
    headers.authorization ?? '',
  );
  if (headers.authorization && !scope) return null;
  if (!path.endsWith('/k')) return null;
  const usual = (protocol === 'https:' ? 443 : 80) === (port ?? (protocol === 'https:' ? 443 : 80));
  const host = usual ? hostname : `${hostname}:${port}`;
  return {
    origin: `${protocol}//${host}`,
    host,
    path: path.slice(0, -1),
    headers: Object.entries(headers).flatMap(([name, value]): [string, string][] =>
      OWN.has(name.toLowerCase()) ? [] : [[name.toLowerCase(), value]],
    ),
    signer: scope ? new Signer(scope[1] as string, scope[2] as string, clock.now) : null,
  };
}

class PoolWire implements Wire {
  listsPlainly = true;
  readonly #client: S3Client;
  readonly #prepared: Prepared;
  readonly #pool: Pool;

  constructor(client: S3Client, prepared: Prepared, pool: Pool) {
    this.#client = client;
    this.#prepared = prepared;
    this.#pool = pool;
  }

  async whole(request: WireRequest, atMost: number) {
    const options = await this.#optionsOf(request);
    const { status, headers, body } = await collect(this.#pool, options, request.signal, atMost);
    if (status >= 300) throw failure(status, headers, body);
    return { headers, body };
  }

  async stream(request: WireRequest) {
    const body = new Body(request.signal);
    this.#pool.dispatch((await this.#optionsOf(request)) as Dispatcher.DispatchOptions, body.handler);
    const { status, headers } = await body.begun;
    if (status < 300) return { headers, body };
    const said: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of body) {
      said.push(chunk);
      bytes += chunk.length;
      if (bytes > ERROR_BYTES) break;
    }
    throw failure(status, headers, Buffer.concat(said).subarray(0, ERROR_BYTES));
  }

  destroy(): void {
    void this.#pool.destroy().catch(() => undefined);
  }

  async #optionsOf({ key, query = [], headers = [] }: WireRequest): Promise<Dispatcher.RequestOptions> {
    const { host, path: base, signer, headers: common } = this.#prepared;
    const path = key === null ? base : base + key.split('/').map(encoded).join('/');
    const asked = query
      .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
      .sort()
      .join('&');
    const fitting = key === null ? common.filter(([name]) => !OF_OBJECTS.test(name)) : common;
    const all: [string, string][] = [['host', host], ...fitting, ...headers];
    const signed = signer ? signer.sign(await this.#keys(), path, asked, all) : (all.flat() as Headers);
    return { method: 'GET', path: asked === '' ? path : `${path}?${asked}`, headers: signed };
  }

  /** As the SDK's provider has them: it keeps them, and fetches new ones before they end. */
  async #keys(): Promise<Secret<Keys>> {
    const { accessKeyId, secretAccessKey, sessionToken } = await this.#client.config.credentials();
    return new Secret({ accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) });
  }
}

/** An answer as it comes. What arrives while its reader is busy is one chunk, so that large bodies come in large ones. */
class Body implements WireBody {
  readonly begun: Promise<{ status: number; headers: WireAnswer['headers'] }>;
  readonly handler: Dispatcher.DispatchHandler;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #end: { error: unknown } | 'done' | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #wake: () => void = () => undefined;

  constructor(signal: AbortSignal) {
    const { promise, resolve, reject } = Promise.withResolvers<Awaited<Body['begun']>>();
    this.begun = promise;
    promise.catch(() => undefined);
    const abort = () => this.#controller?.abort(signal.reason);
    const ended = (end: { error: unknown } | 'done') => {
      this.#end ??= end;
      signal.removeEventListener('abort', abort);
      this.#wake();
    };
    this.handler = {
      onRequestStart: (controller) => {
        this.#controller = controller;
        if (signal.aborted || this.#end) controller.abort(signal.reason ?? new Error('given up'));
        else signal.addEventListener('abort', abort, { once: true });
      },
      onResponseStart: (_controller, status, headers) => resolve({ status, headers }),
      onResponseData: (controller, chunk) => {
        this.#chunks.push(chunk);
        this.#bytes += chunk.length;
        if (this.#bytes >= AHEAD_BYTES) controller.pause();
        this.#wake();
      },
      onResponseEnd: () => ended('done'),
      onResponseError: (_controller, error) => {
        reject(error);
        ended({ error });
      },
    };
  }

  destroy(): void {
    if (this.#end) return;
    this.#end = 'done';
    this.#chunks = [];
    this.#controller?.abort(new Error('given up'));
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    try {
      for (;;) {
        if (this.#bytes > 0) {
          const taken = this.#chunks;
          const bytes = this.#bytes;
          this.#chunks = [];
          this.#bytes = 0;
          if (bytes >= AHEAD_BYTES) this.#controller?.resume();
          yield taken.length === 1 ? (taken[0] as Buffer) : Buffer.concat(taken, bytes);
        } else if (this.#end === 'done') return;
        else if (this.#end) throw this.#end.error;
        else
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
      }
    } finally {
      this.destroy();
    }
  }
}

/** Reads an answer into one buffer. An answer that is longer than `atMost` is cut off with an error. */
function collect(pool: Pool, options: Dispatcher.RequestOptions, signal: AbortSignal, atMost: number) {
  return new Promise<{ status: number; headers: WireAnswer['headers']; body: Buffer }>((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    let status = 0;
    let headers: WireAnswer['headers'] = {};
    let length = 0;
    const chunks: Buffer[] = [];
    let abort = () => undefined as undefined;
    const end = () => signal.removeEventListener('abort', abort);
    pool.dispatch(options as Dispatcher.DispatchOptions, {
      onRequestStart: (controller) => {
        abort = () => void controller.abort(signal.reason) as undefined;
        signal.addEventListener('abort', abort, { once: true });
      },
      onResponseStart: (_controller, code, named) => {
        status = code;
        headers = named;
      },
      onResponseData: (controller, chunk) => {
        length += chunk.length;
        if (length > (status < 300 ? atMost : ERROR_BYTES)) controller.abort(tooLong(atMost));
        else chunks.push(chunk);
      },
      onResponseEnd: () => {
        end();
        resolve({ status, headers, body: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length) });
      },
      onResponseError: (_controller, error) => {
        end();
        reject(error);
      },
    });
  });
}

function tooLong(atMost: number): ConnectorError {
  return new ConnectorError('truncated', `The source sent more than the ${atMost} bytes that it listed.`, {
    operation: 'read',
    retryable: true,
  });
}

/** An error as the SDK would throw it: its code, its status, its headers, and where the bucket is. */
function failure(status: number, headers: WireAnswer['headers'], body: Buffer): Error {
  const text = body.toString();
  const of = (tag: string) => new RegExp(`<${tag}>([^<>]{1,100})</${tag}>`).exec(text)?.[1];
  const named = (name: string) => String(headers[name] ?? '') || undefined;
  return Object.assign(new Error('S3 refused the request'), {
    name: of('Code') ?? '',
    Region: of('Region'),
    $metadata: { httpStatusCode: status, requestId: named('x-amz-request-id') ?? of('RequestId') },
    $response: {
      headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
    },
  });
}
