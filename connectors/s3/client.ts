import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Runtime } from '../../src/contract/connector.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { assumedRole, type Keys } from './assumed-role.ts';
import type { S3Credential } from './credential.ts';
import { regionFrom } from './errors.ts';

const MAX_SOCKETS = 128;
const CONNECT_TIMEOUT_MS = 10_000;
/** Where a bucket of unknown region is asked for first: S3 answers there for every region. */
const FIRST_REGION = 'us-east-1';

/** A client that finds the bucket's region by itself. */
export interface RegionalClient {
  send<T>(call: (client: S3Client) => Promise<T>): Promise<T>;
  destroy(): void;
}

/** Makes no request. Throws `endpoint_refused` when the credential names an endpoint that may not be contacted. */
export function regionalClient(credential: Secret<S3Credential>, runtime: Runtime): RegionalClient {
  const { region, endpoint, sts_endpoint } = credential.reveal();
  for (const each of [endpoint, sts_endpoint]) if (each) runtime.egress.assertEndpoint(new URL(each), 'public');
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
  const { access_key_id, secret_access_key, session_token, endpoint, force_path_style, role_arn, sts_endpoint } =
    credential.reveal();
  const keys: Keys = {
    accessKeyId: access_key_id,
    secretAccessKey: secret_access_key,
    ...(session_token ? { sessionToken: session_token } : {}),
  };
  const client = new S3Client({
    region,
    credentials: role_arn ? assumedRole(credential, keys, region, createHandler(sts_endpoint, runtime)) : keys,
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
