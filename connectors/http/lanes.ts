import type { LookupFunction } from 'node:net';
import { textOf } from './framing.ts';
import { Lane } from './lane.ts';
import type { Head, RawRequest, Receiver } from './messages.ts';

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
    const lane = this.#idle.pop() ?? this.#open();
    // Its server may have closed it while nobody looked: then another one is asked, once.
    if (lane.isUsed) lane.ask(text, new OncePatient(receiver, () => this.#open().ask(text, receiver, signal)), signal);
    else lane.ask(text, receiver, signal);
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

/** Has the request sent again when the connection ends before the answer has begun. */
class OncePatient implements Receiver {
  readonly #receiver: Receiver;
  readonly #again: () => void;
  #hasBegun = false;

  constructor(receiver: Receiver, again: () => void) {
    this.#receiver = receiver;
    this.#again = again;
  }

  begin(head: Head, flow: Parameters<Receiver['begin']>[1]): void {
    this.#hasBegun = true;
    this.#receiver.begin(head, flow);
  }

  room(): Buffer | null {
    return this.#receiver.room();
  }

  filled(bytes: number): boolean {
    return this.#receiver.filled(bytes);
  }

  take(bytes: Buffer, isLent: boolean): boolean {
    return this.#receiver.take(bytes, isLent);
  }

  end(): void {
    this.#receiver.end();
  }

  fail(error: unknown): void {
    const code = (error as { code?: string }).code;
    if (!this.#hasBegun && (code === 'ECONNRESET' || code === 'EPIPE')) this.#again();
    else this.#receiver.fail(error);
  }
}
