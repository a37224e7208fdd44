import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Fault } from './fault.ts';
import type { GcsServer } from './gcs.ts';
import { LoopbackServer } from './loopback.ts';

interface RequestBody {
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly payload?: { readonly data: string };
}

type Action = 'list' | 'get' | 'create' | 'delete' | 'addVersion' | 'versions' | 'access' | 'update';

interface StoredVersion {
  readonly data: string;
  readonly createTime: string;
  state: 'ENABLED' | 'DISABLED' | 'DESTROYED';
}

interface StoredSecret {
  readonly name: string;
  readonly labels: Record<string, string>;
  annotations: Record<string, string>;
  readonly versions: StoredVersion[];
}

const STATUS = {
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  UNAUTHENTICATED: 401,
  FAILED_PRECONDITION: 400,
  RESOURCE_EXHAUSTED: 429,
  UNAVAILABLE: 503,
  INVALID_ARGUMENT: 400,
};

/**
 * Google Secret Manager's REST interface for tests. Tokens are those that a token server gave out for assertions that it
 * checked. https://cloud.google.com/secret-manager/docs/reference/rest
 */
export class GcpSecretManagerServer extends LoopbackServer {
  readonly secrets = new Map<string, StoredSecret>();
  readonly counts = new Map<Action, number>();
  /** Accounts that may only do these. */
  readonly permitted = new Map<string, readonly Action[]>();
  fault: (action: Action) => Fault | undefined = () => undefined;
  readonly #tokens: GcsServer;

  constructor(tokens: GcsServer) {
    super();
    this.#tokens = tokens;
  }

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const path = decodeURIComponent(url.pathname).replace(/^\/v1\//, '');
    const action = actionOf(request.method ?? '', path);
    const body = JSON.parse(Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString() || '{}');
    this.counts.set(action, (this.counts.get(action) ?? 0) + 1);
    const fault = this.fault(action);
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'error') return refuse(response, fault.code as keyof typeof STATUS, fault.message);
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const token = this.#tokens.tokens.get(bearer);
    if (!token || !/cloud-platform/.test(token.scope)) return refuse(response, 'UNAUTHENTICATED');
    if (this.permitted.get(token.account)?.includes(action) === false) return refuse(response, 'PERMISSION_DENIED');
    this.#answer(action, path, url.searchParams, body, response);
  }

  #answer(action: Action, path: string, query: URLSearchParams, body: RequestBody, response: ServerResponse): void {
    if (action === 'list') return this.#list(path.slice(0, -'/secrets'.length), query, response);
    if (action === 'create') {
      const name = `${path}/${query.get('secretId')}`;
      if (this.secrets.has(name)) return refuse(response, 'ALREADY_EXISTS');
      const secret = { name, labels: body.labels ?? {}, annotations: body.annotations ?? {}, versions: [] };
      if (Object.values(secret.labels).some((value) => !/^[a-z0-9_-]{0,63}$/.test(value)))
        return refuse(response, 'INVALID_ARGUMENT');
      this.secrets.set(name, secret);
      return sendJson(response, secret);
    }
    const [, name = '', version] = /^(.*?\/secrets\/[^/:]+)(?:\/versions\/?([^/:]*))?(?::\w+)?$/.exec(path) ?? [];
    const secret = this.secrets.get(name);
    if (!secret) return refuse(response, 'NOT_FOUND');
    if (action === 'get') return sendJson(response, { name, labels: secret.labels, annotations: secret.annotations });
    if (action === 'delete') {
      this.secrets.delete(name);
      return sendJson(response, {});
    }
    if (action === 'update') {
      if (query.get('updateMask') !== 'annotations') return refuse(response, 'INVALID_ARGUMENT');
      secret.annotations = body.annotations ?? {};
      return sendJson(response, { name, labels: secret.labels, annotations: secret.annotations });
    }
    if (action === 'addVersion') {
      const { data } = body.payload as { data: string };
      if (Buffer.from(data, 'base64').length > 65_536) return refuse(response, 'INVALID_ARGUMENT');
      secret.versions.push({ data, createTime: new Date().toISOString(), state: 'ENABLED' });
      return sendJson(response, { name: `${name}/versions/${secret.versions.length}`, state: 'ENABLED' });
    }
    if (action === 'versions') {
      const enabled = /state:ENABLED/i.test(query.get('filter') ?? '');
      const all = secret.versions.map(({ createTime, state }, i) => ({
        name: `${name}/versions/${i + 1}`,
        createTime,
        state,
      }));
      return sendJson(response, { versions: all.filter(({ state }) => !enabled || state === 'ENABLED').reverse() });
    }
    const number = version === 'latest' ? secret.versions.length : Number(version);
    const stored = secret.versions[number - 1];
    if (!stored) return refuse(response, 'NOT_FOUND');
    if (stored.state !== 'ENABLED') return refuse(response, 'FAILED_PRECONDITION');
    sendJson(response, { name: `${name}/versions/${number}`, payload: { data: stored.data } });
  }

  #list(parent: string, query: URLSearchParams, response: ServerResponse): void {
    const conditions = (query.get('filter') ?? '').split(' AND ').map((part) => /^labels\.([\w-]+)=(.*)$/.exec(part));
    const found = [...this.secrets.values()]
      .filter(({ name }) => name.startsWith(`${parent}/secrets/`))
      .filter(({ labels }) =>
        conditions.every((condition) => !condition || labels[condition[1] as string] === condition[2]),
      )
      .map(({ name, labels, annotations }) => ({ name, labels, annotations }));
    const from = Number(query.get('pageToken') || 0);
    const size = Math.min(Number(query.get('pageSize') || 100), 250);
    const more = from + size < found.length ? { nextPageToken: String(from + size) } : {};
    sendJson(response, { secrets: found.slice(from, from + size), ...more });
  }
}

function actionOf(method: string, path: string): Action {
  if (path.endsWith(':access')) return 'access';
  if (path.endsWith(':addVersion')) return 'addVersion';
  if (path.endsWith('/versions')) return 'versions';
  if (path.endsWith('/secrets')) return method === 'POST' ? 'create' : 'list';
  if (method === 'PATCH') return 'update';
  return method === 'DELETE' ? 'delete' : 'get';
}

function refuse(response: ServerResponse, status: keyof typeof STATUS, message: string = status): void {
  const code = STATUS[status] ?? 500;
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: { code, message, status } }));
}

function sendJson(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
