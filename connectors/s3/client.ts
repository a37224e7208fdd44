import type { Agent as HttpsAgent } from 'node:https';
import { type GetObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Runtime } from '../../src/contract/connector.ts';
import { nodeHttp } from '../../src/contract/node-http.ts';
import type { Secret } from '../../src/contract/secret.ts';
import type { S3Credential } from './credential.ts';
import { regionFrom } from './errors.ts';
import { assertAmbient, identityOf } from './identity.ts';
import { openWire, type Wire } from './wire.ts';

const MAX_SOCKETS = 128;
const CONNECT_TIMEOUT_MS = 10_000;
/** How long STS may take for an answer, in milliseconds. */
const IDENTITY_TIMEOUT_MS = 20_000;
/** Where a bucket of unknown region is asked for first: S3 answers there for every region. */
const FIRST_REGION = 'us-east-1';

/** The SDK's client, and the wire for what is asked so often that the SDK would cost too much. */
export interface Clients {
  readonly s3: S3Client;
  /** Null: what the bucket needs only the SDK can do. */
  readonly wire: Wire | null;
}

/** Clients that find the bucket's region by themselves. */
export interface RegionalClient {
  /** `call` rejects when it fails, and does not throw. */
  send<T>(call: (clients: Clients) => Promise<T>): Promise<T>;
  destroy(): void;
}

/** Makes no request. Throws `endpoint_refused` and `ambient_refused`. */
export function regionalClient(
  credential: Secret<S3Credential>,
  bucket: string,
  options: Partial<GetObjectCommandInput>,
  runtime: Runtime,
): RegionalClient {
  const { region, endpoint, sts_endpoint, iam_endpoint, auth } = credential.reveal();
  const ambient = auth === 'ambient' || auth === 'web_identity';
  if (ambient) assertAmbient(runtime);
  // What the machine is goes where its deployment says, and nowhere that a credential names.
  const rule = ambient ? 'listed' : 'public';
  for (const each of [endpoint, sts_endpoint, iam_endpoint])
    if (each) runtime.egress.assertEndpoint(new URL(each), rule);
  const open = (there: string) =>
    openClients(createClient(credential, there, runtime), bucket, options, endpoint, runtime);
  let clients = open(region ?? FIRST_REGION);
  let settled = region !== undefined && endpoint !== undefined;
  const find = async <T>(call: (found: Clients) => Promise<T>): Promise<T> => {
    const used = clients;
    try {
      const answer = await call(await used.ready());
      settled = true;
      return answer;
    } catch (error) {
      const named = settled ? null : regionFrom(error);
      if (!named) throw error;
      settled = true;
      if (used === clients) clients = open(named);
      return call(await clients.ready());
    }
  };
  return {
    send: (call) => {
      const { opened } = clients;
      return settled && opened ? call(opened) : find(call);
    },
    destroy: () => clients.destroy(),
  };
}

function openClients(
  s3: S3Client,
  bucket: string,
  options: Partial<GetObjectCommandInput>,
  endpoint: string | undefined,
  runtime: Runtime,
) {
  const lookup = endpoint ? runtime.egress.lookupFor(new URL(endpoint)) : undefined;
  let opening: Promise<Clients> | null = null;
  let opened: Clients | null = null;
  return {
    get opened() {
      return opened;
    },
    ready: () => {
      opening ??= openWire(s3, bucket, options, lookup, runtime.clock).then((wire) => {
        opened = { s3, wire };
        return opened;
      });
      // What keeps it from being opened now, such as a role that cannot be assumed, may pass.
      opening.catch(() => {
        opening = null;
      });
      return opening;
    },
    destroy: () => {
      opened?.wire?.requests.destroy();
      s3.destroy();
    },
  };
}

function createClient(credential: Secret<S3Credential>, region: string, runtime: Runtime): S3Client {
  const { endpoint, force_path_style, sts_endpoint, auth, use_accelerate, use_dualstack } = credential.reveal();
  const identity = identityOf(credential, region, createHandler(sts_endpoint, runtime, IDENTITY_TIMEOUT_MS));
  const client = new S3Client({
    region,
    // Without any, the SDK asks its default provider chain.
    ...(identity ? { credentials: identity } : {}),
    ...(auth === 'anonymous' ? { signer: { sign: async (request) => request } } : {}),
    useArnRegion: true,
    useAccelerateEndpoint: use_accelerate ?? false,
    useDualstackEndpoint: use_dualstack ?? false,
    ...(endpoint ? { endpoint } : {}),
    forcePathStyle: force_path_style ?? endpoint !== undefined,
    // The layers retry and time out; lengths and checksums are verified there too.
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: createHandler(endpoint, runtime),
  });
  // Asks for the object's stored checksums without the SDK computing them a second time.
  client.middlewareStack.add(
    (next) => (args) => {
      (args.request as { headers: Record<string, string> }).headers['x-amz-checksum-mode'] = 'ENABLED';
      return next(args);
    },
    { step: 'build', name: 'askForChecksums' },
  );
  return client;
}

/** `timeoutMs`: for requests that all calls wait for together, so that no single one's end can end it. */
export function createHandler(endpoint: string | undefined, runtime: Runtime, timeoutMs = 0): NodeHttpHandler {
  const lookup = endpoint ? runtime.egress.lookupFor(new URL(endpoint)) : undefined;
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS, ...(lookup ? { lookup } : {}) };
  return new NodeHttpHandler({
    connectionTimeout: CONNECT_TIMEOUT_MS,
    ...(timeoutMs ? { requestTimeout: timeoutMs, throwOnRequestTimeout: true } : {}),
    httpAgent: new (nodeHttp('http:').Agent)(agent),
    httpsAgent: new (nodeHttp('https:').Agent)(agent) as HttpsAgent,
  });
}
