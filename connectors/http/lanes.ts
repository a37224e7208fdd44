import type { LookupFunction } from 'node:net';
import { textOf } from './framing.ts';
import { Lane, type LaneOwner } from './lane.ts';
import type { Asked, RawRequest, Receiver } from './messages.ts';

const MAX_IDLE = 64;
/** How often those are let go that nobody has used for too long, in milliseconds. */
const SWEEP_MS = 1000;

/** A lane that has nothing to do, and until when it may be used. */
interface Idle {
  readonly lane: Lane;
  readonly until: number;
}

/** The lanes to one origin. There are as many as answers are under way; who limits those limits them. */
export class Lanes implements LaneOwner {
  readonly #origin: URL;
  readonly #lookup: LookupFunction | undefined;
  readonly askElsewhere: LaneOwner['askElsewhere'];
  readonly #all = new Set<Lane>();
  /** The one that was used last is the last. */
  #idle: Idle[] = [];
  #sweeping: NodeJS.Timeout | null = null;

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
    const used = this.#takeIdle();
    if (used) used.ask(asked, true);
    else this.#open().ask(asked, false);
  }

  destroy(): void {
    for (const lane of this.#all) lane.destroy();
    clearInterval(this.#sweeping ?? undefined);
    this.#sweeping = null;
  }

  idle(lane: Lane, forMs: number): void {
    if (this.#idle.length >= MAX_IDLE) return lane.destroy();
    this.#idle.push({ lane, until: performance.now() + forMs });
    // One timer for all: a timer of its own for each pause between two requests costs more than what is done in them.
    this.#sweeping ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
  }

  closed(lane: Lane): void {
    this.#all.delete(lane);
    this.#idle = this.#idle.filter((each) => each.lane !== lane);
  }

  /** By a lane of its own, once: the server of the one that was used may have closed it while nobody looked. */
  askAgain(asked: Asked): void {
    this.#open().ask(asked, false);
  }

  #takeIdle(): Lane | null {
    const last = this.#idle.at(-1);
    if (last && last.until <= performance.now()) this.#sweep();
    return this.#idle.pop()?.lane ?? null;
  }

  #sweep(): void {
    const now = performance.now();
    const late = this.#idle.filter(({ until }) => until <= now);
    this.#idle = this.#idle.filter(({ until }) => until > now);
    for (const { lane } of late) lane.destroy();
    if (this.#idle.length > 0 || !this.#sweeping) return;
    clearInterval(this.#sweeping);
    this.#sweeping = null;
  }

  #open(): Lane {
    const lane = new Lane(this.#origin, this.#lookup, this);
    this.#all.add(lane);
    return lane;
  }
}
