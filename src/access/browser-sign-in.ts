import type { Configuration } from 'openid-client';
import type { Secret } from '../contract/secret.ts';
import { identityOf, type OidcIdentity, type OidcSettings } from './oidc.ts';

export interface BrowserSignInSettings {
  readonly clientId: string;
  /** Null: a public client, which PKCE protects alone. */
  readonly clientSecret: Secret<string> | null;
  /** Where people reach the service, such as `https://lockgate.internal`. */
  readonly publicUrl: string;
}

/** What the browser keeps between the two halves of signing in. */
interface Kept {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

export interface BrowserSignIn {
  /** Where to send the browser, and what it has to bring back. */
  start(): Promise<{ readonly url: string; readonly kept: string }>;
  /** Who came back. Throws whatever is wrong with it; none of that is for people. */
  finish(query: string, kept: string): Promise<OidcIdentity>;
}

/** Signs people in with their browser: authorization code with PKCE, state and nonce. */
export function openBrowserSignIn(oidc: OidcSettings, settings: BrowserSignInSettings): BrowserSignIn {
  const redirect = new URL('/auth/oidc/callback', settings.publicUrl).href;
  let found: Promise<Configuration> | undefined;
  const configuration = () => {
    found ??= discover(oidc.issuer, settings).catch((error) => {
      // The next one asks again.
      found = undefined;
      throw error;
    });
    return found;
  };
  return {
    start: async () => {
      const client = await import('openid-client');
      const kept: Kept = {
        state: client.randomState(),
        nonce: client.randomNonce(),
        verifier: client.randomPKCECodeVerifier(),
      };
      const url = client.buildAuthorizationUrl(await configuration(), {
        redirect_uri: redirect,
        scope: 'openid profile email',
        state: kept.state,
        nonce: kept.nonce,
        code_challenge: await client.calculatePKCECodeChallenge(kept.verifier),
        code_challenge_method: 'S256',
      });
      return { url: url.href, kept: Buffer.from(JSON.stringify(kept)).toString('base64url') };
    },
    finish: async (query, text) => {
      const client = await import('openid-client');
      const { state, nonce, verifier } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Kept;
      const tokens = await client.authorizationCodeGrant(await configuration(), new URL(`${redirect}?${query}`), {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      });
      const claims = tokens.claims();
      if (!claims) throw new Error('no ID token');
      return identityOf(claims, oidc.rules);
    },
  };
}

async function discover(issuer: string, { clientId, clientSecret }: BrowserSignInSettings): Promise<Configuration> {
  const client = await import('openid-client');
  const proof = clientSecret ? client.ClientSecretPost(clientSecret.reveal()) : client.None();
  const loopback = /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])[:/]/.test(`${issuer}/`);
  const config = await client.discovery(new URL(issuer), clientId, undefined, proof, {
    // In the clear only to this machine.
    ...(loopback ? { execute: [client.allowInsecureRequests] } : {}),
  });
  // The signature of the ID token, too, although it came by TLS.
  client.enableNonRepudiationChecks(config);
  return config;
}
