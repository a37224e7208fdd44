import type { LookupFunction } from 'node:net';
import { textOf } from './framing.ts';
import { Lane } from './lane.ts';
import type { RawRequest, Receiver } from './messages.ts';

const MAX_IDLE = 64;

/** The lanes to one origin. There are as many as answers are under way; who limits those limits them. */
export class Lanes {
  readonly #origin: URL;
  readonly #lookup: LookupFunction | undefined;
  readonly #all = new Set<Lane>();
  #idle: Lane[] = [];

  constructor(origin: URL, lookup: LookupFunction | undefined) {
    this.#origin = origin;
    this.#lookup = lookup;
  }

  /** Throws when the request is none; everything else the receiver hears. */
  ask(request: RawRequest, receiver: Receiver, signal: AbortSignal): void {
    const text = textOf(this.#origin, request);
    const used = this.#idle.pop();
    // Its server may have closed it while nobody looked: then another one is asked, once.
    if (used) used.ask(text, receiver, signal, () => this.#open().ask(text, receiver, signal));
    else this.#open().ask(text, receiver, signal);
  }

  destroy(): void {
    for (const lane of this.#all) lane.destroy();
  }

  #open(): Lane {
    const lane: Lane = new Lane(
      this.#origin,
      this.#lookup,
      () => {
        if (this.#idle.length < MAX_IDLE) this.#idle.push(lane);
        else lane.destroy();
      },
      () => {
        this.#all.delete(lane);
        this.#idle = this.#idle.filter((each) => each !== lane);
      },
    );
    this.#all.add(lane);
    return lane;
  }
}
