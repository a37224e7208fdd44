import type { Clock, Content, Source } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';

/** Gives a place back, with how it went. */
type Release = (outcome: 'ok' | 'throttled' | 'other') => void;

export const MIN_CONCURRENCY = 1;
export const INITIAL_CONCURRENCY = 16;
export const MAX_CONCURRENCY = 64;

/**
 * How many requests may be under way against one account. Additive increase, multiplicative decrease: a window's worth
 * of successes adds one, a throttled answer halves it, once for each window so that one burst does not end at one.
 * When the source says how long it wants to be left alone, nobody begins a request before that.
 */
export class AdaptiveLimit {
  #allowed: number;
  #active = 0;
  #successes = 0;
  #sinceDecrease = 0;
  #pausedUntil = 0;
  readonly #clock: Clock;
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];

  constructor(clock: Clock, initial: number = INITIAL_CONCURRENCY, max: number = MAX_CONCURRENCY) {
    this.#clock = clock;
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

  /** The function that gives the place back, or a promise of it; it may be called more than once. */
  acquire(signal: AbortSignal): Release | Promise<Release> {
    return this.#isFree && !signal.aborted ? this.#place() : this.#awaited(signal);
  }

  get #isFree(): boolean {
    return this.#active < this.#allowed && (this.#pausedUntil === 0 || this.#pausedUntil <= this.#clock.now());
  }

  async #awaited(signal: AbortSignal): Promise<Release> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#isFree) return this.#place();
      const pause = this.#pausedUntil - this.#clock.now();
      if (pause > 0) await this.#clock.sleep(pause, signal);
      else await this.#turn(signal);
    }
  }

  #place(): Release {
    this.#active++;
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

  /** Begins no request for so many milliseconds. */
  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.now() + ms);
  }

  /** Resolves when a place may be free. */
  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const called = () => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
      const aborted = () => {
        this.#waiting.splice(this.#waiting.indexOf(called), 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', aborted, { once: true });
      this.#waiting.push(called);
    });
  }

  #admit(): void {
    for (let free = this.#allowed - this.#active; free > 0; free--) this.#waiting.shift()?.();
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
  const placed = <T>(
    signal: AbortSignal,
    call: () => Promise<T>,
    ended: (answer: T, release: Release) => T,
  ): Promise<T> => {
    const work = (release: Release) =>
      call().then(
        (answer) => ended(answer, release),
        (error) => {
          throw released(error, release, limit);
        },
      );
    const held = limit.acquire(signal);
    return held instanceof Promise ? held.then(work) : work(held);
  };
  const done = <T>(answer: T, release: Release): T => {
    release('ok');
    return answer;
  };
  const begun = (content: Content, release: Release): Content =>
    content.whole ? done(content, release) : { ...content, body: holding(content.body, release, limit) };
  return {
    check: (signal) => source.check(signal),
    listPage: (position, signal) => placed(signal, () => source.listPage(position, signal), done),
    read: (entry, range, signal) => placed(signal, () => source.read(entry, range, signal), begun),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

async function* holding(body: AsyncIterable<Uint8Array>, release: Release, limit: AdaptiveLimit) {
  try {
    yield* body;
    release('ok');
  } catch (error) {
    throw released(error, release, limit);
  } finally {
    release('other');
  }
}

/** Gives the place back with what the failure says of the account, and returns the failure. */
function released(error: unknown, release: Release, limit: AdaptiveLimit): unknown {
  const throttled = error instanceof ConnectorError && error.code === 'throttled';
  if (throttled && error.retryAfterMs) limit.pause(error.retryAfterMs);
  release(throttled ? 'throttled' : 'other');
  return error;
}
