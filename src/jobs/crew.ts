import { type Asking, type Caps, isRunWaiting, runInNeed, waitingRuns } from '../collections/hands.ts';
import { announceWorker, retireWorker } from '../collections/workers.ts';
import type { Clock } from '../contract/connector.ts';
import type { Database } from '../contract/database.ts';
import { describeError } from '../contract/errors.ts';
import { every } from '../contract/every.ts';
import type { Log } from '../log.ts';
import { type CrawlEnd, RunYielded } from './crawl.ts';
import type { CrawlQueue, Labels } from './queue.ts';

const ANNOUNCE_MS = 5000;
const LOOK_MS = 1000;
/** A run that leads for so long gives way to one that waits for so long, when its worker leads as many as it may. */
const SLICE_MS = 30_000;
const WAITED_SECONDS = 5;

export interface CrewSettings extends Labels {
  /** Runs that a worker leads or helps with at once. */
  readonly concurrency: number;
  /** Workers on one run. */
  readonly handsPerRun: number;
  readonly caps: Caps;
}

export interface CrewParts {
  readonly db: Database;
  readonly queue: CrawlQueue;
  readonly clock: Clock;
  readonly log: Log;
  /** The name of this worker. */
  readonly worker: string;
  readonly version: string;
  readonly settings: CrewSettings;
  crawl(runId: string, signal: AbortSignal): Promise<CrawlEnd>;
  help(runId: string, isEnough: () => boolean, signal: AbortSignal): Promise<boolean>;
}

/**
 * One worker among others: leads runs as the queue gives them, helps with those that have more to fetch than their leaders can,
 * and gives way when others wait. Resolves when `signal` has aborted and everything under way has stopped at its checkpoint.
 */
export async function joinCrew(parts: CrewParts, signal: AbortSignal): Promise<void> {
  const crew = new Crew(parts, signal);
  await crew.announce();
  await parts.queue.work(parts.settings, parts.settings.concurrency, (runId) => crew.lead(runId));
  await Promise.all([
    every(parts.clock, ANNOUNCE_MS, signal, () => crew.orLog(crew.announce())),
    every(parts.clock, LOOK_MS, signal, () => crew.orLog(crew.look())),
  ]);
  await crew.retire();
}

class Crew {
  readonly #parts: CrewParts;
  readonly #signal: AbortSignal;
  readonly #asking: Asking;
  readonly #leading = new Map<string, { since: number; stop: AbortController }>();
  readonly #helping = new Set<Promise<void>>();

  constructor(parts: CrewParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
    this.#asking = { worker: parts.worker, labels: parts.settings.labels, onlyLabels: parts.settings.onlyLabels };
  }

  async announce(): Promise<void> {
    const { db, worker, version, settings } = this.#parts;
    const { labels, onlyLabels, concurrency } = settings;
    await announceWorker(db, { id: worker, labels, onlyLabels, concurrency, version });
  }

  async retire(): Promise<void> {
    await Promise.all(this.#helping);
    await this.orLog(retireWorker(this.#parts.db, this.#parts.worker));
  }

  async lead(runId: string): Promise<void> {
    const { queue, db, clock } = this.#parts;
    const stop = new AbortController();
    this.#leading.set(runId, { since: clock.now(), stop });
    try {
      const end = await this.#parts.crawl(runId, AbortSignal.any([this.#signal, stop.signal]));
      if (end === 'yielded') await queue.send(runId);
      // Those that waited because too many were at work.
      if (end !== 'waits')
        for (const id of await waitingRuns(db, this.#parts.settings.concurrency)) await queue.send(id);
    } finally {
      this.#leading.delete(runId);
    }
  }

  /** Gives way, or helps. */
  async look(): Promise<void> {
    const { db, settings } = this.#parts;
    const free = settings.concurrency - this.#leading.size - this.#helping.size;
    if (free > 0) {
      const runId = await runInNeed(db, this.#asking, settings.handsPerRun);
      if (runId) this.#help(runId);
    } else await this.#giveWay();
  }

  #help(runId: string): void {
    const { clock, settings, log } = this.#parts;
    const since = clock.now();
    // Leading comes first; and others may need a hand more.
    const isEnough = () =>
      clock.now() - since >= SLICE_MS || this.#leading.size + this.#helping.size > settings.concurrency;
    const work = this.#parts
      .help(runId, isEnough, this.#signal)
      .then((helped) => helped && log.debug({ runId }, 'helped'))
      .catch((error) => log.warn({ runId, error: describeError(error) }, 'stopped helping'))
      .then(() => void this.#helping.delete(work));
    this.#helping.add(work);
  }

  async #giveWay(): Promise<void> {
    const [longest] = [...this.#leading.values()].sort((a, b) => a.since - b.since);
    if (!longest || this.#parts.clock.now() - longest.since < SLICE_MS) return;
    if (await isRunWaiting(this.#parts.db, this.#asking, WAITED_SECONDS)) longest.stop.abort(new RunYielded());
  }

  async orLog(work: Promise<void>): Promise<void> {
    await work.catch((error) => this.#parts.log.warn({ error: describeError(error) }, 'worker'));
  }
}
