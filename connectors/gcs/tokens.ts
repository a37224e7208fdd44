import { GoogleAuth, IdentityPoolClient } from 'google-auth-library';
import type { Clock, Runtime } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import { assertionForm, signAssertion } from '../../src/contract/google.ts';
import { inTime } from '../../src/contract/in-time.ts';
import type { Secret } from '../../src/contract/secret.ts';
import {
  type ExternalAccountConfig,
  type GcsCredential,
  isDefaultUniverse,
  type ServiceAccountKey,
} from './credential.ts';
import { tokenError } from './errors.ts';

/** Reading is all that a token of ours may do, whatever the service account may do. */
const READ_ONLY = 'https://www.googleapis.com/auth/devstorage.read_only';
/** What it takes to ask for the tokens of another account. */
const CLOUD_PLATFORM = 'https://www.googleapis.com/auth/cloud-platform';
const TOKEN_SECONDS = 3600;
const TOKEN_TIMEOUT_MS = 20_000;

/** In the form that the SDK's client asks for; times in milliseconds since the epoch. */
interface Token {
  readonly access_token: string;
  readonly expiry_date: number;
}

type TokenSource = () => Promise<Token>;

/**
 * Who gives out tokens for the credential. Makes no request. Throws `endpoint_refused` when the credential names a host
 * that may not be contacted, and `ambient_refused` when the deployment does not lend out what the machine is.
 */
export function tokenSource(credential: Secret<GcsCredential>, runtime: Runtime): TokenSource {
  const fields = credential.reveal();
  const { impersonate } = fields;
  const scope = impersonate ? CLOUD_PLATFORM : READ_ONLY;
  const own = ownTokens(credential, scope, runtime);
  if (!impersonate) return own;
  const origin = fields.iam_endpoint ?? `https://iamcredentials.${fields.universe_domain}`;
  if (fields.iam_endpoint || !isDefaultUniverse(fields)) runtime.egress.assertEndpoint(new URL(origin), 'listed');
  return () => impersonated(origin, impersonate, own, runtime.clock);
}

function ownTokens(credential: Secret<GcsCredential>, scope: string, runtime: Runtime): TokenSource {
  const fields = credential.reveal();
  if (fields.type === 'service_account') {
    assertTokenHost(fields.token_uri, fields, ['oauth2.googleapis.com', 'accounts.google.com'], runtime);
    return () => fetchToken(credential as Secret<ServiceAccountKey>, scope, runtime.clock);
  }
  if (!runtime.ambient) {
    throw new ConnectorError('ambient_refused', "The credential asks for the machine's own Google identity.", {
      operation: 'open',
      retryable: false,
      hint: 'If this deployment means to lend it out, set LOCKGATE_AMBIENT_CREDENTIALS=on.',
    });
  }
  if (fields.type === 'external_account') return federated(fields, scope, runtime);
  // Where the machine has no identity, its metadata says so by a page.
  const isRefusal = () => true;
  return () =>
    libraryToken(
      async () => (await new GoogleAuth({ scopes: [scope] }).getClient()) as never,
      isRefusal,
      runtime.clock,
    );
}

/** The library exchanges the machine's token; every host that the file names is Google's own, or listed. */
function federated(fields: ExternalAccountConfig, scope: string, runtime: Runtime): TokenSource {
  const { service_account_impersonation_url: impersonation, credential_source } = fields;
  assertTokenHost(fields.token_url, fields, ['sts.googleapis.com'], runtime);
  if (impersonation) assertTokenHost(impersonation, fields, ['iamcredentials.googleapis.com'], runtime);
  if (credential_source.url) assertTokenHost(credential_source.url, fields, [], runtime);
  const { endpoint: _, user_project: __, impersonate: ___, iam_endpoint: ____, ...config } = fields;
  return () =>
    libraryToken(
      async () => new IdentityPoolClient({ ...config, scopes: [scope] } as never) as never,
      isOfGoogle,
      runtime.clock,
    );
}

interface LibraryClient {
  getAccessToken(): Promise<{ token?: string | null }>;
  readonly credentials: { readonly expiry_date?: number | null };
}

