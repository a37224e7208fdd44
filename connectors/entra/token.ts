import type { TokenCredential } from '@azure/identity';
import { ANSWERS_IN_TIME } from '../../src/contract/azure.ts';
import type { Clock, Runtime } from '../../src/contract/connector.ts';
import { type ErrorRule, errorBy } from '../../src/contract/error-rules.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { CLOUDS, type EntraApp } from './credential.ts';
import './quiet.ts';

/** Gives out a token that is still good for a while. */
export type TokenSource = (signal: AbortSignal) => Promise<string>;

/** A token is replaced this long before its end, in milliseconds. */
const MARGIN_MS = 300_000;

/** Of all credentials. */
const OPTIONS = {
  // The authority is known; nobody else need be asked about it.
  disableInstanceDiscovery: true,
  // The layers retry.
  retryOptions: { maxRetries: 0 },
  additionalPolicies: [ANSWERS_IN_TIME],
};

const REJECTED: ErrorRule = [
  'credential_rejected',
  false,
  'Microsoft Entra ID rejected the credential.',
  "Check tenant_id and client_id, and that the secret's value (not its ID) or the certificate is current.",
];
const THROTTLED: ErrorRule = ['throttled', true, 'Microsoft Entra ID asks for fewer requests.'];
const AWAY: ErrorRule = [
  'unavailable',
  true,
  'Microsoft Entra ID did not answer as it should.',
  'Check tenant_id: an unknown tenant has no endpoints.',
];
const NO_IDENTITY: ErrorRule = [
  'credential_rejected',
  false,
  'This machine has no such identity to lend out.',
  'Assign a managed identity to it, or set its workload identity up, or store a client secret or certificate.',
];

/** Tokens for an application by its secret or certificate. Throws `endpoint_refused` for an authority that is not listed. */
export function appTokens(app: Secret<EntraApp>, scope: string, runtime: Runtime): TokenSource {
  const { cloud, authority } = app.reveal();
  if (authority) runtime.egress.assertEndpoint(new URL(authority), 'listed');
  return tokensOf(runtime.clock, scope, AWAY, async () => {
    const { ClientSecretCredential, ClientCertificateCredential } = await import('@azure/identity');
    const { tenant_id, client_id, client_secret, certificate, private_key } = app.reveal();
    const options = {
      ...OPTIONS,
      authorityHost: authority ?? CLOUDS[cloud].authority,
    };
    if (client_secret) return new ClientSecretCredential(tenant_id, client_id, client_secret, options);
    return new ClientCertificateCredential(
      tenant_id,
      client_id,
      { certificate: `${certificate}\n${private_key}` },
      options,
    );
  });
}

/** Tokens for what the machine is: a managed identity, or a workload identity of Kubernetes. */
export function ambientTokens(
  kind: 'managed_identity' | 'workload_identity',
  clientId: string | undefined,
  scope: string,
  runtime: Runtime,
): TokenSource {
  if (!runtime.ambient) {
    throw new ConnectorError('ambient_refused', 'The credential asks for the identity of the machine.', {
      operation: 'open',
      retryable: false,
      hint: 'If this deployment means to lend it out, set LOCKGATE_AMBIENT_CREDENTIALS=on.',
    });
  }
  return tokensOf(runtime.clock, scope, NO_IDENTITY, async () => {
    const { ManagedIdentityCredential, WorkloadIdentityCredential } = await import('@azure/identity');
    if (kind === 'workload_identity')
      return new WorkloadIdentityCredential({ ...OPTIONS, ...(clientId ? { clientId } : {}) });
    return clientId ? new ManagedIdentityCredential(clientId, OPTIONS) : new ManagedIdentityCredential(OPTIONS);
  });
}

/**
 * Calls that need a token at the same time share one request for it. One that a call has not waited for to its end is not
 * shared with later ones: it may be lost, and they would wait for it as well.
 */
function tokensOf(
  clock: Clock,
  scope: string,
  unavailable: ErrorRule,
  make: () => Promise<TokenCredential>,
): TokenSource {
  let credential: Promise<TokenCredential> | undefined;
  let current: { readonly token: string; readonly expiresOnTimestamp: number } | null = null;
  let asking: Promise<string> | undefined;
  const ask = async (): Promise<string> => {
    try {
      credential ??= make();
      current = await (await credential).getToken(scope);
    } catch (error) {
      // The library would answer with this failure for a minute by itself; our layers know when to ask again.
      credential = undefined;
      throw tokenError(error, unavailable);
    }
    if (!current) throw errorBy(REJECTED, 'open');
    return current.token;
  };
  return async (signal) => {
    signal.throwIfAborted();
    if (current && current.expiresOnTimestamp - MARGIN_MS > clock.now()) return current.token;
    asking ??= ask();
    const shared = asking;
    const leave = () => {
      if (asking === shared) asking = undefined;
    };
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await shared;
    } finally {
      signal.removeEventListener('abort', leave);
      leave();
    }
  };
}

/** Of the library's error only the status is kept; it stands in the error of the layer below. */
function tokenError(error: unknown, unavailable: ErrorRule): ConnectorError {
  if (error instanceof ConnectorError) return error;
  const { name, cause, statusCode } = error as { name?: string; cause?: { status?: unknown }; statusCode?: unknown };
  const stated = Number(cause?.status ?? statusCode);
  const status = stated >= 100 && stated < 600 ? stated : undefined;
  if (status === 429) return errorBy(THROTTLED, 'open', { status });
  if (status !== undefined) return errorBy(status >= 400 && status < 500 ? REJECTED : AWAY, 'open', { status });
  return errorBy(name === 'CredentialUnavailableError' ? unavailable : AWAY, 'open');
}
