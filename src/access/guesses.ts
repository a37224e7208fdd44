import { LockgateError } from '../contract/errors.ts';

const WINDOW_MS = 60_000;
const MAX_ADDRESSES = 10_000;

/** Bounds how often one address may come with a token that is none: each guess would cost the database a question. */
export class Guesses {
  readonly #most: number;
  readonly #now: () => number;
  readonly #byAddress = new Map<string, { count: number; readonly until: number }>();
  /** Callers whose token was valid: those who share an address with one who guesses go on. */
  readonly #letIn = new Set<string>();

  constructor(mostPerMinute: number, now: () => number = Date.now) {
    this.#most = mostPerMinute;
    this.#now = now;
  }

  /** Throws `rate_limited` for an address that has guessed too often, unless this caller was let in before. */
  assertMay(address: string, caller: string): void {
    if (this.#letIn.has(caller)) return;
    const known = this.#byAddress.get(address);
    if (!known || known.until <= this.#now() || known.count < this.#most) return;
    throw new LockgateError('rate_limited', 'Too many requests without a valid token.', 'Wait a minute.');
  }

  letIn(caller: string): void {
    if (this.#letIn.size >= MAX_ADDRESSES) this.#letIn.clear();
    this.#letIn.add(caller);
  }

  note(address: string): void {
    const known = this.#byAddress.get(address);
    if (known && known.until > this.#now()) {
      known.count++;
      return;
    }
    if (this.#byAddress.size >= MAX_ADDRESSES) this.#byAddress.clear();
    this.#byAddress.set(address, { count: 1, until: this.#now() + WINDOW_MS });
  }
}
