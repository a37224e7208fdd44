import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { LoopbackServer } from './loopback.ts';

/**
 * An issuer of tokens with its discovery document and its keys. Browsers that it is told of with `signsIn` it lets in at once,
 * by the authorization code flow with PKCE (RFC 6749, RFC 7636, OpenID Connect Core 3.1).
 */
export class Issuer extends LoopbackServer {
  keys: object[] = [];
  away = false;
  /** Who sits before every browser. */
  signsIn: { readonly subject: string; readonly claims: Record<string, unknown> } | null = null;
  /** What the client proves itself with; null: it is a public one. */
  clientSecret: string | null = null;
  readonly #codes = new Map<string, URLSearchParams>();
  #key: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'] | null = null;

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.away) return void request.socket.destroy();
    const url = new URL(request.url ?? '/', this.endpoint);
    if (url.pathname === '/authorize') return this.#authorize(url.searchParams, response);
    const isToken = url.pathname === '/token';
    const [status, body] = isToken ? await this.#exchange(request) : [200, this.#document(url.pathname)];
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  #document(path: string): object {
    if (!path.includes('openid-configuration')) return { keys: this.keys };
    return {
      issuer: this.endpoint,
      jwks_uri: `${this.endpoint}/keys`,
      authorization_endpoint: `${this.endpoint}/authorize`,
      token_endpoint: `${this.endpoint}/token`,
      response_types_supported: ['code'],
      id_token_signing_alg_values_supported: ['RS256'],
    };
  }

  #authorize(query: URLSearchParams, response: ServerResponse): void {
    const back = new URL(query.get('redirect_uri') ?? '');
    back.searchParams.set('state', query.get('state') ?? '');
    if (this.signsIn && query.get('code_challenge_method') === 'S256') {
      const code = randomBytes(16).toString('hex');
      this.#codes.set(code, query);
      back.searchParams.set('code', code);
    } else back.searchParams.set('error', 'access_denied');
    response.writeHead(302, { location: back.href }).end();
  }

  async #exchange(request: IncomingMessage): Promise<[number, object]> {
    const form = new URLSearchParams(Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString());
    const asked = this.#codes.get(form.get('code') ?? '');
    this.#codes.delete(form.get('code') ?? '');
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    const good =
      asked?.get('code_challenge') === challenge &&
      asked.get('redirect_uri') === form.get('redirect_uri') &&
      (this.clientSecret === null || form.get('client_secret') === this.clientSecret);
    if (!asked || !good || !this.signsIn) return [400, { error: 'invalid_grant' }];
    const { subject, claims } = this.signsIn;
    const nonce = asked.get('nonce');
    const token = await this.tokenFor(subject, form.get('client_id') ?? asked.get('client_id') ?? '', {
      ...claims,
      nonce,
    });
    return [200, { access_token: 'unused', token_type: 'Bearer', expires_in: 60, id_token: token }];
  }

  /** A token for a quarter of an hour, signed with the issuer's only key, which is made when it is first used. */
  async tokenFor(subject: string, audience: string, more: Record<string, unknown> = {}): Promise<string> {
    if (!this.#key) {
      const pair = await generateKeyPair('RS256');
      this.#key = pair.privateKey;
      this.keys = [{ ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }];
    }
    return new SignJWT(more)
      .setProtectedHeader({ alg: 'RS256', kid: 'one' })
      .setIssuer(this.endpoint)
      .setAudience(audience)
      .setSubject(subject)
      .setIssuedAt()
      .setExpirationTime('15m')
      .sign(this.#key);
  }
}
