import type { Agent as HttpAgent } from 'node:http';
import {
  AnonymousCredential,
  ContainerClient,
  newPipeline,
  type Pipeline,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { Runtime } from '../../src/contract/connector.ts';
import { nodeHttp } from '../../src/contract/node-http.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { ambientTokens, appTokens, type TokenSource } from '../entra/token.ts';
import type { AzureCredential } from './credential.ts';
import type { AzureLocation } from './location.ts';
import { openWire, type Proof, type Wire } from './wire.ts';

const MAX_SOCKETS = 128;
const SCOPE = 'https://storage.azure.com/.default';
const TOKEN_LIFE_MS = 60_000;

/** The SDK's client, and the wire for what is asked so often that the SDK would cost too much. */
export interface Clients {
  readonly sdk: ContainerClient;
  readonly wire: Wire;
}

export interface OpenContainer {
  clients(): Promise<Clients>;
  destroy(): void;
}

/** Makes no request. Throws `endpoint_refused` when the credential names an endpoint that may not be contacted. */
export function openContainer(
  credential: Secret<AzureCredential>,
  location: AzureLocation,
  runtime: Runtime,
): OpenContainer {
  const { endpoint, ownEndpoint } = credential.reveal();
  const url = new URL(endpoint);
  if (!ownEndpoint) runtime.egress.assertEndpoint(url, 'public');
  const lookup = ownEndpoint ? undefined : runtime.egress.lookupFor(url);
  const { Agent } = nodeHttp(url.protocol);
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, ...(lookup ? { lookup } : {}) });
  const proof = proofOf(credential, runtime);
  // The layers retry and time out. A redirect would take what signs a request to another place: none is followed.
  const options = { retryOptions: { maxTries: 1 }, redirectOptions: { maxRetries: 0 } };
  const pipeline = newPipeline(proverOf(proof, runtime), options);
  giveAgent(pipeline, agent);
  const container = `${endpoint}/${encodeURIComponent(location.container)}`;
  const sdk = new ContainerClient(proof.kind === 'query' ? `${container}?${proof.text}` : container, pipeline);
  let wire: Promise<Wire> | undefined;
  return {
    clients: async () => {
      wire ??= openWire(new URL(container), proof, runtime, ownEndpoint);
      return { sdk, wire: await wire };
    },
    destroy: () => {
      agent.destroy();
      void wire?.then(({ requests }) => requests.destroy()).catch(() => undefined);
    },
  };
}

function giveAgent(pipeline: Pipeline, agent: HttpAgent): void {
  pipeline.factories.push({
    create: (next) => ({
      sendRequest: (request) => {
        request.agent = agent;
        return next.sendRequest(request);
      },
    }),
  });
}

function proofOf(credential: Secret<AzureCredential>, runtime: Runtime): Proof {
  const { account, proof } = credential.reveal();
  if (proof.kind === 'sas') return { kind: 'query', text: proof.token };
  if (proof.kind === 'account_key') return { kind: 'key', key: new StorageSharedKeyCredential(account, proof.key) };
  if (proof.kind === 'app') {
    const app = credential.map(() => proof.app);
    return { kind: 'token', tokens: appTokens(app, SCOPE, runtime) };
  }
  if (proof.kind === 'managed_identity' || proof.kind === 'workload_identity') {
    return { kind: 'token', tokens: ambientTokens(proof.kind, proof.clientId, SCOPE, runtime) };
  }
  return { kind: 'none' };
}

function proverOf(proof: Proof, runtime: Runtime) {
  if (proof.kind === 'key') return proof.key;
  return proof.kind === 'token' ? bearer(proof.tokens, runtime) : new AnonymousCredential();
}

/** The token source as the SDK wants it; it may keep a token for a minute, for the source knows its true end. */
function bearer(tokens: TokenSource, { clock }: Runtime) {
  return {
    getToken: async (_scopes: string | string[], options?: { abortSignal?: unknown }) => {
      const signal = options?.abortSignal instanceof AbortSignal ? options.abortSignal : new AbortController().signal;
      return { token: await tokens(signal), expiresOnTimestamp: clock.now() + TOKEN_LIFE_MS };
    },
  };
}
