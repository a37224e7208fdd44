import { createSign } from 'node:crypto';
import { Storage } from '@google-cloud/storage';
import { OAuth2Client } from 'google-auth-library';
import type { Clock, Runtime } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { type GcsCredential, isDefaultUniverse, originsOf } from './credential.ts';
import { tokenError } from './errors.ts';

/** Reading is all that a token of ours may do, whatever the service account may. */
const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_only';
const TOKEN_SECONDS = 3600;
const TOKEN_TIMEOUT_MS = 20_000;

/** Makes no request. Throws `endpoint_refused` when the credential names a host that may not be contacted. */
export function createStorage(credential: Secret<GcsCredential>, runtime: Runtime): Storage {
  const key = credential.reveal();
  const { storage, tokens } = originsOf(key);
  // A universe, an endpoint and a token URI are words of whoever wrote the file: Google's own, or what is listed.
  // The SDK's sockets take no lookup of ours, so an address could not be checked when it connects.
  if (key.endpoint || !isDefaultUniverse(key)) runtime.egress.assertEndpoint(new URL(storage), 'listed');
  const tokenOrigin = new URL(key.token_uri).origin;
  if (!tokens.includes(tokenOrigin) || !isDefaultUniverse(key)) {
    runtime.egress.assertEndpoint(new URL(key.token_uri), 'listed');
  }
  // The SDK's own clients ignore token_uri, and the SDK shows the key of a client that it made when it is printed.
  const authClient = new OAuth2Client();
  authClient.refreshHandler = () => fetchToken(credential, runtime.clock);
  return new Storage({
    authClient: authClient as never,
    projectId: key.project_id,
    apiEndpoint: storage,
    useAuthWithCustomEndpoint: true,
    ...(isDefaultUniverse(key) ? {} : { universeDomain: key.universe_domain }),
    // The layers retry and time out.
    retryOptions: { autoRetry: false, maxRetries: 0 },
  });
}

/** Exchanges a signed assertion for a token: https://developers.google.com/identity/protocols/oauth2/service-account#httprest */
async function fetchToken(credential: Secret<GcsCredential>, clock: Clock) {
  const { token_uri } = credential.reveal();
  let response: Response;
  try {
    response = await fetch(token_uri, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion: signAssertion(credential, Math.floor(clock.now() / 1000)),
      }),
      redirect: 'error',
      signal: AbortSignal.timeout(TOKEN_TIMEOUT_MS),
    });
  } catch {
    throw new ConnectorError('unavailable', 'The token endpoint did not answer.', {
      operation: 'open',
      retryable: true,
    });
  }
  const answer = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  if (!response.ok || typeof answer.access_token !== 'string') throw tokenError(response.status, answer.error);
  const seconds = Number(answer.expires_in) || TOKEN_SECONDS;
  return { access_token: answer.access_token, expiry_date: clock.now() + seconds * 1000 };
}

function signAssertion(credential: Secret<GcsCredential>, now: number): string {
  const { client_email, private_key, private_key_id, token_uri } = credential.reveal();
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = { alg: 'RS256', typ: 'JWT', ...(private_key_id ? { kid: private_key_id } : {}) };
  const claims = { iss: client_email, scope: SCOPE, aud: token_uri, iat: now, exp: now + TOKEN_SECONDS };
  const unsigned = `${part(header)}.${part(claims)}`;
  return `${unsigned}.${createSign('RSA-SHA256').update(unsigned).sign(private_key, 'base64url')}`;
}
