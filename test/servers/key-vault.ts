import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { EntraServer } from './entra.ts';
import type { Fault } from './fault.ts';
import { closeServer, endpointOf, listenOnLoopback } from './loopback.ts';
import type { TestCertificate } from './tls.ts';
import { type KeyAction, VaultKeys } from './vault-keys.ts';

const RESOURCE = 'https://vault.azure.net';

interface Version {
  readonly id: string;
  readonly value: string;
  readonly contentType: string;
  readonly tags: Record<string, string>;
  readonly created: number;
  enabled: boolean;
}

type Action = 'set' | 'get' | 'list' | 'versions' | 'delete' | 'recover' | KeyAction;

/**
 * Azure Key Vault for tests: asks for a token by a challenge before it looks at anything, ignores the case of names, keeps
 * what is deleted, pages by few. https://learn.microsoft.com/rest/api/keyvault/
 */
export class KeyVaultServer implements AsyncDisposable {
  /** By the name in lower case, the oldest first. */
  readonly secrets = new Map<string, Version[]>();
  readonly deleted = new Map<string, Version[]>();
  readonly keys = new VaultKeys();
  readonly counts = new Map<Action | 'challenge', number>();
  /** Applications that may only do these. */
  readonly permitted = new Map<string, readonly Action[]>();
  fault: (action: Action) => Fault | undefined = () => undefined;
  readonly #entra: EntraServer;
  readonly #server;
  #clock = Math.floor(Date.now() / 1000);

  constructor(certificate: TestCertificate, entra: EntraServer) {
    this.#entra = entra;
    this.#server = createServer(certificate, (request, response) => void this.#handle(request, response));
  }

  async listen(): Promise<this> {
    await listenOnLoopback(this.#server);
    return this;
  }

  get endpoint(): string {
    return endpointOf(this.#server).replace('http:', 'https:');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeServer(this.#server);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'https://localhost');
    const [, area = '', given = '', part = '', what = ''] = url.pathname.split('/');
    const name = given.toLowerCase();
    const body = JSON.parse(Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString() || '{}');
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const claims = bearer ? this.#entra.verify(bearer, RESOURCE) : null;
    if (!claims) {
      this.#count('challenge');
      const challenge = `Bearer authorization="${this.#entra.authority}/${this.#entra.tenant}", resource="${RESOURCE}"`;
      return send(response, 401, error('Unauthorized', 'AKV10000: Request is missing a Bearer or PoP token.'), {
        'www-authenticate': challenge,
      });
    }
    const keyed = area === 'keys' ? keyAction(what) : null;
    const action = keyed ?? actionOf(request.method ?? '', area, name, part);
    this.#count(action);
    const fault = this.fault(action);
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'error')
      return send(response, fault.status, error(fault.code, fault.message ?? fault.code), fault.headers);
    if (this.permitted.get(claims.appid)?.includes(action) === false)
      return send(response, 403, error('Forbidden', 'Caller is not authorized to perform action on resource.'));
    if (keyed) {
      const { status, body: answer } = this.keys.answer(keyed, this.endpoint, name, part, body);
      return send(response, status, answer);
    }
    this.#answer(action, area, name, part, url, body, response);
  }

  #answer(
    action: Action,
    area: string,
    name: string,
    part: string,
    url: URL,
    body: Record<string, unknown>,
    response: ServerResponse,
  ): void {
    if (area === 'deletedsecrets' && action === 'get') {
      const gone = this.deleted.get(name);
      return gone
        ? send(response, 200, {
            ...this.#describe(name, gone.at(-1) as Version),
            recoveryId: `${this.endpoint}/deletedsecrets/${name}`,
          })
        : send(response, 404, error('SecretNotFound', 'not deleted'));
    }
    if (action === 'recover') {
      const gone = this.deleted.get(name);
      if (!gone) return send(response, 404, error('SecretNotFound', 'not deleted'));
      this.deleted.delete(name);
      this.secrets.set(name, gone);
      return send(response, 200, this.#describe(name, gone.at(-1) as Version));
    }
    if (action === 'list')
      return this.#page(
        [...this.secrets].map(([each, versions]) => this.#describe(each, versions.at(-1) as Version, true)),
        url,
        response,
      );
    if (action === 'set') return this.#set(name, body, response);
    const versions = this.secrets.get(name);
    if (!versions)
      return send(
        response,
        404,
        error('SecretNotFound', `A secret with (name/id) ${name} was not found in this key vault.`),
      );
    if (action === 'versions')
      return this.#page(
        versions.map((version) => this.#describe(name, version)),
        url,
        response,
      );
    if (action === 'delete') {
      this.secrets.delete(name);
      this.deleted.set(name, versions);
      return send(response, 200, {
        ...this.#describe(name, versions.at(-1) as Version),
        recoveryId: `${this.endpoint}/deletedsecrets/${name}`,
      });
    }
    const version = part ? versions.find(({ id }) => id === part) : versions.at(-1);
    if (!version) return send(response, 404, error('SecretNotFound', 'version'));
    if (!version.enabled)
      return send(response, 403, error('Forbidden', 'Operation get is not allowed on a disabled secret.'));
    send(response, 200, { ...this.#describe(name, version), value: version.value });
  }

  #set(name: string, body: Record<string, unknown>, response: ServerResponse): void {
    const { value, contentType, tags } = body as { value: string; contentType: string; tags: Record<string, string> };
    if (!/^[0-9a-z-]{1,127}$/.test(name) || value.length > 25_600)
      return send(response, 400, error('BadParameter', 'name or value'));
    if (this.deleted.has(name))
      return send(response, 409, error('Conflict', `Secret ${name} is currently in a deleted but recoverable state.`));
    const versions = this.secrets.get(name) ?? [];
    const version: Version = {
      id: randomUUID().replaceAll('-', ''),
      value,
      contentType,
      tags,
      created: ++this.#clock,
      enabled: true,
    };
    this.secrets.set(name, [...versions, version]);
    send(response, 200, { ...this.#describe(name, version), value });
  }

  #describe(name: string, { id, contentType, tags, created, enabled }: Version, bare = false): object {
    return {
      id: `${this.endpoint}/secrets/${name}${bare ? '' : `/${id}`}`,
      contentType,
      tags,
      attributes: { enabled, created, updated: created },
    };
  }

  #page(all: readonly object[], url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('$skiptoken') ?? 0);
    const next =
      from + 25 < all.length ? `${this.endpoint}${url.pathname}?api-version=7.5&$skiptoken=${from + 25}` : null;
    send(response, 200, { value: all.slice(from, from + 25), nextLink: next });
  }

  #count(action: Action | 'challenge'): void {
    this.counts.set(action, (this.counts.get(action) ?? 0) + 1);
  }
}

function actionOf(method: string, area: string, name: string, part: string): Action {
  if (area === 'deletedsecrets') return part === 'recover' ? 'recover' : 'get';
  if (name === '') return 'list';
  if (method === 'PUT') return 'set';
  if (method === 'DELETE') return 'delete';
  return part === 'versions' ? 'versions' : 'get';
}

function keyAction(what: string): KeyAction {
  return what === 'wrapkey' ? 'wrapKey' : what === 'unwrapkey' ? 'unwrapKey' : 'getKey';
}

function error(code: string, message: string): object {
  return { error: { code, message } };
}

function send(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
