import { extname } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { MessageChannel, Worker } from 'node:worker_threads';
import { dismissHelpers } from '../collections/hands.ts';
import { describeError } from '../contract/errors.ts';
import type { SecretReader } from '../contract/secret-manager.ts';
import type { OpenDatabase } from '../db/pool.ts';
import type { CalledThreads, RunThreads } from '../jobs/crawl.ts';
import type { Log } from '../log.ts';
import { passing } from '../secrets/passed.ts';
import { answer } from './asking.ts';
import type { Answers, Deployment, Orders } from './orders.ts';

/** Between two that begin with one run: what the one takes on shows before the next is called. */
const APART_MS = 1000;
const STOP_MS = 10_000;

export interface ThreadParts {
  readonly db: OpenDatabase;
  readonly reader: SecretReader;
  readonly log: Log;
  /** The name of this process; its threads are named after it. */
  readonly worker: string;
  /** Threads at once. */
  readonly most: number;
  readonly deployment: Deployment;
  /** How long one has to finish what it has begun, in milliseconds. */
  readonly stopMs?: number;
}

/**
 * The threads of this process that help with the fetches of its runs, each on a core of its own. Each is a hand like that of another
 * process: it takes batches, reads, hashes and commits by itself. Only what is secret it asks for here.
 */
export class HandThreads implements RunThreads {
  readonly #parts: ThreadParts;
  #begun = 0;
  #atWork = 0;

  constructor(parts: ThreadParts) {
    this.#parts = parts;
  }

  of(runId: string): CalledThreads {
    const threads = new Map<Worker, Promise<void>>();
    let isOver = false;
    let last = Number.NEGATIVE_INFINITY;
    return {
      call: () => {
        if (isOver || this.#atWork >= this.#parts.most || performance.now() - last < APART_MS) return;
        last = performance.now();
        const worker = `${this.#parts.worker}/${++this.#begun}`;
        const thread = this.#start(runId, worker);
        const ended = this.#watch(thread, runId, worker).then(() => void threads.delete(thread));
        threads.set(thread, ended);
      },
      [Symbol.asyncDispose]: async () => {
        isOver = true;
        for (const thread of threads.keys()) thread.postMessage('stop');
        const ended = Promise.all(threads.values());
        const late = wait(this.#parts.stopMs ?? STOP_MS, 'late' as const, { ref: false });
        if ((await Promise.race([ended, late])) === 'late')
          for (const thread of threads.keys()) await thread.terminate();
        await ended;
      },
    };
  }

  #start(runId: string, worker: string): Worker {
    const { db, reader, deployment } = this.#parts;
    const { port1, port2 } = new MessageChannel();
    answer(port1, { credential: passing(reader), database: () => db.target() } satisfies Answers);
    const file = new URL(`./hand${extname(import.meta.url)}`, import.meta.url);
    const workerData = { ...deployment, runId, worker, port: port2 } satisfies Orders;
    return new Worker(file, { workerData, transferList: [port2], execArgv: [] });
  }

  /** Resolves when it has ended. What one leaves behind that broke is anybody's at once. */
  async #watch(thread: Worker, runId: string, worker: string): Promise<void> {
    const { db, log } = this.#parts;
    this.#atWork++;
    thread.on('error', (error) => log.warn({ runId, worker, error: describeError(error) }, 'a thread has broken'));
    await new Promise((resolve) => thread.once('exit', resolve));
    this.#atWork--;
    await dismissHelpers(db, runId, worker).catch(() => undefined);
  }
}
