import { randomBytes, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { opened, sealed } from './aead.ts';
import type { Fault } from './fault.ts';
import { LoopbackServer } from './loopback.ts';

interface RequestBody {
  readonly data?: unknown;
  readonly options?: { readonly cas?: number };
  readonly custom_metadata?: Record<string, string>;
}

interface Version {
  readonly data: unknown;
  readonly created: string;
  deletion: string;
  destroyed: boolean;
}

interface Entry {
  notes: Record<string, string> | null;
  readonly versions: Version[];
}

interface Token {
  readonly policy: string;
  until: number;
  readonly maxUntil: number;
}

/** What a policy permits: a method and the beginning of a path. */
type Rule = readonly [method: string, path: string];

/**
 * HashiCorp Vault for tests: KV version 2 with check-and-set and custom metadata, tokens with policies, a life and an end
 * to renewals, and logins by AppRole and by the token of another issuer. https://developer.hashicorp.com/vault/api-docs
 */
export class VaultServer extends LoopbackServer {
  readonly entries = new Map<string, Entry>();
  readonly tokens = new Map<string, Token>();
  /** By role ID and secret ID, or by role and token of another issuer: the policy. */
  readonly logins = new Map<string, string>();
  readonly policies = new Map<string, readonly Rule[]>();
  readonly counts = new Map<string, number>();
  readonly transitKeys = new Map<string, Buffer>();
  /** Roles whose secret IDs are made to be wrapped, with the role ID that each belongs to. */
  readonly runners = new Map<string, { readonly roleId: string; readonly policy: string }>();
  /** What is wrapped, by its token: gone once it is unwrapped. */
  readonly wrapped = new Map<string, { readonly creation_path: string; readonly secret_id: string }>();
  /** The version of the KV engine. */
  kv: 1 | 2 = 2;
  tokenSeconds = 3600;
  maxSeconds = 7200;
  namespace: string | null = null;
  fault: (request: { readonly method: string; readonly path: string }) => Fault | undefined = () => undefined;

  createToken(policy: string, seconds = this.tokenSeconds): string {
    const token = `hvs.fake-${randomUUID()}`;
    const now = Date.now();
    this.tokens.set(token, { policy, until: now + seconds * 1000, maxUntil: now + this.maxSeconds * 1000 });
    return token;
  }

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const path = url.pathname.replace(/^\/v1\//, '');
    const method = url.searchParams.get('list') === 'true' ? 'LIST' : (request.method ?? '');
    const body = JSON.parse(Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString() || '{}');
    const kind = path.endsWith('/login')
      ? 'login'
      : path === 'auth/token/renew-self'
        ? 'renew'
        : `${method} ${path.split('/')[1]}`;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    const fault = this.fault({ method, path });
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'error') return send(response, fault.status, { errors: [fault.message ?? fault.code] });
    if (this.namespace && request.headers['x-vault-namespace'] !== this.namespace)
      return send(response, 404, { errors: [] });
    if (kind === 'login') return this.#logIn(body, response);
    const given = String(request.headers['x-vault-token'] ?? '');
    if (path.startsWith('sys/wrapping/')) return this.#unwrap(path, given, body.token, response);
    const token = this.tokens.get(given);
    if (!token || token.until <= Date.now()) return send(response, 403, { errors: ['permission denied'] });
    if (kind === 'renew') return this.#renew(given, token, response);
    if (path === 'auth/token/lookup-self') {
      const ttl = Math.floor((token.until - Date.now()) / 1000);
      return send(response, 200, { data: { ttl, renewable: true } });
    }
    const permitted = (this.policies.get(token.policy) ?? []).some(
      ([verb, prefix]) => verb === method && path.startsWith(prefix),
    );
    if (!permitted) return send(response, 403, { errors: ['1 error occurred: permission denied'] });
    if (path.startsWith('auth/')) return this.#makeSecretId(path, request.headers['x-vault-wrap-ttl'], response);
    if (path.startsWith('transit/')) return this.#transit(path, body, response);
    if (this.kv === 1) return this.#kv1(method, path, body, response);
    this.#kv(method, path, url.searchParams, body, response);
  }

  /** https://developer.hashicorp.com/vault/api-docs/secret/transit */
  #transit(path: string, body: Record<string, string>, response: ServerResponse): void {
    const [, what, name = ''] = path.split('/');
    const key = this.transitKeys.get(name) ?? randomBytes(32);
    this.transitKeys.set(name, key);
    const context = Buffer.from(body.associated_data ?? '', 'base64');
    if (what === 'encrypt') {
      const blob = sealed(key, Buffer.from(body.plaintext ?? '', 'base64'), context).toString('base64');
      return send(response, 200, { data: { ciphertext: `vault:v1:${blob}`, key_version: 1 } });
    }
    const text = body.ciphertext ?? '';
    const blob = Buffer.from(text.replace(/^vault:v1:/, ''), 'base64');
    try {
      // Not Node's own leniency: what was sent must be exactly what was given out.
      if (`vault:v1:${blob.toString('base64')}` !== text) throw new Error('not base64');
      const plain = opened(key, blob, context);
      send(response, 200, { data: { plaintext: plain.toString('base64') } });
    } catch {
      send(response, 400, { errors: ['cipher: message authentication failed'] });
    }
  }

  #logIn(body: Record<string, string>, response: ServerResponse): void {
    const policy = this.logins.get(`${body.role_id ?? body.role} ${body.secret_id ?? body.jwt}`);
    if (!policy) return send(response, 400, { errors: ['invalid role or secret ID'] });
    const client_token = this.createToken(policy);
    send(response, 200, { auth: { client_token, lease_duration: this.tokenSeconds, renewable: true } });
  }

  /** https://developer.hashicorp.com/vault/api-docs/auth/approle#generate-new-secret-id */
  #makeSecretId(path: string, ttl: string | string[] | undefined, response: ServerResponse): void {
    const runner = this.runners.get(/^auth\/approle\/role\/([^/]+)\/secret-id$/.exec(path)?.[1] ?? '');
    if (!runner) return send(response, 404, { errors: [] });
    const secret_id = randomUUID();
    this.logins.set(`${runner.roleId} ${secret_id}`, runner.policy);
    if (!ttl) return send(response, 200, { data: { secret_id } });
    const token = `hvs.wrapping-${randomUUID()}`;
    this.wrapped.set(token, { creation_path: path, secret_id });
    send(response, 200, { wrap_info: { token, ttl: 60, creation_path: path } });
  }

  /** https://developer.hashicorp.com/vault/api-docs/system/wrapping-unwrap */
  #unwrap(path: string, given: string, named: string | undefined, response: ServerResponse): void {
    const token = named ?? given;
    const found = this.wrapped.get(token);
    if (!found) return send(response, 400, { errors: ['wrapping token is not valid or does not exist'] });
    if (path.endsWith('/lookup')) return send(response, 200, { data: { creation_path: found.creation_path } });
    this.wrapped.delete(token);
    send(response, 200, { data: { secret_id: found.secret_id } });
  }

  #kv1(method: string, path: string, body: RequestBody, response: ServerResponse): void {
    const name = path.split('/').slice(1).map(decodeURIComponent).join('/');
    if (method === 'LIST') return this.#keysBelow(name, response);
    if (method === 'POST') {
      this.entries.set(name, { notes: null, versions: [{ data: body, created: '', deletion: '', destroyed: false }] });
      return send(response, 204, null);
    }
    if (method === 'DELETE') {
      this.entries.delete(name);
      return send(response, 204, null);
    }
    const data = this.entries.get(name)?.versions[0]?.data;
    if (data) this.counts.set('value', (this.counts.get('value') ?? 0) + 1);
    send(response, data ? 200 : 404, data ? { data } : { errors: [] });
  }

  #keysBelow(name: string, response: ServerResponse): void {
    const folder = name === '' ? '' : `${name}/`;
    const below = [...this.entries.keys()]
      .filter((key) => key.startsWith(folder))
      .map((key) => key.slice(folder.length).replace(/\/.*/, '/'));
    const keys = [...new Set(below)];
    return keys.length > 0 ? send(response, 200, { data: { keys } }) : send(response, 404, { errors: [] });
  }

  #renew(client_token: string, token: Token, response: ServerResponse): void {
    token.until = Math.min(Date.now() + this.tokenSeconds * 1000, token.maxUntil);
    const lease_duration = Math.max(0, Math.floor((token.until - Date.now()) / 1000));
    send(response, 200, { auth: { client_token, lease_duration, renewable: true } });
  }

  #kv(method: string, path: string, query: URLSearchParams, body: RequestBody, response: ServerResponse): void {
    const [, area, ...rest] = path.split('/').map(decodeURIComponent);
    const name = rest.join('/');
    const entry = this.entries.get(name);
    if (method === 'LIST') return this.#keysBelow(name, response);
    if (area === 'metadata') return this.#metadata(method, name, entry, body, response);
    if (method === 'POST') {
      const known = entry ?? { notes: null, versions: [] };
      const { cas } = body.options ?? {};
      if (cas !== undefined && cas !== known.versions.length) {
        return send(response, 400, { errors: ['check-and-set parameter did not match the current version'] });
      }
      known.versions.push({
        data: body.data,
        created: new Date().toISOString(),
        deletion: '',
        destroyed: false,
      });
      this.entries.set(name, known);
      return send(response, 200, { data: { version: known.versions.length } });
    }
    const number = Number(query.get('version') ?? entry?.versions.length ?? 0);
    const version = entry?.versions[number - 1];
    if (!entry || !version) return send(response, 404, { errors: [] });
    const metadata = {
      version: number,
      custom_metadata: entry.notes,
      deletion_time: version.deletion,
      destroyed: version.destroyed,
    };
    if (version.deletion || version.destroyed) return send(response, 404, { data: { data: null, metadata } });
    send(response, 200, { data: { data: version.data, metadata } });
  }

  #metadata(method: string, name: string, entry: Entry | undefined, body: RequestBody, response: ServerResponse): void {
    if (method === 'DELETE') {
      this.entries.delete(name);
      return send(response, 204, null);
    }
    if (method === 'POST') {
      const notes = body.custom_metadata ?? {};
      if (entry) entry.notes = notes;
      else this.entries.set(name, { notes, versions: [] });
      return send(response, 204, null);
    }
    if (!entry) return send(response, 404, { errors: [] });
    const versions = Object.fromEntries(
      entry.versions.map(({ created, deletion, destroyed }, i) => [
        i + 1,
        { created_time: created, deletion_time: deletion, destroyed },
      ]),
    );
    send(response, 200, { data: { current_version: entry.versions.length, custom_metadata: entry.notes, versions } });
  }
}

function send(response: ServerResponse, status: number, body: object | null): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(body === null ? undefined : JSON.stringify(body));
}
