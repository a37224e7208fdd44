import { createHash, randomUUID } from 'node:crypto';
import cookie from '@fastify/cookie';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { Guesses } from '../access/guesses.ts';
import { type Endpoint, pathFields } from '../contract/api/endpoint.ts';
import { API, type OperationName } from '../contract/api/index.ts';
import { LockgateError } from '../contract/errors.ts';
import { traced } from '../layers/traced.ts';
import type { Caller } from '../service/parts.ts';
import { docsPage } from './docs-page.ts';
import { answerOf } from './errors.ts';
import { Metrics } from './metrics.ts';
import { withoutMistyped } from './mistyped.ts';
import { openApi } from './openapi.ts';
import type { HttpParts } from './parts.ts';
import { addSignIn, type Guarded, sessionOf } from './sign-in.ts';
import { addStreams } from './streams.ts';
import { addWeb } from './web.ts';

const MAX_BODY_BYTES = 1024 * 1024;
/** Of what a caller may ask, this part may be without a valid token. */
const GUESS_SHARE = 4;

export type Authenticated = FastifyRequest & { caller?: Caller };

/** The routes of the interface, each of them an operation of the service. Not listening yet. */
export async function openHttp(parts: HttpParts): Promise<FastifyInstance> {
  const { tls } = parts;
  const app = fastify({
    ...(tls ? { https: { cert: tls.cert, key: tls.key } } : {}),
    bodyLimit: MAX_BODY_BYTES,
    trustProxy: parts.trustedProxies.length > 0 ? [...parts.trustedProxies] : false,
    genReqId: () => randomUUID(),
    forceCloseConnections: 'idle',
    // What is too long is refused by the schemas, in words of ours.
    routerOptions: { maxParamLength: 64 * 1024 },
    frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
      fail(parts, error, request, reply),
    // Ours says the same without the path's query.
    logger: false,
  } as object) as unknown as FastifyInstance;
  const metrics = new Metrics(parts);
  await addGuards(app, parts);
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    metrics.request(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    const { method, id: requestId } = request;
    const actor = (request as Authenticated).caller?.actor;
    parts.log.info(
      { requestId, method, route, status: reply.statusCode, ms: Math.round(reply.elapsedTime), actor },
      'request',
    );
  });
  app.setErrorHandler((error, request, reply) => fail(parts, error, request, reply));
  const web = await addWeb(app);
  app.setNotFoundHandler((request, reply) =>
    web.wants(request)
      ? web.page(reply)
      : fail(parts, new LockgateError('route_not_found', 'There is no such route.', 'See /docs.'), request, reply),
  );
  // A body that a route does not want is not a mistake worth refusing.
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, body === '' ? {} : JSON.parse(String(body)));
    } catch {
      // Not the parser's own message: it quotes the text.
      done(new LockgateError('invalid_input', 'The body is not JSON.', 'Send one JSON object.') as Error);
    }
  });
  const guesses = new Guesses(Math.ceil(parts.requestsPerMinute / GUESS_SHARE));
  const caller: WhoAsks = (request) => callerOf(parts, guesses, request);
  addPublic(app, parts, metrics, caller);
  addSignIn(app, parts, guardedBy(guesses));
  for (const [name, endpoint] of Object.entries(API) as [OperationName, Endpoint][])
    addRoute(app, parts, caller, name, endpoint);
  addStreams(app, parts, caller);
  return app;
}

async function addGuards(app: FastifyInstance, { requestsPerMinute, tls }: HttpParts): Promise<void> {
  await app.register(cookie);
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    hsts: tls !== null,
    referrerPolicy: { policy: 'no-referrer' },
  });
  await app.register(rateLimit, {
    max: requestsPerMinute,
    timeWindow: '1 minute',
    // By who asks where that is known, so that those behind one address do not share a budget; by a hash, never the token itself.
    keyGenerator: (request) => keyOf(request),
    errorResponseBuilder: () =>
      new LockgateError('rate_limited', 'Too many requests.', 'Wait as long as Retry-After says.') as never,
  });
  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
  });
  app.addHook('onSend', async (request, reply) => {
    if (closing) reply.header('connection', 'close');
    reply.header('cache-control', reply.getHeader('cache-control') ?? 'no-store');
    reply.header('lockgate-request-id', request.id);
  });
}

function keyOf(request: FastifyRequest): string {
  const shown = request.headers.authorization ?? request.headers.cookie;
  return shown ? createHash('sha256').update(shown).digest('hex') : request.ip;
}

/** Counts what is refused as a guess of the address that it came from. */
function guardedBy(guesses: Guesses): Guarded {
  return async (request, work) => {
    guesses.assertMay(request.ip, request.ip);
    try {
      return await work();
    } catch (error) {
      if ((error as LockgateError).code === 'unauthenticated') guesses.note(request.ip);
      throw error;
    }
  };
}

