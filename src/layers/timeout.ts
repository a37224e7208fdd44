import type { Source } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';

/** How long one page, or the answer to one read, or the gap between two chunks of a body may take, in milliseconds. */
export const CALL_TIMEOUT_MS = 60_000;

/** Ends calls and bodies that stall, with a retryable `timeout`. Stands inside the retry layer. */
export function withTimeout(source: Source, timeoutMs: number = CALL_TIMEOUT_MS): Source {
  const followers = new Followers();
  return {
    check: (signal) => deadline(followers, 'check', timeoutMs, signal, (inner) => source.check(inner)),
    listPage: (position, signal) =>
      deadline(followers, 'list', timeoutMs, signal, (inner) => source.listPage(position, inner)),
    read: async (entry, range, signal) => {
      const stop = followers.of(signal);
      const inner = stop.signal;
      const guard = async <T>(work: Promise<T>): Promise<T> => {
        try {
          return await raceTimeout('read', timeoutMs, work);
        } catch (error) {
          stop.abort();
          followers.release(stop);
          throw error;
        }
      };
      const content = await guard(source.read(entry, range, inner));
      if (!content.whole)
        return { ...content, body: watched(content.body, guard, stop, () => followers.release(stop)) };
      followers.release(stop);
      return content;
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

/**
 * Controllers that abort when a signal does: what `AbortSignal.any` is for, at a small part of its cost, where one signal is the
 * signal of thousands of calls.
 */
class Followers {
  readonly #bySignal = new WeakMap<AbortSignal, Set<AbortController>>();
  readonly #sets = new WeakMap<AbortController, Set<AbortController>>();

  of(signal: AbortSignal): AbortController {
    const controller = new AbortController();
    if (signal.aborted) {
      controller.abort(signal.reason);
      return controller;
    }
    let set = this.#bySignal.get(signal);
    if (!set) {
      const made = new Set<AbortController>();
      signal.addEventListener('abort', () => {
        for (const each of made) each.abort(signal.reason);
        made.clear();
      });
      this.#bySignal.set(signal, made);
      set = made;
    }
    set.add(controller);
    this.#sets.set(controller, set);
    return controller;
  }

  release(controller: AbortController): void {
    this.#sets.get(controller)?.delete(controller);
  }
}

async function* watched(
  body: AsyncIterable<Uint8Array>,
  guard: <T>(work: Promise<T>) => Promise<T>,
  stop: AbortController,
  release: () => void,
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
    release();
    // A reader that leaves early frees the connection. Not awaited: a stalled body would never answer.
    if (!finished) {
      stop.abort();
      chunks.return?.()?.catch(() => undefined);
    }
  }
}

async function deadline<T>(
  followers: Followers,
  operation: 'check' | 'list',
  timeoutMs: number,
  signal: AbortSignal,
  call: (inner: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = followers.of(signal);
  try {
    return await raceTimeout(operation, timeoutMs, call(stop.signal));
  } catch (error) {
    stop.abort();
    throw error;
  } finally {
    followers.release(stop);
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
