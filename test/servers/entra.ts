import {
  constants,
  createHash,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  randomUUID,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';

import { generate } from 'selfsigned';
import type { Fault } from './fault.ts';
import { closeServer, endpointOf, listenOnLoopback } from './loopback.ts';
import type { TestCertificate } from './tls.ts';

interface App {
  readonly secrets: Set<string>;
  /** By the SHA-256 of the certificate, as assertions name it. */
  readonly certificates: Map<string, KeyObject>;
  /** Tokens of other parties that stand for the application. */
  readonly federated: Set<string>;
  roles: readonly string[];
}

export interface TokenClaims {
  readonly aud: string;
  readonly appid: string;
  readonly roles: readonly string[];
  readonly exp: number;
}

/**
 * Microsoft Entra ID for tests: the discovery document and the token endpoint of the client-credentials flow, with
 * secrets and with certificates, whose assertions are checked in signature, audience, issuer and times.
 * https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
 */
export class EntraServer implements AsyncDisposable {
  readonly tenant = randomUUID();
  readonly apps = new Map<string, App>();
  tokenSeconds = 3600;
  /** Tokens given out. */
  readonly tokens: string[] = [];
  fault: (request: { readonly operation: 'discovery' | 'token' }) => Fault | undefined = () => undefined;
  readonly #key = generateKeyPairSync('rsa', { modulusLength: 2048 });
  readonly #revoked = new Set<string>();
  readonly #server;

  constructor(certificate: TestCertificate) {
    this.#server = createServer(certificate, (request, response) => void this.#handle(request, response));
  }

  async listen(): Promise<this> {
    await listenOnLoopback(this.#server);
    return this;
  }

  get authority(): string {
    return endpointOf(this.#server).replace('http:', 'https:');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeServer(this.#server);
  }

  /** An application with a secret, as fields of a credential. */
  registerApp(roles: readonly string[] = []) {
    const client_id = randomUUID();
    const client_secret = `fake~${randomBytes(24).toString('base64url')}`;
    this.apps.set(client_id, {
      secrets: new Set([client_secret]),
      certificates: new Map(),
      federated: new Set(),
      roles,
    });
    return { tenant_id: this.tenant, client_id, client_secret, authority: this.authority };
  }

  /** An application with a certificate, as fields of a credential. */
  async registerCertificateApp(roles: readonly string[] = []) {
    const client_id = randomUUID();
    const { private: private_key, cert } = await generate([{ name: 'commonName', value: 'lockgate test' }], {
      algorithm: 'sha256',
    });
    const parsed = new X509Certificate(cert);
    const thumbprint = createHash('sha256').update(parsed.raw).digest('base64url');
    this.apps.set(client_id, {
      secrets: new Set(),
      certificates: new Map([[thumbprint, parsed.publicKey]]),
      federated: new Set(),
      roles,
    });
    return { tenant_id: this.tenant, client_id, certificate: cert, private_key, authority: this.authority };
  }

  revokeTokens(): void {
    for (const token of this.tokens) this.#revoked.add(token);
  }

  /** The claims of a token of ours that still holds, or null. */
  verify(token: string, audience: string): TokenClaims | null {
    const [header = '', claims = '', signature = ''] = token.split('.');
    const good = verify(
      'RSA-SHA256',
      Buffer.from(`${header}.${claims}`),
      this.#key.publicKey,
      Buffer.from(signature, 'base64url'),
    );
    if (!good || this.#revoked.has(token)) return null;
    const parsed = parsePart(claims) as unknown as TokenClaims;
    return parsed.aud === audience && parsed.exp > Date.now() / 1000 ? parsed : null;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.authority);
    const operation = url.pathname.endsWith('/openid-configuration') ? 'discovery' : 'token';
    const fault = this.fault({ operation });
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'error') {
      return sendJson(
        response,
        fault.status,
        { error: fault.code, error_description: fault.message ?? fault.code },
        fault.headers,
      );
    }
    const base = `${this.authority}/${this.tenant}`;
    if (operation === 'discovery') {
      return sendJson(response, 200, {
        issuer: `${base}/v2.0`,
        authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
        token_endpoint: `${base}/oauth2/v2.0/token`,
        jwks_uri: `${base}/discovery/v2.0/keys`,
        response_types_supported: ['code'],
        subject_types_supported: ['pairwise'],
        id_token_signing_alg_values_supported: ['RS256'],
      });
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.#token(url, new URLSearchParams(Buffer.concat(chunks).toString()), response);
  }

  #token(url: URL, form: URLSearchParams, response: ServerResponse): void {
    const refuse = (status: number, error: string, number: number, text: string) =>
      sendJson(response, status, {
        error,
        error_description: `AADSTS${number}: ${text}`,
        error_codes: [number],
        timestamp: new Date().toISOString(),
        trace_id: randomUUID(),
        correlation_id: randomUUID(),
      });
    if (url.pathname !== `/${this.tenant}/oauth2/v2.0/token`)
      return refuse(400, 'invalid_request', 90002, 'Tenant not found.');
    if (form.get('grant_type') !== 'client_credentials')
      return refuse(400, 'unsupported_grant_type', 70003, 'grant type');
    const client = form.get('client_id') ?? '';
    const app = this.apps.get(client);
    if (!app) return refuse(400, 'unauthorized_client', 700016, 'Application was not found in the directory.');
    const scope = form.get('scope') ?? '';
    const audience = scope
      .split(' ')
      .find((each) => each.endsWith('/.default'))
      ?.slice(0, -'/.default'.length);
    if (!audience) return refuse(400, 'invalid_scope', 1002012, 'The provided value for scope is not valid.');
    const secret = form.get('client_secret');
    const proven =
      secret !== null ? app.secrets.has(secret) : this.#asserts(app, client, form.get('client_assertion') ?? '', url);
    if (!proven) {
      return secret !== null
        ? refuse(401, 'invalid_client', 7000215, `Invalid client secret provided: ${secret.slice(0, 3)}`)
        : refuse(401, 'invalid_client', 700027, 'Client assertion failed signature validation.');
    }
    const token = this.#issue(audience, client, app.roles);
    sendJson(response, 200, {
      token_type: 'Bearer',
      expires_in: this.tokenSeconds,
      ext_expires_in: this.tokenSeconds,
      access_token: token,
    });
  }

  /** What the metadata of a machine gives out: https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference */
  issueFor(resource: string, client: string): string {
    return this.#issue(resource, client, []);
  }

  #asserts(app: App, client: string, assertion: string, url: URL): boolean {
    if (app.federated.has(assertion)) return true;
    const [header = '', claims = '', signature = ''] = assertion.split('.');
    const { alg, 'x5t#S256': thumbprint } = parsePart(header);
    const { aud, iss, sub, exp, nbf } = parsePart(claims);
    const key = app.certificates.get(String(thumbprint));
    if (!key || alg !== 'PS256') return false;
    const padding = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
    const now = Date.now() / 1000;
    return (
      verify('RSA-SHA256', Buffer.from(`${header}.${claims}`), padding, Buffer.from(signature, 'base64url')) &&
      iss === client &&
      sub === client &&
      (aud === `${this.authority}${url.pathname}` || aud === `${this.authority}/${this.tenant}/v2.0`) &&
      Number(exp) > now &&
      Number(nbf ?? 0) <= now + 300
    );
  }

  #issue(aud: string, appid: string, roles: readonly string[]): string {
    const now = Math.floor(Date.now() / 1000);
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = {
      aud,
      iss: `https://sts.windows.net/${this.tenant}/`,
      iat: now,
      nbf: now - 60,
      exp: now + this.tokenSeconds,
      appid,
      roles,
      tid: this.tenant,
      jti: randomUUID(),
      ver: '1.0',
    };
    const unsigned = `${part({ typ: 'JWT', alg: 'RS256', kid: 'test' })}.${part(claims)}`;
    const token = `${unsigned}.${sign('RSA-SHA256', Buffer.from(unsigned), this.#key.privateKey).toString('base64url')}`;
    this.tokens.push(token);
    return token;
  }
}

function parsePart(part: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString());
  } catch {
    return {};
  }
}

function sendJson(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
