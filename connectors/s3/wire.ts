import type { LookupFunction } from 'node:net';
import { GetObjectCommand, type GetObjectCommandInput, type S3Client } from '@aws-sdk/client-s3';
import type { Clock } from '../../src/contract/connector.ts';
import { Secret } from '../../src/contract/secret.ts';
import type { AnswerHeaders, RawRequest } from '../http/messages.ts';
import { Requests } from '../http/requests.ts';
import { encoded, encodedPath, Form, type Header, type Keys, Signer } from './signing.ts';

/**
 * S3 without the SDK's machinery, for the two requests of which a sync makes millions. The SDK says where a bucket is, what each
 * request carries and who asks; what it would do for each request alone is done once. Errors have the form of the SDK's.
 */
export interface Wire {
  readonly requests: Requests;
  /** For what is in the bucket. Signed; a promise where the credential has to be asked for. */
  listing(query: readonly Header[]): RawRequest | Promise<RawRequest>;
  /** For an object or a part of it, in this version only. */
  object(key: string, ifMatch: string | undefined, range: string | undefined): RawRequest | Promise<RawRequest>;
  /** False once a page was of a form that only the SDK can read. */
  listsPlainly: boolean;
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
  readonly headers: readonly Header[];
  /** Null: nobody signs. */
  readonly signer: Signer | null;
}

/** Null: the requests are of a kind that only the SDK can make. */
export async function openWire(
  client: S3Client,
  bucket: string,
  options: Partial<GetObjectCommandInput>,
  lookup: LookupFunction | undefined,
  clock: Clock,
): Promise<Wire | null> {
  const prepared = await prepare(client, bucket, options, clock);
  if (!prepared) return null;
  const { signer, host, path, headers } = prepared;
  const keys = new CurrentKeys(client, clock.now);
  const fixed: Header[] = [['host', host], ...headers];
  const ofBucket = new Form(
    signer,
    fixed.filter(([name]) => !OF_OBJECTS.test(name)),
  );
  const formOf = (...open: string[]) => new Form(signer, fixed, open);
  const [plain, ofVersion, part, partOfVersion] = [
    formOf(),
    formOf('if-match'),
    formOf('range'),
    formOf('if-match', 'range'),
  ];
  const fill = (form: Form, at: string, query: string, values: string[]) => {
    if (!signer) return form.fill(null, at, query, values);
    const { known } = keys;
    return known
      ? form.fill(known, at, query, values)
      : keys.ask().then((asked) => form.fill(asked, at, query, values));
  };
  return {
    requests: new Requests(prepared.origin, lookup, refusal),
    listing: (query) => fill(ofBucket, path, encodedQuery(query), []),
    object: (key, ifMatch, range) => {
      const at = path + encodedPath(key);
      if (range === undefined)
        return ifMatch === undefined ? fill(plain, at, '', []) : fill(ofVersion, at, '', [ifMatch]);
      return ifMatch === undefined ? fill(part, at, '', [range]) : fill(partOfVersion, at, '', [ifMatch, range]);
    },
    listsPlainly: true,
  };
}

function encodedQuery(query: readonly Header[]): string {
  return query
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&');
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
    headers: Object.entries(headers).flatMap(([name, value]): Header[] =>
      OWN.has(name.toLowerCase()) ? [] : [[name.toLowerCase(), value]],
    ),
    signer: scope ? new Signer(scope[1] as string, scope[2] as string, clock.now) : null,
  };
}

/** For how long keys are used before the SDK's provider is asked again. It keeps them, and fetches new ones minutes before they end. */
const KEYS_MS = 1000;

class CurrentKeys {
  readonly #client: S3Client;
  readonly #now: () => number;
  #keys: Secret<Keys> | null = null;
  #until = 0;

  constructor(client: S3Client, now: () => number) {
    this.#client = client;
    this.#now = now;
  }

  /** Null: they have to be asked for. */
  get known(): Secret<Keys> | null {
    return this.#now() < this.#until ? this.#keys : null;
  }

  async ask(): Promise<Secret<Keys>> {
    const keys = new Secret<Keys>(await this.#client.config.credentials());
    this.#keys = keys;
    this.#until = this.#now() + KEYS_MS;
    return keys;
  }
}

/** An error as the SDK would throw it: its code, its status, its headers, and where the bucket is. */
function refusal(status: number, headers: AnswerHeaders, body: Buffer): Error {
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
