import type { ByteRange, Clock, Content, Entry, Source } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';

export interface RetryPolicy {
  /** How often one call is tried in all. */
  readonly attempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  /** A source that asks for more patience than this fails instead. */
  readonly maxRetryAfterMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  attempts: 6,
  baseDelayMs: 200,
  maxDelayMs: 20_000,
  maxRetryAfterMs: 3_600_000,
};

/**
 * Repeats calls that failed with a retryable `ConnectorError`, after an exponential delay with full jitter or as long
 * as the source asked. A body that breaks off goes on from where it was with a ranged read, where the source has
 * ranges, and is only then given up; each byte that arrives starts the count anew.
 */
export function withRetry(source: Source, ranges: boolean, clock: Clock, policy: RetryPolicy = DEFAULT_RETRY): Source {
  const again = async <T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (error) {
        await pause(error, attempt, policy, clock, signal);
      }
    }
  };
  return {
    check: (signal) => source.check(signal),
    listPage: (position, signal) => again(signal, () => source.listPage(position, signal)),
    read: async (entry, range, signal) => {
      const first = await again(signal, () => source.read(entry, range, signal));
      return ranges ? { ...first, body: resume(first, entry, range, signal) } : first;
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };

  async function* resume(first: Content, entry: Entry, range: ByteRange | undefined, signal: AbortSignal) {
    let body = first.body;
    let offset = range?.start ?? 0;
    for (let attempt = 1; ; ) {
      try {
        for await (const chunk of body) {
          offset += chunk.length;
          attempt = 1;
          yield chunk;
        }
        const end = range?.end ?? entry.size;
        if (offset >= end) return;
        throw new ConnectorError('truncated', `The body ended at byte ${offset} of ${end}.`, {
          operation: 'read',
          retryable: true,
        });
      } catch (error) {
        await pause(error, attempt++, policy, clock, signal);
        const rest = { start: offset, ...(range?.end === undefined ? {} : { end: range.end }) };
        body = (await again(signal, () => source.read(entry, rest, signal))).body;
      }
    }
  }
}

/** Waits before the next attempt, or throws the error when there is none. */
async function pause(error: unknown, attempt: number, policy: RetryPolicy, clock: Clock, signal: AbortSignal) {
  signal.throwIfAborted();
  if (!(error instanceof ConnectorError) || !error.retryable || attempt >= policy.attempts) throw error;
  const asked = error.retryAfterMs ?? 0;
  if (asked > policy.maxRetryAfterMs) throw error;
  const ceiling = Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (attempt - 1));
  await clock.sleep(Math.max(asked, Math.random() * ceiling), signal);
}
