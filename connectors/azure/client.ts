import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import {
  AnonymousCredential,
  ContainerClient,
  newPipeline,
  type Pipeline,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { Runtime } from '../../src/contract/connector.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { ambientTokens, appTokens, type TokenSource } from '../entra/token.ts';
import type { AzureCredential } from './credential.ts';
import type { AzureLocation } from './location.ts';

const MAX_SOCKETS = 128;
const SCOPE = 'https://storage.azure.com/.default';
const TOKEN_LIFE_MS = 60_000;

export interface OpenContainer {
  readonly client: ContainerClient;
  destroy(): void;
}

/** Makes no request. Throws `endpoint_refused` when the credential names an endpoint that may not be contacted. */
export function openContainer(
  credential: Secret<AzureCredential>,
  location: AzureLocation,
  runtime: Runtime,
): OpenContainer {
  const { account, endpoint, ownEndpoint, proof } = credential.reveal();
  const url = new URL(endpoint);
  if (!ownEndpoint) runtime.egress.assertEndpoint(url, 'public');
  const lookup = ownEndpoint ? undefined : runtime.egress.lookupFor(url);
  const Agent = url.protocol === 'https:' ? HttpsAgent : HttpAgent;
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, ...(lookup ? { lookup } : {}) });
  // The layers retry and time out. A redirect would take what signs a request to another place: none is followed.
  const options = { retryOptions: { maxTries: 1 }, redirectOptions: { maxRetries: 0 } };
  const pipeline = newPipeline(proverOf(credential, account, runtime), options);
  useAgent(pipeline, agent);
  const query = proof.kind === 'sas' ? `?${proof.token}` : '';
  const client = new ContainerClient(`${endpoint}/${encodeURIComponent(location.container)}${query}`, pipeline);
  return { client, destroy: () => agent.destroy() };
}

function useAgent(pipeline: Pipeline, agent: HttpAgent): void {
  pipeline.factories.push({
    create: (next) => ({
      sendRequest: (request) => {
        request.agent = agent;
        return next.sendRequest(request);
      },
    }),
  });
}

function proverOf(credential: Secret<AzureCredential>, account: string, runtime: Runtime) {
  const { proof } = credential.reveal();
  if (proof.kind === 'account_key') return new StorageSharedKeyCredential(account, proof.key);
  if (proof.kind === 'app') {
    const app = credential.map(() => proof.app);
    return bearer(appTokens(app, SCOPE, runtime), runtime);
  }
  if (proof.kind === 'managed_identity' || proof.kind === 'workload_identity') {
    return bearer(ambientTokens(proof.kind, proof.clientId, SCOPE, runtime), runtime);
  }
  return new AnonymousCredential();
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