async function callerOf(parts: HttpParts, guesses: Guesses, request: FastifyRequest): Promise<Caller> {
  const wanted = request.headers['lockgate-workspace'];
  guesses.assertMay(request.ip, keyOf(request));
  try {
    const workspace = typeof wanted === 'string' ? wanted : undefined;
    const { authorization } = request.headers;
    const session = authorization === undefined ? sessionOf(request) : undefined;
    const caller = await parts.authenticate({ authorization, session }, workspace);
    (request as Authenticated).caller = caller;
    guesses.letIn(keyOf(request));
    return caller;
  } catch (error) {
    if ((error as LockgateError).code === 'unauthenticated') guesses.note(request.ip);
    throw error;
  }
}

type WhoAsks = (request: FastifyRequest) => Promise<Caller>;

function addRoute(
  app: FastifyInstance,
  parts: HttpParts,
  whoAsks: WhoAsks,
  name: OperationName,
  { method, path }: Endpoint,
): void {
  const inPath = pathFields(path);
  app.route({
    method,
    url: path.replace(/\{(\w+)\}/g, ':$1'),
    handler: async (request, reply) => {
      const caller = await whoAsks(request);
      const given = method === 'GET' || method === 'DELETE' ? request.query : request.body;
      const fields = typeof given === 'object' && given !== null && !Array.isArray(given) ? given : {};
      if (given !== undefined && given !== null && fields !== given)
        throw new LockgateError('invalid_input', 'The body is no JSON object.', 'Send one JSON object.');
      // What stands in the path is what is meant, whatever the body says.
      const params = request.params as Record<string, string>;
      const input = { ...fields, ...Object.fromEntries(inPath.map((field) => [field, params[field]])) };
      const span = { 'http.request.method': method, 'http.route': path, 'lockgate.request_id': request.id };
      const about = { name: `${method} ${path}`, kind: 'server' as const, attributes: span, headers: request.headers };
      const answer = await traced(about, () => parts.perform(caller, name, input as never));
      return send(parts, reply, 200, answer);
    },
  });
}

function addPublic(app: FastifyInstance, parts: HttpParts, metrics: Metrics, whoAsks: WhoAsks): void {
  const description = JSON.stringify(openApi());
  const { html, style } = docsPage();
  const styleHash = createHash('sha256').update(style).digest('base64');
  app.get('/healthz', async (_request, reply) => send(parts, reply, 200, { ok: true }));
  app.get('/readyz', async (_request, reply) => {
    const found = await parts.ready();
    const ok = found.every((each) => each.ok);
    return send(parts, reply, ok ? 200 : 503, { ok, parts: found });
  });
  app.get('/openapi.json', async (_request, reply) => reply.type('application/json').send(description));
  app.get('/docs', async (_request, reply) =>
    reply
      .header('content-security-policy', `default-src 'none'; style-src 'sha256-${styleHash}'; frame-ancestors 'none'`)
      .type('text/html; charset=utf-8')
      .send(html),
  );
  app.get('/metrics', async (request, reply) => {
    if (!parts.openMetrics && !(await whoAsks(request)).everywhere)
      throw new LockgateError('forbidden', 'Metrics need a token of the whole deployment.');
    return reply.type(metrics.contentType).send(await metrics.text());
  });
}

export function send(
  parts: Pick<HttpParts, 'scrub'>,
  reply: FastifyReply,
  status: number,
  body: unknown,
): FastifyReply {
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .send(parts.scrub(JSON.stringify(body)));
}

function fail(parts: HttpParts, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = fastifyError(error) ?? error;
  const { status, body } = answerOf(known);
  if (status === 401) reply.header('www-authenticate', 'Bearer');
  if (status >= 500) parts.log.error({ requestId: request.id, code: body.error.code }, 'request failed');
  const text = withoutMistyped(JSON.stringify(body), request.params, request.query, request.body, request.headers);
  return reply.code(status).type('application/json; charset=utf-8').send(parts.scrub(text));
}

/** The framework's own refusals, in our words: theirs may quote what came in. */
function fastifyError(error: unknown): LockgateError | null {
  const { code = '', statusCode = 0 } = error as { code?: string; statusCode?: number };
  if (error instanceof LockgateError || !code.startsWith('FST_')) return null;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return input('The body is larger than 1 MiB.');
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return input('The body must be application/json.');
  return statusCode >= 400 && statusCode < 500 ? input('The request cannot be read.') : null;
}

function input(message: string): LockgateError {
  return new LockgateError('invalid_input', message, 'See /docs.');
}
