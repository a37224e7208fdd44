import type { ByteRange, Clock, Content, Entry, Source } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';

export interface RetryPolicy {
  /** How often one call is tried in all; throttled answers do not count. */
  readonly attempts: number;
  /** For how long a call waits while all that it hears is that there are too many requests. */
  readonly throttledForMs: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  /** A source that asks for more patience than this fails instead. */
  readonly maxRetryAfterMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  attempts: 6,
  throttledForMs: 2 * 3_600_000,
  baseDelayMs: 200,
  maxDelayMs: 20_000,
  maxRetryAfterMs: 3_600_000,
};

/**
 * Repeats calls that failed with a retryable `ConnectorError`, after an exponential delay with full jitter or as long
 * as the source asked. A throttled call waits for hours rather than fail: whoever throttles is there, and a run that
 * gives up only asks for everything again. A body that breaks off goes on from where it was with a ranged read, where the source has
 * ranges, and is only then given up; each byte that arrives starts the count anew.
 */
export function withRetry(source: Source, ranges: boolean, clock: Clock, policy: RetryPolicy = DEFAULT_RETRY): Source {
  const repeat = async <T>(failure: unknown, signal: AbortSignal, call: () => Promise<T>): Promise<T> => {
    const patience = new Patience(policy, clock);
    for (let error = failure; ; ) {
      await patience.pause(error, signal);
      try {
        return await call();
      } catch (next) {
        error = next;
      }
    }
  };
  const again = <T>(signal: AbortSignal, call: () => Promise<T>, ended: (answer: T) => T = (answer) => answer) =>
    call().then(ended, (error) => repeat(error, signal, call).then(ended));
  return {
    check: (signal) => source.check(signal),
    listPage: (position, signal) => again(signal, () => source.listPage(position, signal)),
    read: (entry, range, signal) =>
      again(
        signal,
        () => source.read(entry, range, signal),
        (first) =>
          ranges && !first.made && !first.whole ? { ...first, body: resume(first, entry, range, signal) } : first,
      ),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };

  async function* resume(first: Content, entry: Entry, range: ByteRange | undefined, signal: AbortSignal) {
    let body = first.body;
    let offset = range?.start ?? 0;
    const patience = new Patience(policy, clock);
    for (;;) {
      try {
        for await (const chunk of body) {
          offset += chunk.length;
          patience.restore();
          yield chunk;
        }
        const end = range?.end ?? first.rewrittenSize ?? entry.size;
        if (offset >= end) return;
        throw new ConnectorError('truncated', `The body ended at byte ${offset} of ${end}.`, {
          operation: 'read',
          retryable: true,
        });
      } catch (error) {
        await patience.pause(error, signal);
        const rest = { start: offset, ...(range?.end === undefined ? {} : { end: range.end }) };
        body = (await again(signal, () => source.read(entry, rest, signal))).body;
      }
    }
  }
}

/** What one call has left to try. */
class Patience {
  readonly #policy: RetryPolicy;
  readonly #clock: Clock;
  #failures = 0;
  #throttled = 0;
  #throttledSince: number | null = null;

  constructor(policy: RetryPolicy, clock: Clock) {
    this.#policy = policy;
    this.#clock = clock;
  }

  restore(): void {
    this.#failures = 0;
    this.#throttled = 0;
    this.#throttledSince = null;
  }

  /** Waits before the next attempt, or throws the error when there is none. */
  async pause(error: unknown, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!(error instanceof ConnectorError) || !error.retryable) throw error;
    const { attempts, throttledForMs, maxRetryAfterMs, baseDelayMs, maxDelayMs } = this.#policy;
    const asked = error.retryAfterMs ?? 0;
    if (asked > maxRetryAfterMs) throw error;
    let repeats: number;
    if (error.code === 'throttled') {
      const now = this.#clock.now();
      this.#throttledSince ??= now;
      if (now + asked - this.#throttledSince > throttledForMs) throw error;
      repeats = ++this.#throttled;
    } else {
      this.#throttledSince = null;
      repeats = ++this.#failures;
      if (repeats >= attempts) throw error;
    }
    const ceiling = Math.min(maxDelayMs, baseDelayMs * 2 ** (repeats - 1));
    await this.#clock.sleep(asked + Math.random() * ceiling, signal);
  }
}
