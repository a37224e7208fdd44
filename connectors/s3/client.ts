import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Runtime } from '../../src/contract/connector.ts';
import type { Secret } from '../../src/contract/secret.ts';
import type { S3Credential } from './credential.ts';
import { regionFrom } from './errors.ts';
import { assertAmbient, identityOf } from './identity.ts';

const MAX_SOCKETS = 128;
const CONNECT_TIMEOUT_MS = 10_000;
/** Where a bucket of unknown region is asked for first: S3 answers there for every region. */
const FIRST_REGION = 'us-east-1';

/** A client that finds the bucket's region by itself. */
export interface RegionalClient {
  send<T>(call: (client: S3Client) => Promise<T>): Promise<T>;
  destroy(): void;
}

/** Makes no request. Throws `endpoint_refused` and `ambient_refused`. */
export function regionalClient(credential: Secret<S3Credential>, runtime: Runtime): RegionalClient {
  const { region, endpoint, sts_endpoint, auth } = credential.reveal();
  const ambient = auth === 'ambient' || auth === 'web_identity';
  if (ambient) assertAmbient(runtime);
  // What the machine is goes where its deployment says, and nowhere that a credential names.
  const rule = ambient ? 'listed' : 'public';
  for (const each of [endpoint, sts_endpoint]) if (each) runtime.egress.assertEndpoint(new URL(each), rule);
  let client = createClient(credential, region ?? FIRST_REGION, runtime);
  let settled = region !== undefined && endpoint !== undefined;
  return {
    send: async (call) => {
      const used = client;
      try {
        return await call(used);
      } catch (error) {
        const named = settled ? null : regionFrom(error);
        if (!named) throw error;
        settled = true;
        if (used === client) client = createClient(credential, named, runtime);
        return call(client);
      }
    },
    destroy: () => client.destroy(),
  };
}

function createClient(credential: Secret<S3Credential>, region: string, runtime: Runtime): S3Client {
  const { endpoint, force_path_style, sts_endpoint, auth, use_accelerate, use_dualstack } = credential.reveal();
  const identity = identityOf(credential, region, createHandler(sts_endpoint, runtime));
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

function createHandler(endpoint: string | undefined, runtime: Runtime): NodeHttpHandler {
  const lookup = endpoint ? runtime.egress.lookupFor(new URL(endpoint)) : undefined;
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS, ...(lookup ? { lookup } : {}) };
  return new NodeHttpHandler({
    connectionTimeout: CONNECT_TIMEOUT_MS,
    httpAgent: new HttpAgent(agent),
    httpsAgent: new HttpsAgent(agent),
  });
}
