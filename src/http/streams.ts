import { once } from 'node:events';
import { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { InputError, LockgateError } from '../contract/errors.ts';
import type { Caller } from '../service/parts.ts';
import type { HttpParts } from './parts.ts';

const RUN_POLL_MS = 500;
const KEEP_ALIVE_MS = 15_000;
const CHANGES_AT_ONCE = 500;
const ENDED = ['completed', 'failed', 'cancelled', 'superseded'];
/** What a browser shows without running anything in it. */
const INERT = /^(text\/plain|application\/pdf|image\/(png|jpeg|gif|webp|avif|bmp))\b/;

type WhoAsks = (request: FastifyRequest) => Promise<Caller>;

/** What is sent bit by bit: events of a run, the change feed, and documents themselves. */
export function addStreams(app: FastifyInstance, parts: HttpParts, whoAsks: WhoAsks): void {
  const closing = new AbortController();
  app.addHook('preClose', async () => {
    // Readers connect again, to another process, and go on from the last number that they have.
    closing.abort();
    parts.changes.close();
  });
  app.get('/v1/runs/:id/events', async (request, reply) => {
    const caller = await whoAsks(request);
    const { id } = request.params as { id: string };
    // Before anything is sent: what is not there is an answer like any other.
    await parts.perform(caller, 'runs.get', { id });
    return events(parts, request, reply, runEvents(parts, caller, id, abortOf(request, closing.signal)));
  });
  app.get('/v1/collections/:collection/changes/stream', async (request, reply) => {
    const caller = await whoAsks(request);
    const { collection } = request.params as { collection: string };
    const given = request.headers['last-event-id'] ?? (request.query as { after?: string }).after ?? '0';
    const after = Number(given);
    if (!Number.isSafeInteger(after) || after < 0)
      throw new InputError('invalid_input', 'The number to go on from is no number of a change.');
    const { id } = await parts.perform(caller, 'collections.get', { collection });
    return events(
      parts,
      request,
      reply,
      changeEvents(parts, caller, String(id), after, abortOf(request, closing.signal)),
    );
  });
  app.get('/v1/documents/:id/content', async (request, reply) =>
    content(parts, await whoAsks(request), request, reply),
  );
}

function abortOf(request: FastifyRequest, closing: AbortSignal): AbortSignal {
  const gone = new AbortController();
  request.raw.once('close', () => gone.abort());
  request.raw.socket.once('close', () => gone.abort());
  return AbortSignal.any([gone.signal, closing]);
}

interface Event {
  readonly event: string;
  readonly id?: number;
  readonly data: unknown;
}

async function* runEvents(parts: HttpParts, caller: Caller, id: string, signal: AbortSignal): AsyncIterable<Event> {
  let last = '';
  let before: { bytes: number; at: number } | null = null;
  while (!signal.aborted) {
    const { failures: _, ...run } = await parts.perform(caller, 'runs.get', { id });
    const now = Date.now();
    const bytes = Number(run.bytes);
    const bytesPerSecond =
      before && now > before.at ? Math.max(0, ((bytes - before.bytes) / (now - before.at)) * 1000) : 0;
    before = { bytes, at: now };
    const left = Number(run.plannedBytes) - bytes;
    const secondsLeft = run.listingComplete && bytesPerSecond > 0 ? Math.max(0, left) / bytesPerSecond : null;
    const text = JSON.stringify(run);
    if (text !== last)
      yield { event: 'run', data: { ...run, bytesPerSecond: Math.round(bytesPerSecond), secondsLeft } };
    last = text;
    if (ENDED.includes(String(run.state)) || run.state === 'needs_approval') {
      yield { event: 'end', data: { state: run.state } };
      return;
    }
    await wait(RUN_POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function* changeEvents(
  parts: HttpParts,
  caller: Caller,
  collection: string,
  from: number,
  signal: AbortSignal,
): AsyncIterable<Event | null> {
  for (let after = from; !signal.aborted; ) {
    const { items, next } = await parts.perform(caller, 'changes.list', { collection, after, limit: CHANGES_AT_ONCE });
    for (const change of items) yield { event: 'change', id: Number(change.number), data: change };
    after = Number(next);
    if (items.length > 0) continue;
    await parts.changes.after(collection, after, KEEP_ALIVE_MS, signal);
    // A line now and then keeps proxies from closing what is quiet.
    yield null;
  }
}

/** https://html.spec.whatwg.org/multipage/server-sent-events.html */
async function events(
  parts: HttpParts,
  request: FastifyRequest,
  reply: FastifyReply,
  source: AsyncIterable<Event | null>,
): Promise<FastifyReply> {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    // When it ends there is nothing more to come on it: a connection that is kept would keep the process.
    connection: 'close',
    'lockgate-request-id': request.id,
  });
  // The reader knows at once that it is heard.
  raw.write(':\n\n');
  try {
    for await (const event of source) {
      const id = event?.id === undefined ? '' : `id: ${event.id}\n`;
      const text = event ? `${id}event: ${event.event}\ndata: ${parts.scrub(JSON.stringify(event.data))}\n\n` : ':\n\n';
      if (raw.destroyed) break;
      // Who reads slowly is waited for, and not remembered for.
      if (!raw.write(text)) await Promise.race([once(raw, 'drain'), once(raw, 'close')]);
    }
  } catch {
    // The reader connects again and goes on from the last number that it has.
  } finally {
    raw.end();
  }
  return reply;
}

async function content(
  parts: HttpParts,
  caller: Caller,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { id } = request.params as { id: string };
  const document = await parts.perform(caller, 'documents.get', { id });
  const { sha256, path, contentType } = document as { sha256: string; path: string; contentType: string | null };
  const size = Number(document.size);
  const etag = `"${sha256}"`;
  const inline = (request.query as { disposition?: string }).disposition === 'inline' && INERT.test(contentType ?? '');
  reply.headers({
    etag,
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-cache',
    // A document is a stranger's: it runs nothing, wherever it is opened.
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'",
    'x-content-type-options': 'nosniff',
    'content-disposition': `${inline ? 'inline' : 'attachment'}; filename*=UTF-8''${fileName(path)}`,
    'content-type': safeType(contentType),
  });
  if (matches(request.headers['if-none-match'], etag)) return reply.code(304).send();
  const fresh = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
  const range = fresh ? parseRange(request.headers.range, size) : null;
  if (range === 'unsatisfiable') {
    reply.header('content-range', `bytes */${size}`).type('application/json');
    throw new LockgateError('not_satisfiable', 'The document does not have that range.');
  }
  const { start, end } = range ?? { start: 0, end: size };
  reply.header('content-length', end - start);
  if (range) reply.code(206).header('content-range', `bytes ${start}-${end - 1}/${size}`);
  if (request.method === 'HEAD' || end === start) return reply.send('');
  return reply.send(Readable.from(parts.content.read(sha256, { start, end }), { objectMode: false }));
}

function safeType(type: string | null): string {
  return type && /^[\w.+-]+\/[\w.+-]+(;\s*charset=[\w-]+)?$/i.test(type) ? type : 'application/octet-stream';
}

function fileName(path: string): string {
  const name = path.split('/').filter(Boolean).at(-1) ?? 'document';
  return encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16)}`,
  );
}

function matches(header: string | undefined, etag: string): boolean {
  return (header ?? '').split(',').some((each) => ['*', etag, `W/${etag}`].includes(each.trim()));
}

/** One range, as `end` exclusive; null: the whole. Several ranges are answered with the whole, as RFC 9110 permits. */
function parseRange(header: string | undefined, size: number): { start: number; end: number } | 'unsatisfiable' | null {
  const found = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  if (!found || (found[1] === '' && found[2] === '')) return null;
  if (found[1] === '') {
    const length = Math.min(Number(found[2]), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size };
  }
  const start = Number(found[1]);
  const end = found[2] === '' ? size : Math.min(Number(found[2]) + 1, size);
  if (found[2] !== '' && Number(found[2]) < start) return null;
  return start >= size ? 'unsatisfiable' : { start, end };
}
