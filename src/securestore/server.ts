import { createHash, randomUUID } from 'node:crypto';
import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Guesses } from '../access/guesses.ts';
import { describeError, LockgateError } from '../contract/errors.ts';
import { VERSION } from '../version.ts';
import { openApi } from './openapi.ts';
import { Labels, MAX_VALUE_BYTES, type Operations, parsed, type Request } from './operations.ts';
import type { StoredSecret } from './store.ts';
import type { Doorkeeper, StoreToken } from './who.ts';

export interface ServerParts {
  readonly operations: Operations;
  readonly door: Doorkeeper;
  /** Null: it is open; otherwise why it is sealed. */
  readonly sealed: () => string | null;
  readonly isAlive: () => Promise<boolean>;
  readonly tls: { readonly cert: string; readonly key: string; readonly clientCa: string | null } | null;
  readonly failuresPerMinute: number;
  /** Somebody knocked whom nobody knows. */
  readonly denied: (remote: string, requestId: string) => Promise<void>;
  readonly tokens: {
    list(): Promise<StoreToken[]>;
    create(wish: { name: string; createdBy: string; expiresAt: Date }): Promise<{ token: string; id: string }>;
    revoke(id: string): Promise<void>;
  };
  readonly audit: {
    read(after: number, limit: number): Promise<string[]>;
    verify(): Promise<object>;
  };
  readonly log: (line: { requestId: string; method: string; route: string; status: number; ms: number }) => void;
}

/** How long what is under way may take when the server stops, in milliseconds. */
const LAST_WORDS_MS = 2000;
const DAY_MS = 24 * 3_600_000;
const PATH = '/v1/workspaces/:workspace/secrets';

/** HTTP status by the code of an error; what is not here is a server's own failure. */
const STATUS: Readonly<Record<string, number>> = {
  unauthenticated: 401,
  forbidden: 403,
  secret_not_found: 404,
  token_not_found: 404,
  route_not_found: 404,
  precondition_failed: 412,
  type_differs: 409,
  secret_deleted: 409,
  version_disabled: 409,
  version_destroyed: 410,
  value_too_large: 413,
  invalid_input: 400,
  invalid_workspace: 400,
  invalid_secret_id: 400,
  rate_limited: 429,
  store_sealed: 503,
  key_refused: 503,
  key_unavailable: 503,
  audit_unavailable: 503,
};

type Handler = (asked: Asked) => Promise<unknown>;
type AddRoute = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, handler: Handler) => void;

interface Asked {
  readonly request: Request;
  readonly where: { workspace: string; secretId: string };
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string | undefined>>;
  readonly body: unknown;
  readonly headers: FastifyRequest['headers'];
  readonly reply: FastifyReply;
}

/** HTTP/2 over TLS, and HTTP/1.1 where the other side speaks no other. Not listening yet. */
export function openServer(parts: ServerParts): FastifyInstance {
  const app = fastify({
    ...transport(parts),
    bodyLimit: 2 * MAX_VALUE_BYTES,
    logger: false,
  } as object) as unknown as FastifyInstance;
  const guesses = new Guesses(parts.failuresPerMinute);
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, body === '' ? {} : JSON.parse(String(body)));
    } catch {
      // Not the parser's own message: it quotes the text, which may be a value.
      done(new LockgateError('invalid_input', 'The body is not JSON.') as Error);
    }
  });
  app.addHook('onSend', async (request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
    reply.header('lockgate-request-id', request.id);
  });
  app.addHook('onResponse', async (request, reply) => {
    const { id: requestId, method } = request;
    const route = request.routeOptions.url ?? 'none';
    parts.log({ requestId, method, route, status: reply.statusCode, ms: Math.round(reply.elapsedTime) });
  });
  app.setErrorHandler((error, _request, reply) => fail(error, reply));
  app.setNotFoundHandler((_request, reply) =>
    fail(new LockgateError('route_not_found', 'There is no such route.', 'See /openapi.json.'), reply),
  );
  const route: AddRoute = (method, url, handler) =>
    void app.route({
      method,
      url,
      handler: async (request, reply) => {
        const who = await enter(parts, guesses, request);
        const sealed = parts.sealed();
        if (sealed !== null) throw new LockgateError('store_sealed', 'SecureStore is sealed.', sealed);
        const params = request.params as Record<string, string>;
        const { workspace = '', secret: secretId = '' } = params;
        const query = request.query as Record<string, string | undefined>;
        const { body, headers } = request;
        return handler({ request: who, where: { workspace, secretId }, params, query, body, headers, reply });
      },
    });
  endConnections(app);
  addPublic(app, parts);
  addSecrets(route, parts);
  addStore(route, parts);
  return app;
}

