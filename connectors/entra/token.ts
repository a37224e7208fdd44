import type { TokenCredential } from '@azure/identity';
import { type Heard, heardInTime, isAway } from '../../src/contract/azure.ts';
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

/** What a failure is, by who failed. */
interface TokenRules {
  /** It was answered, and with no token. */
  readonly rejected: ErrorRule;
  /** It was asked, and not answered as it should be. */
  readonly away: ErrorRule;
  /** There was nobody to ask. */
  readonly nobody: ErrorRule;
}

const THROTTLED: ErrorRule = ['throttled', true, 'The service that gives out tokens asks for fewer requests.'];
const AWAY: ErrorRule = [
  'unavailable',
  true,
  'Microsoft Entra ID did not answer as it should.',
  'Check tenant_id: an unknown tenant has no endpoints.',
];
const OF_APPS: TokenRules = {
  rejected: [
    'credential_rejected',
    false,
    'Microsoft Entra ID rejected the credential.',
    "Check tenant_id and client_id, and that the secret's value (not its ID) or the certificate is current.",
  ],
  away: AWAY,
  nobody: AWAY,
};
const NO_IDENTITY: ErrorRule = [
  'credential_rejected',
  false,
  'This machine has no such identity to lend out.',
  'Assign a managed identity to it, or set its workload identity up, or store a client secret or certificate.',
];
const OF_MACHINES: TokenRules = {
  rejected: NO_IDENTITY,
  away: [
    'unavailable',
    true,
    'The service that gives out the identity of this machine did not answer as it should.',
    'A machine that is not one of Azure has none: store a client secret or certificate.',
  ],
  nobody: NO_IDENTITY,
};

/** Tokens for an application by its secret or certificate. Throws `endpoint_refused` for an authority that is not listed. */
export function appTokens(app: Secret<EntraApp>, scope: string, runtime: Runtime): TokenSource {
  const { cloud, authority } = app.reveal();
  if (authority) runtime.egress.assertEndpoint(new URL(authority), 'listed');
  return tokensOf(runtime.clock, scope, OF_APPS, async ({ identity, options: common }) => {
    const { tenant_id, client_id, client_secret, certificate, private_key } = app.reveal();
    const options = { ...common, authorityHost: authority ?? CLOUDS[cloud].authority };
    if (client_secret) return new identity.ClientSecretCredential(tenant_id, client_id, client_secret, options);
    return new identity.ClientCertificateCredential(
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
  return tokensOf(runtime.clock, scope, OF_MACHINES, async ({ identity, options }) => {
    const chosen = { ...options, ...(clientId ? { clientId } : {}) };
    return kind === 'workload_identity'
      ? new identity.WorkloadIdentityCredential(chosen)
      : new identity.ManagedIdentityCredential(chosen);
  });
}

/** Loads the library, and has what its credentials have in common. */
async function openLibrary(note: (heard: Heard) => void) {
  const [identity, { createDefaultHttpClient }] = await Promise.all([
    import('@azure/identity'),
    import('@azure/core-rest-pipeline'),
  ]);
  const options = {
    // The authority is known; nobody else need be asked about it.
    disableInstanceDiscovery: true,
    // The layers retry.
    retryOptions: { maxRetries: 0 },
    httpClient: heardInTime(createDefaultHttpClient(), note),
  };
  return { identity, options };
}

type Library = Awaited<ReturnType<typeof openLibrary>>;

/**
 * Calls that need a token at the same time share one request for it. One that a call has not waited for to its end is not
 * shared with later ones: it may be lost, and they would wait for it as well.
 */
function tokensOf(
  clock: Clock,
  scope: string,
  rules: TokenRules,
  make: (library: Library) => Promise<TokenCredential>,
): TokenSource {
  let credential: Promise<TokenCredential> | undefined;
  let current: { readonly token: string; readonly expiresOnTimestamp: number } | null = null;
  let asking: Promise<string> | undefined;
  let heard: Heard = null;
  const ask = async (): Promise<string> => {
    heard = null;
    try {
      credential ??= openLibrary((last) => {
        heard = last;
      }).then(make);
      current = await (await credential).getToken(scope);
    } catch (error) {
      // The library would answer with this failure for a minute by itself; our layers know when to ask again.
      credential = undefined;
      throw error instanceof ConnectorError ? error : tokenError(heard, rules);
    }
    if (!current) throw errorBy(rules.rejected, 'open');
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

/** Made of what was heard alone: the library's error has the answer in it. */
function tokenError(heard: Heard, rules: TokenRules): ConnectorError {
  if (heard === null) return errorBy(rules.nobody, 'open');
  if (heard === 'nothing') return errorBy(rules.away, 'open');
  const { status } = heard;
  if (status === 429) return errorBy(THROTTLED, 'open', heard);
  const isRejected = status >= 400 && !isAway(heard);
  return errorBy(isRejected ? rules.rejected : rules.away, 'open', heard);
}
