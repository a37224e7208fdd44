import { readFile } from 'node:fs/promises';
import { GoogleAuth, OAuth2Client } from 'google-auth-library';
import { ConfigError } from '../contract/errors.ts';
import { ASSERTION_SECONDS, assertionForm, type ServiceAccountKey, signAssertion } from '../contract/google.ts';

const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
const TOKEN_TIMEOUT_MS = 20_000;
/** Of the codes of gRPC: https://grpc.io/docs/guides/status-codes/ */
const UNAVAILABLE = 14;
export const UNAUTHENTICATED = 16;

/**
 * A client with the deployment's own key file, for a variable that names it. The library's own ignores token_uri. The file is
 * read anew for each token, so it may be replaced. Fails with a `code` of gRPC: 14 away, 16 refused.
 */
export function keyFileClient(path: string, variable: string): OAuth2Client {
  const client = new OAuth2Client();
  client.refreshHandler = async () => {
    const key = await readKey(path, variable);
    const now = Date.now();
    const response = await fetch(key.token_uri, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: assertionForm(signAssertion(key, SCOPE, Math.floor(now / 1000))),
      redirect: 'error',
      signal: AbortSignal.timeout(TOKEN_TIMEOUT_MS),
    }).catch(() => {
      throw failure(UNAVAILABLE);
    });
    const answer = (await response.json().catch(() => ({}))) as Record<string, unknown>;
    if (!response.ok || typeof answer.access_token !== 'string') throw failure(codeOf(response.status, answer.error));
    return {
      access_token: answer.access_token,
      expiry_date: now + (Number(answer.expires_in) || ASSERTION_SECONDS) * 1000,
    };
  };
  return client;
}

/** Gives a token for each request: of the key file that the variable names, or of Application Default Credentials. */
export function tokensOf(path: string | null, variable: string): () => Promise<string> {
  if (!path) {
    const auth = new GoogleAuth({ scopes: SCOPE });
    return async () => (await auth.getAccessToken()) ?? '';
  }
  const client = keyFileClient(path, variable);
  return async () => (await client.getAccessToken()).token ?? '';
}

async function readKey(path: string, variable: string): Promise<ServiceAccountKey> {
  try {
    const key = JSON.parse(await readFile(path, 'utf8')) as ServiceAccountKey;
    if (typeof key.private_key === 'string' && typeof key.client_email === 'string' && URL.canParse(key.token_uri))
      return key;
  } catch {
    // Falls through: the parser's own message quotes the text.
  }
  throw new ConfigError(`${variable} is not the key file of a service account.`, 'Check the path and its mode.');
}

/** A refusal without a reason is not Google's, but of somebody between here and there. */
function codeOf(status: number, reason: unknown): number {
  return reason !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 429
    ? UNAUTHENTICATED
    : UNAVAILABLE;
}

function failure(code: number): Error {
  return Object.assign(new Error(code === UNAVAILABLE ? 'no token for now' : 'no token'), { code });
}
