import type { IncomingMessage, ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { LoopbackServer } from './loopback.ts';

/** An issuer of tokens with its discovery document and its keys. */
export class Issuer extends LoopbackServer {
  keys: object[] = [];
  away = false;
  #key: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'] | null = null;

  protected handle(request: IncomingMessage, response: ServerResponse): void {
    if (this.away) return void request.socket.destroy();
    const body = request.url?.includes('openid-configuration')
      ? { issuer: this.endpoint, jwks_uri: `${this.endpoint}/keys` }
      : { keys: this.keys };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
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