function transport({ tls }: ServerParts): object {
  const common = { genReqId: () => randomUUID(), forceCloseConnections: true };
  if (!tls) return common;
  const ca = tls.clientCa ? { ca: tls.clientCa, requestCert: true, rejectUnauthorized: false } : {};
  return {
    ...common,
    http2: true,
    https: { allowHTTP1: true, cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2', ...ca },
  };
}

/** A server over HTTP/2 would wait for whoever keeps a connection: what is under way may end, and no more is taken. */
function endConnections(app: FastifyInstance): void {
  const sessions = new Set<Http2Session>();
  const sockets = new Set<Socket>();
  app.server.on('session', (session: Http2Session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  for (const event of ['connection', 'secureConnection']) {
    app.server.on(event, (socket: Socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
  }
  app.addHook('preClose', async () => {
    for (const session of sessions) session.close();
    setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, LAST_WORDS_MS);
  });
}

async function enter(parts: ServerParts, guesses: Guesses, request: FastifyRequest): Promise<Request> {
  const { ip: remote, id: requestId, raw } = request;
  guesses.assertMay(remote, keyOf(request));
  const stream = (raw as { stream?: { session?: { socket?: TLSSocket } } }).stream;
  const socket = stream?.session?.socket ?? (raw.socket as TLSSocket);
  try {
    const who = await parts.door.whoIs({ authorization: request.headers.authorization, socket });
    guesses.letIn(keyOf(request));
    return { who, remote, requestId };
  } catch (error) {
    if ((error as LockgateError).code === 'unauthenticated') {
      guesses.note(remote);
      await parts.denied(remote, requestId);
    }
    throw error;
  }
}

/** By a hash, never the token itself. */
function keyOf({ headers, ip }: FastifyRequest): string {
  return createHash('sha256')
    .update(headers.authorization ?? ip)
    .digest('hex');
}

function addPublic(app: FastifyInstance, parts: ServerParts): void {
  app.get('/healthz', async () => ({ ok: true }));
  app.get('/readyz', async (_request, reply) => {
    const sealed = parts.sealed();
    const alive = await parts.isAlive();
    return reply.code(alive && sealed === null ? 200 : 503).send({
      ok: alive && sealed === null,
      sealed: sealed !== null,
      ...(sealed ? { why: sealed } : {}),
      database: alive,
    });
  });
  app.get('/openapi.json', async () => openApi(VERSION));
}

function addSecrets(route: AddRoute, { operations }: ServerParts): void {
  route('GET', PATH, async ({ request, where, query }) => {
    const limit = Math.min(1000, Math.max(1, Number(query.pageSize) || 100));
    const after = Buffer.from(query.pageToken ?? '', 'base64url').toString('utf8');
    const { items, next } = await operations.list(request, where.workspace, { type: query.type ?? null, after, limit });
    return {
      items: items.map(shown),
      ...(next === null ? {} : { nextPageToken: Buffer.from(next).toString('base64url') }),
    };
  });
  route('GET', `${PATH}/:secret`, async ({ request, where }) => {
    const { versions, ...secret } = await operations.describe(request, where);
    return { ...shown(secret), versions };
  });
  route('PATCH', `${PATH}/:secret`, async ({ request, where, body, headers }) => {
    const { labels } = parsed(z.strictObject({ labels: Labels }), body);
    const etag = /^"?(\d+)"?$/.exec(String(headers['if-match'] ?? ''))?.[1] ?? null;
    return shown(await operations.label(request, where, labels, etag));
  });
  route('DELETE', `${PATH}/:secret`, async ({ request, where }) => operations.delete(request, where));
  route('POST', `${PATH}/:secret/undelete`, async ({ request, where }) => {
    await operations.undelete(request, where);
    return { ok: true };
  });
  route('POST', `${PATH}/:secret/versions`, async ({ request, where, body, headers, reply }) => {
    const key = headers['idempotency-key'];
    const wanted = typeof key === 'string' ? key.slice(0, 200) : undefined;
    const { version, repeated } = await operations.add(request, where, body, wanted);
    reply.code(repeated ? 200 : 201);
    return { name: `workspaces/${where.workspace}/secrets/${where.secretId}/versions/${version}`, version };
  });
  // A value is asked for by POST, so that no cache and no log of addresses has a part in it.
  route('POST', `${PATH}/:secret/versions/:version/reveal`, async ({ request, where, params, body }) => {
    const { secret, version, value } = await operations.reveal(request, where, versionOf(params, true), body);
    return { ...shown(secret), version, value: JSON.parse(value.reveal()) };
  });
  for (const [verb, state] of [
    ['disable', 'disabled'],
    ['enable', 'enabled'],
    ['destroy', 'destroyed'],
  ] as const) {
    route('POST', `${PATH}/:secret/versions/:version/${verb}`, async ({ request, where, params }) => {
      await operations.setState(request, where, versionOf(params, false) as number, state);
      return { ok: true };
    });
  }
}

function addStore(route: AddRoute, { operations, tokens, audit }: ServerParts): void {
  route('GET', '/v1/tokens', ({ request }) =>
    operations.ofStore(request, 'tokens', async () => ({ items: await tokens.list() })),
  );
  route('POST', '/v1/tokens', ({ request, body }) => {
    const wish = z.strictObject({
      name: z.string().regex(/^[\w.-]{1,100}$/),
      expiresInDays: z.int().min(1).max(3650).default(90),
    });
    const { name, expiresInDays } = parsed(wish, body);
    const expiresAt = new Date(Date.now() + expiresInDays * DAY_MS);
    return operations.ofStore(request, 'tokens', () => tokens.create({ name, createdBy: request.who.id, expiresAt }));
  });
  route('DELETE', '/v1/tokens/:id', ({ request, params }) =>
    operations.ofStore(request, 'tokens', async () => {
      await tokens.revoke(params.id ?? '');
      return { ok: true };
    }),
  );
  route('GET', '/v1/audit', async ({ request, query, reply }) => {
    const limit = Math.min(10_000, Math.max(1, Number(query.limit) || 1000));
    const lines = await operations.ofStore(request, 'audit', () => audit.read(Number(query.after) || 0, limit));
    reply.type('application/jsonl; charset=utf-8');
    return lines.map((line) => `${line}\n`).join('');
  });
  route('GET', '/v1/audit/verify', ({ request }) => operations.ofStore(request, 'audit', () => audit.verify()));
}

function versionOf({ version = '' }: Readonly<Record<string, string>>, latest: boolean): number | 'latest' {
  if (latest && version === 'latest') return version;
  if (/^[1-9]\d{0,8}$/.test(version)) return Number(version);
  throw new LockgateError('invalid_input', 'This is no number of a version.');
}

function shown({ workspace, id, type, labels, scope, expiresAt, etag, createdAt, createdBy }: StoredSecret): object {
  return {
    name: `workspaces/${workspace}/secrets/${id}`,
    id,
    type,
    labels,
    scope,
    expiresAt,
    etag,
    createdAt,
    createdBy,
  };
}

function fail(error: unknown, reply: FastifyReply): FastifyReply {
  const described = describeError(error);
  // Fastify's own refusals, such as a body that is too long: their status, and no words of theirs.
  const own = (error as { statusCode?: unknown; code?: unknown }) ?? {};
  const framework =
    typeof own.statusCode === 'number' && String(own.code).startsWith('FST_') ? own.statusCode : undefined;
  const status = STATUS[described.code] ?? framework ?? 500;
  if (status === 429) reply.header('retry-after', '60');
  if (status === 401) reply.header('www-authenticate', 'Bearer');
  const { code, message, hint } = framework
    ? { code: 'invalid_input', message: 'The request is not of the form that this takes.', hint: undefined }
    : described;
  return reply.code(status).send({ error: { code, message, ...(hint ? { hint } : {}) } });
}
