import type { Source } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';

export const MIN_CONCURRENCY = 1;
export const INITIAL_CONCURRENCY = 16;
export const MAX_CONCURRENCY = 64;

/**
 * How many requests may be under way against one account. Additive increase, multiplicative decrease: a window's worth
 * of successes adds one, a throttled answer halves it, once for each window so that one burst does not end at one.
 */
export class AdaptiveLimit {
  #allowed: number;
  #active = 0;
  #successes = 0;
  #sinceDecrease = 0;
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];

  constructor(initial: number = INITIAL_CONCURRENCY, max: number = MAX_CONCURRENCY) {
    this.#allowed = Math.min(initial, max);
    this.#max = max;
    this.#sinceDecrease = Number.POSITIVE_INFINITY;
  }

  get allowed(): number {
    return this.#allowed;
  }

  get active(): number {
    return this.#active;
  }

  /** Resolves with the function that gives the place back; it may be called more than once. */
  async acquire(signal: AbortSignal): Promise<(outcome: 'ok' | 'throttled' | 'other') => void> {
    signal.throwIfAborted();
    if (this.#active >= this.#allowed) await this.#wait(signal);
    else this.#active++;
    let held = true;
    return (outcome) => {
      if (!held) return;
      held = false;
      this.#active--;
      if (outcome === 'ok') this.#succeeded();
      if (outcome === 'throttled') this.#throttled();
      this.#admit();
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const admitted = () => {
        signal.removeEventListener('abort', aborted);
        this.#active++;
        resolve();
      };
      const aborted = () => {
        this.#waiting.splice(this.#waiting.indexOf(admitted), 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', aborted, { once: true });
      this.#waiting.push(admitted);
    });
  }

  #admit(): void {
    while (this.#active < this.#allowed) {
      const next = this.#waiting.shift();
      if (!next) return;
      next();
    }
  }

  #succeeded(): void {
    this.#sinceDecrease++;
    if (++this.#successes >= this.#allowed && this.#allowed < this.#max) {
      this.#allowed++;
      this.#successes = 0;
    }
  }

  #throttled(): void {
    if (this.#sinceDecrease < this.#allowed) return;
    this.#allowed = Math.max(MIN_CONCURRENCY, Math.floor(this.#allowed / 2));
    this.#sinceDecrease = 0;
    this.#successes = 0;
  }
}

/** Holds one place of the limit for each call; a read holds it until its body is consumed. */
export function withLimit(source: Source, limit: AdaptiveLimit): Source {
  return {
    check: (signal) => source.check(signal),
    listPage: async (position, signal) => {
      const release = await limit.acquire(signal);
      try {
        const page = await source.listPage(position, signal);
        release('ok');
        return page;
      } catch (error) {
        release(outcomeOf(error));
        throw error;
      }
    },
    read: async (entry, range, signal) => {
      const release = await limit.acquire(signal);
      try {
        const content = await source.read(entry, range, signal);
        return { ...content, body: holding(content.body, release) };
      } catch (error) {
        release(outcomeOf(error));
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

async function* holding(body: AsyncIterable<Uint8Array>, release: (outcome: 'ok' | 'throttled' | 'other') => void) {
  try {
    yield* body;
    release('ok');
  } catch (error) {
    release(outcomeOf(error));
    throw error;
  } finally {
    release('other');
  }
}

function outcomeOf(error: unknown): 'throttled' | 'other' {
  return error instanceof ConnectorError && error.code === 'throttled' ? 'throttled' : 'other';
}
