import type { MessagePort } from 'node:worker_threads';
import { describeError, LockgateError } from '../contract/errors.ts';

/** What one thread does for another, by names. What goes through must be what a structured clone takes. */
type Services = Readonly<Record<string, (...words: never[]) => Promise<unknown>>>;

interface Question {
  readonly number: number;
  readonly name: string;
  readonly words: readonly unknown[];
}

type Reply =
  | { readonly number: number; readonly value: unknown }
  | { readonly number: number; readonly error: ReturnType<typeof describeError> };

/** Does what the other end of the port asks for, until it is closed. */
export function answer(port: MessagePort, services: Services): void {
  port.on('message', async ({ number, name, words }: Question) => {
    const reply = (each: Reply) => port.postMessage(each);
    try {
      reply({ number, value: await services[name]?.(...(words as never[])) });
    } catch (error) {
      reply({ number, error: describeError(error) });
    }
  });
}

/** Asks what the other end of a port answers. An error comes as a `LockgateError` with its code. */
export class Asking<S extends Services> {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #asked = 0;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.number);
      this.#waiting.delete(reply.number);
      if ('error' in reply) {
        const { code, message, hint } = reply.error;
        waiting?.reject(new LockgateError(code, message, hint));
      } else waiting?.resolve(reply.value);
    });
    port.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('nobody answers any more'));
      this.#waiting.clear();
    });
    port.unref();
  }

  ask<K extends keyof S & string>(name: K, ...words: Parameters<S[K]>): ReturnType<S[K]> {
    const number = this.#asked++;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(number, waiting);
    this.#port.postMessage({ number, name, words } satisfies Question);
    return waiting.promise as ReturnType<S[K]>;
  }
}
