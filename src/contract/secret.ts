import { createHmac } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';

const INSPECT = Symbol.for('nodejs.util.inspect.custom');
const MASK = '[secret]';

/**
 * Holds a secret value so that it cannot be printed by accident: `toString`, `toJSON`, template strings and Node's
 * inspect all give `[secret]`, and the private field does not survive a spread or a structured clone.
 * `reveal` is the one way in; only connectors and secret-manager backends call it (held by `test/tidy.test.ts`).
 */
export class Secret<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  /** The value. Use it in place and do not keep it. */
  reveal(): T {
    return this.#value;
  }

  /** Transforms the value without unwrapping it. Errors thrown by `transform` pass through: they must not quote it. */
  map<U>(transform: (value: T) => U): Secret<U> {
    return new Secret(transform(this.#value));
  }

  /** Whether the other holds the same value, without unwrapping either. */
  equals(other: Secret<unknown>): boolean {
    return isDeepStrictEqual(this.#value, other.#value);
  }

  /** HMAC-SHA256 of a text under the value, in hex: it may be shown, for the value cannot be found from it. */
  hmac(this: Secret<string>, text: string): string {
    return createHmac('sha256', this.#value).update(text).digest('hex');
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [Symbol.toPrimitive](): string {
    return MASK;
  }

  [INSPECT](): string {
    return MASK;
  }
}