interface LibraryError {
  readonly status?: unknown;
  readonly code?: unknown;
  readonly response?: { readonly status?: unknown; readonly data?: unknown };
}

/** Whether one of Google's own services answered, or somebody between. */
function isOfGoogle(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'error' in body;
}

/**
 * By a client of its own: the library's wait for an answer without end, and whoever asks one again waits for the same one.
 */
async function libraryToken(
  open: () => Promise<LibraryClient | null>,
  isRefusal: (body: unknown) => boolean,
  clock: Clock,
): Promise<Token> {
  const asking = async () => {
    const client = await open();
    const { token } = (await client?.getAccessToken()) ?? {};
    if (!client) throw new Error('no identity');
    if (!token) throw tokenError(502, undefined);
    return { access_token: token, expiry_date: client.credentials.expiry_date ?? clock.now() + 60_000 };
  };
  try {
    return await inTime(asking(), TOKEN_TIMEOUT_MS, silent);
  } catch (error) {
    if (error instanceof ConnectorError) throw error;
    const { status, code, response } = error as LibraryError;
    const http = [status, code, response?.status].map(Number).find((each) => each >= 100 && each < 600);
    // A request that the library made and that had no answer carries what was asked.
    if (http === undefined && Object.hasOwn(error as object, 'config')) throw silent();
    // The library takes a page apart as if it were a token.
    if (error instanceof TypeError) throw tokenError(502, undefined);
    // Without a request the machine has no identity, or its token could not be read.
    if (http === undefined) throw tokenError(401, 'invalid_grant');
    throw tokenError(http, http < 500 && isRefusal(response?.data) ? 'invalid_grant' : undefined);
  }
}

/** https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken */
async function impersonated(origin: string, account: string, own: TokenSource, clock: Clock): Promise<Token> {
  const { access_token } = await own();
  const url = `${origin}/v1/projects/-/serviceAccounts/${encodeURIComponent(account)}:generateAccessToken`;
  const answer = await ask(url, {
    headers: { 'content-type': 'application/json', authorization: `Bearer ${access_token}` },
    body: JSON.stringify({ scope: [READ_ONLY], lifetime: `${TOKEN_SECONDS}s` }),
  });
  if (typeof answer.accessToken !== 'string') throw tokenError(502, undefined);
  const until = Date.parse(String(answer.expireTime));
  return { access_token: answer.accessToken, expiry_date: Number.isNaN(until) ? clock.now() + 60_000 : until };
}

/** Exchanges a signed assertion for a token: https://developers.google.com/identity/protocols/oauth2/service-account#httprest */
async function fetchToken(credential: Secret<ServiceAccountKey>, scope: string, clock: Clock): Promise<Token> {
  const answer = await ask(credential.reveal().token_uri, {
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: assertionForm(signAssertion(credential.reveal(), scope, Math.floor(clock.now() / 1000))),
  });
  if (typeof answer.access_token !== 'string') throw tokenError(502, undefined);
  const seconds = Number(answer.expires_in) || TOKEN_SECONDS;
  return { access_token: answer.access_token, expiry_date: clock.now() + seconds * 1000 };
}

async function ask(url: string, request: { headers: Record<string, string>; body: string }) {
  let response: Response;
  try {
    const signal = AbortSignal.timeout(TOKEN_TIMEOUT_MS);
    response = await fetch(url, { method: 'POST', redirect: 'error', signal, ...request });
  } catch {
    throw silent();
  }
  const answer = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  if (!response.ok) throw tokenError(response.status, answer.error);
  return answer;
}

function silent(): ConnectorError {
  return new ConnectorError('unavailable', 'The token endpoint did not answer.', {
    operation: 'open',
    retryable: true,
  });
}

/** Hosts that a file names are the provider's, or listed: what proves the identity goes there. */
function assertTokenHost(url: string, fields: GcsCredential, own: readonly string[], runtime: Runtime): void {
  const { protocol, host, origin } = new URL(url);
  if (protocol === 'https:' && own.includes(host) && isDefaultUniverse(fields)) return;
  runtime.egress.assertEndpoint(new URL(origin), 'listed');
}
