import type { Source } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';

/** How long one page, or the answer to one read, or the gap between two chunks of a body may take, in milliseconds. */
export const CALL_TIMEOUT_MS = 60_000;

/** Ends calls and bodies that stall, with a retryable `timeout`. Stands inside the retry layer. */
export function withTimeout(source: Source, timeoutMs: number = CALL_TIMEOUT_MS): Source {
  return {
    check: (signal) => deadline('check', timeoutMs, signal, (inner) => source.check(inner)),
    listPage: (position, signal) => deadline('list', timeoutMs, signal, (inner) => source.listPage(position, inner)),
    read: async (entry, range, signal) => {
      const stop = new AbortController();
      const inner = AbortSignal.any([signal, stop.signal]);
      const guard = async <T>(work: Promise<T>): Promise<T> => {
        try {
          return await raceTimeout('read', timeoutMs, work);
        } catch (error) {
          stop.abort();
          throw error;
        }
      };
      const content = await guard(source.read(entry, range, inner));
      return content.whole ? content : { ...content, body: watched(content.body, guard, stop) };
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

async function* watched(
  body: AsyncIterable<Uint8Array>,
  guard: <T>(work: Promise<T>) => Promise<T>,
  stop: AbortController,
) {
  const chunks = body[Symbol.asyncIterator]();
  let finished = false;
  try {
    for (;;) {
      const next = await guard(chunks.next());
      if (next.done) {
        finished = true;
        return;
      }
      yield next.value;
    }
  } finally {
    // A reader that leaves early frees the connection. Not awaited: a stalled body would never answer.
    if (!finished) {
      stop.abort();
      chunks.return?.()?.catch(() => undefined);
    }
  }
}

async function deadline<T>(
  operation: 'check' | 'list',
  timeoutMs: number,
  signal: AbortSignal,
  call: (inner: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  try {
    return await raceTimeout(operation, timeoutMs, call(AbortSignal.any([signal, stop.signal])));
  } finally {
    stop.abort();
  }
}

async function raceTimeout<T>(operation: 'check' | 'list' | 'read', timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new ConnectorError('timeout', `No answer within ${timeoutMs} ms.`, { operation, retryable: true }));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}
