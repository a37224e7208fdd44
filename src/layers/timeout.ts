import type { Content, Source } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';

/** How long one page, or the answer to one read, or the gap between two chunks of a body may take, in milliseconds. */
export const CALL_TIMEOUT_MS = 60_000;

/** Ends calls and bodies that stall, with a retryable `timeout`. Stands inside the retry layer. */
export function withTimeout(source: Source, timeoutMs: number = CALL_TIMEOUT_MS): Source {
  const followers = new Followers();
  const bounded = <T>(
    operation: Operation,
    signal: AbortSignal,
    call: (inner: AbortSignal) => Promise<T>,
    ended: (answer: T, stop: AbortController) => T,
  ): Promise<T> => {
    const stop = followers.of(signal);
    return within(
      operation,
      timeoutMs,
      () => call(stop.signal),
      (answer) => ended(answer, stop),
      () => followers.end(stop),
    );
  };
  const released = <T>(answer: T, stop: AbortController): T => {
    followers.release(stop);
    return answer;
  };
  const begun = (content: Content, stop: AbortController): Content => {
    if (!content.whole) return { ...content, body: watched(content.body, timeoutMs, stop, followers) };
    followers.release(stop, 'again');
    return content;
  };
  return {
    check: (signal) => bounded('check', signal, (inner) => source.check(inner), released),
    listPage: (position, signal) => bounded('list', signal, (inner) => source.listPage(position, inner), released),
    read: (entry, range, signal) => bounded('read', signal, (inner) => source.read(entry, range, inner), begun),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

type Operation = 'check' | 'list' | 'read';

/** The controllers that follow one signal. */
interface Following {
  readonly active: Set<AbortController>;
  /** Those that nobody has any more, and that did not abort: making one costs more than all else that is done for a small object here. */
  readonly idle: AbortController[];
}

/**
 * Controllers that abort when a signal does: what `AbortSignal.any` is for, at a small part of its cost, where one signal is the
 * signal of thousands of calls.
 */
class Followers {
  readonly #bySignal = new WeakMap<AbortSignal, Following>();
  readonly #byController = new WeakMap<AbortController, Following>();

  of(signal: AbortSignal): AbortController {
    if (signal.aborted) {
      const controller = new AbortController();
      controller.abort(signal.reason);
      return controller;
    }
    const following = this.#bySignal.get(signal) ?? this.#follow(signal);
    const used = following.idle.pop();
    const controller = used ?? new AbortController();
    if (!used) this.#byController.set(controller, following);
    following.active.add(controller);
    return controller;
  }

  #follow(signal: AbortSignal): Following {
    const following: Following = { active: new Set(), idle: [] };
    signal.addEventListener('abort', () => {
      for (const each of following.active) each.abort(signal.reason);
      following.active.clear();
    });
    this.#bySignal.set(signal, following);
    return following;
  }

  end(controller: AbortController): void {
    controller.abort();
    this.release(controller);
  }

  /** `again`: whoever had it is done with it. */
  release(controller: AbortController, use?: 'again'): void {
    const following = this.#byController.get(controller);
    if (following?.active.delete(controller) && use && !controller.signal.aborted) following.idle.push(controller);
  }
}

async function* watched(
  body: AsyncIterable<Uint8Array>,
  timeoutMs: number,
  stop: AbortController,
  followers: Followers,
) {
  const chunks = body[Symbol.asyncIterator]();
  let finished = false;
  try {
    for (;;) {
      const next = await within('read', timeoutMs, () => chunks.next());
      if (next.done) {
        finished = true;
        return;
      }
      yield next.value;
    }
  } finally {
    followers.release(stop);
    // A reader that leaves early frees the connection. Not awaited: a stalled body would never answer.
    if (!finished) {
      stop.abort();
      chunks.return?.()?.catch(() => undefined);
    }
  }
}

/**
 * What `ended` makes of the answer. What comes later than that is of no interest. `failed` runs before it is known that there is
 * none.
 */
function within<T>(
  operation: Operation,
  timeoutMs: number,
  begin: () => Promise<T>,
  ended: (answer: T) => T = (answer) => answer,
  failed: () => void = () => undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      clearTimeout(timer);
      failed();
      reject(error);
    };
    const timer = setTimeout(() => {
      fail(new ConnectorError('timeout', `No answer within ${timeoutMs} ms.`, { operation, retryable: true }));
    }, timeoutMs);
    const end = (answer: T) => {
      clearTimeout(timer);
      resolve(ended(answer));
    };
    try {
      begin().then(end, fail);
    } catch (error) {
      fail(error);
    }
  });
}
