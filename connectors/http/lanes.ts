import type { LookupFunction } from 'node:net';
import { textOf } from './framing.ts';
import { Lane, type LaneOwner } from './lane.ts';
import type { Asked, RawRequest, Receiver } from './messages.ts';

const MAX_IDLE = 64;

/** The lanes to one origin. There are as many as answers are under way; who limits those limits them. */
export class Lanes implements LaneOwner {
  readonly #origin: URL;
  readonly #lookup: LookupFunction | undefined;
  readonly askElsewhere: LaneOwner['askElsewhere'];
  readonly #all = new Set<Lane>();
  #idle: Lane[] = [];

  constructor(origin: URL, lookup: LookupFunction | undefined, askElsewhere: LaneOwner['askElsewhere']) {
    this.#origin = origin;
    this.#lookup = lookup;
    this.askElsewhere = askElsewhere;
  }

  /** The receiver hears everything. */
  ask(request: RawRequest, receiver: Receiver, signal: AbortSignal): void {
    let text: string;
    try {
      text = request.text ?? textOf(this.#origin, request);
    } catch (error) {
      return receiver.fail(error);
    }
    const asked: Asked = { request, text, receiver, signal };
    const used = this.#idle.pop();
    if (used) used.ask(asked, true);
    else this.#open().ask(asked, false);
  }

  destroy(): void {
    for (const lane of this.#all) lane.destroy();
  }

  idle(lane: Lane): void {
    if (this.#idle.length < MAX_IDLE) this.#idle.push(lane);
    else lane.destroy();
  }

  closed(lane: Lane): void {
    this.#all.delete(lane);
    this.#idle = this.#idle.filter((each) => each !== lane);
  }

  /** By a lane of its own, once: the server of the one that was used may have closed it while nobody looked. */
  askAgain(asked: Asked): void {
    this.#open().ask(asked, false);
  }

  #open(): Lane {
    const lane = new Lane(this.#origin, this.#lookup, this);
    this.#all.add(lane);
    return lane;
  }
}
