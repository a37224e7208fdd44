import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Fault } from './fault.ts';
import { closeServer, endpointOf, listenOnLoopback } from './loopback.ts';
import type { TestCertificate } from './tls.ts';

type Verb = 'get' | 'list' | 'create' | 'delete' | 'update' | 'patch';

interface KubernetesObject {
  readonly metadata: {
    readonly name: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
    readonly creationTimestamp: string;
    readonly resourceVersion: string;
  };
  readonly data: Record<string, string>;
  readonly immutable?: boolean;
}

const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
const LABEL = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/**
 * The part of Kubernetes' API that is about Secrets, for tests: bearer tokens with verbs for each namespace, label selectors,
 * pages with `continue`, answers of metadata only, names and labels checked.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/
 */
export class KubernetesServer implements AsyncDisposable {
  /** By namespace and name. */
  readonly secrets = new Map<string, KubernetesObject>();
  /** What the holder of a token may do with the secrets of a namespace. */
  readonly tokens = new Map<string, { readonly namespace: string; readonly verbs: readonly Verb[] }>();
  readonly counts = new Map<string, number>();
  /** How many values went over the wire. */
  valuesSent = 0;
  fault: (verb: Verb) => Fault | undefined = () => undefined;
  readonly #server;
  #revision = 1000;

  constructor(certificate: TestCertificate) {
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

  /** As `kubectl` or an operator would put it there. */
  put(namespace: string, name: string, data: Record<string, string>, more: object = {}): void {
    const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
    this.secrets.set(`${namespace}/${name}`, {
      data: Object.fromEntries(encoded),
      ...more,
      metadata: {
        ...(more as { metadata?: object }).metadata,
        name,
        creationTimestamp: new Date().toISOString(),
        resourceVersion: String(++this.#revision),
      },
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'https://localhost');
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString();
    const [, namespace = '', name] = /^\/api\/v1\/namespaces\/([^/]+)\/secrets(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
    const verb = verbOf(request.method ?? '', name);
    this.counts.set(verb, (this.counts.get(verb) ?? 0) + 1);
    const fault = this.fault(verb);
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'error') return status(response, fault.status, fault.code, fault.message);
    const token = this.tokens.get(/^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '');
    if (!token) return status(response, 401, 'Unauthorized');
    if (token.namespace !== namespace || !token.verbs.includes(verb)) return status(response, 403, 'Forbidden');
    const bare = /as=PartialObjectMetadata/.test(request.headers.accept ?? '');
    if (verb === 'list') return this.#list(namespace, url.searchParams, bare, response);
    if (verb === 'create') return this.#create(namespace, JSON.parse(body), bare, response);
    const found = this.secrets.get(`${namespace}/${decodeURIComponent(name ?? '')}`);
    if (!found) return status(response, 404, 'NotFound');
    if (verb === 'delete') {
      this.secrets.delete(`${namespace}/${found.metadata.name}`);
      return status(response, 200, 'Success');
    }
    if (verb === 'get') return send(response, 200, this.#shown(found, bare));
    status(response, 405, 'MethodNotAllowed');
  }

  #list(namespace: string, query: URLSearchParams, bare: boolean, response: ServerResponse): void {
    const wanted = (query.get('labelSelector') ?? '').split(',').map((part) => part.split('=') as [string, string]);
    const found = [...this.secrets.entries()]
      .filter(([key]) => key.startsWith(`${namespace}/`))
      .map(([, object]) => object)
      .filter(({ metadata }) => wanted.every(([key, value]) => !key || metadata.labels?.[key] === value))
      .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    const from = Number(query.get('continue') || 0);
    const size = Number(query.get('limit') || 500);
    const more = from + size < found.length ? { continue: String(from + size) } : {};
    const items = found.slice(from, from + size).map((object) => this.#shown(object, bare));
    send(response, 200, { kind: bare ? 'PartialObjectMetadataList' : 'SecretList', metadata: more, items });
  }

  #create(namespace: string, object: KubernetesObject, bare: boolean, response: ServerResponse): void {
    const { name, labels = {} } = object.metadata;
    if (!NAME.test(name) || name.length > 253 || !Object.values(labels).every((value) => LABEL.test(value)))
      return status(response, 422, 'Invalid');
    if (JSON.stringify(object).length > 1_500_000) return status(response, 413, 'RequestEntityTooLarge');
    if (this.secrets.has(`${namespace}/${name}`)) return status(response, 409, 'AlreadyExists');
    const metadata = {
      ...object.metadata,
      creationTimestamp: new Date().toISOString(),
      resourceVersion: String(++this.#revision),
    };
    this.secrets.set(`${namespace}/${name}`, { ...object, metadata });
    send(response, 201, this.#shown({ ...object, metadata }, bare));
  }

  #shown(object: KubernetesObject, bare: boolean): object {
    if (bare) return { kind: 'PartialObjectMetadata', metadata: object.metadata };
    this.valuesSent++;
    return { kind: 'Secret', ...object };
  }
}

function verbOf(method: string, name: string | undefined): Verb {
  if (method === 'POST') return 'create';
  if (method === 'DELETE') return 'delete';
  if (method === 'PUT') return 'update';
  if (method === 'PATCH') return 'patch';
  return name === undefined ? 'list' : 'get';
}

function status(response: ServerResponse, code: number, reason: string, message = reason): void {
  send(response, code, {
    kind: 'Status',
    apiVersion: 'v1',
    status: code < 300 ? 'Success' : 'Failure',
    reason,
    message,
    code,
  });
}

function send(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
