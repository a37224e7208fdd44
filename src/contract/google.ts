import { createSign } from 'node:crypto';

/** What of a service account's key file proves who asks. */
export interface ServiceAccountKey {
  readonly client_email: string;
  readonly private_key: string;
  readonly private_key_id?: string | undefined;
  readonly token_uri: string;
}

export const ASSERTION_SECONDS = 3600;

/**
 * The assertion that Google's token endpoint exchanges for a token; `now` in seconds since the epoch.
 * https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests
 */
export function signAssertion(key: ServiceAccountKey, scope: string, now: number): string {
  const { client_email, private_key, private_key_id, token_uri } = key;
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = { alg: 'RS256', typ: 'JWT', ...(private_key_id ? { kid: private_key_id } : {}) };
  const claims = { iss: client_email, scope, aud: token_uri, iat: now, exp: now + ASSERTION_SECONDS };
  const unsigned = `${part(header)}.${part(claims)}`;
  return `${unsigned}.${createSign('RSA-SHA256').update(unsigned).sign(private_key, 'base64url')}`;
}

/** The form that goes with the assertion. */
export function assertionForm(assertion: string): string {
  return new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }).toString();
}
