import { setTimeout as wait } from 'node:timers/promises';
import type { PgBoss } from 'pg-boss';
import type { Place } from '../collections/sources.ts';
import { labelFor } from '../collections/workers.ts';
import type { Database, Queryable } from '../contract/database.ts';
import { LockgateError } from '../contract/errors.ts';
import type { SecretType } from '../contract/secret-manager.ts';

const RUN = 'run';
const TASK = 'task';
const WEBHOOK = 'webhook';
/** A worker that sends no heartbeat for this long is dead, and its job is given to another. */
const HEARTBEAT_SECONDS = 20;
/** A job may take this long before it is given to another worker, which goes on from its checkpoint. */
const EXPIRE_SECONDS = 23 * 3600;
const TASK_SECONDS = 3600;
/** A finished job says nothing that the run does not. */
const KEPT_SECONDS = 3600;
const POLL_MS = 100;
/** What has not ended by then is left to the next worker. */
const STOP_MS = 60_000;

/** What only a worker can do, because it takes a credential. */
export type Task =
  | { readonly kind: 'check'; readonly sourceId: string; readonly workspace: string; readonly actor: string }
  | { readonly kind: 'plan'; readonly planId: string }
  /** What is no source yet, and may never be one. */
  | { readonly kind: 'try' | 'preview'; readonly place: Place; readonly actor: string }
  | SecretsTask;

/** Something with a secret manager that a workspace registered. Neither this nor what comes of it has a value in it. */
export interface SecretsTask {
  readonly kind: 'secrets';
  readonly manager: string;
  readonly workspace: string;
  readonly actor: string;
  readonly wish: { readonly list: SecretType | null } | { readonly describe: string } | { readonly remove: string };
}

export type TaskResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: { code: string; message: string; hint?: string } };

/** Of which sources a worker takes work. */
export interface Labels {
  readonly labels: readonly string[];
  /** Not of those that ask for no label. */
  readonly onlyLabels: boolean;
}

/** Whether it takes work of a source that asks for this label; null: for none. */
export function takes({ labels, onlyLabels }: Labels, label: string | null): boolean {
  return label === null ? !onlyLabels : labels.includes(label);
}

/**
 * The queue of what workers do, one for each label that sources ask for and one for those that ask for none. A job names what it
 * is about and holds nothing else.
 */
export interface CrawlQueue extends AsyncDisposable {
  /** Queues the run unless it is queued; with `tx`, when that transaction commits. */
  send(runId: string, tx?: Queryable): Promise<void>;
  /** Queues many, with the labels of their sources. */
  sendAll(runs: readonly { readonly id: string; readonly label: string | null }[], tx?: Queryable): Promise<void>;
  /** Executes jobs as they come, until stopped. A handler that throws has its job tried again. */
  work(labels: Labels, concurrency: number, handle: (runId: string) => Promise<void>): Promise<void>;
  /** Has a worker do something, and resolves with what came of it. Throws `no_worker` when none takes it up in time. */
  ask(task: Task, timeoutMs: number): Promise<unknown>;
  /** Does what is asked, until stopped. */
  answer(labels: Labels, concurrency: number, handle: (task: Task) => Promise<TaskResult>): Promise<void>;
  /** Has a worker tell a webhook what is new; one job for each at a time. */
  tell(webhookId: string): Promise<void>;
  workWebhooks(concurrency: number, handle: (webhookId: string) => Promise<void>): Promise<void>;
  /** Takes no more jobs, and resolves when those under way have ended. */
  stop(): Promise<void>;
}

/** What went wrong in the queue's own work, and in which of its queues. */
export interface QueueError {
  readonly code: string;
  readonly message: string;
  readonly queue?: string;
}

export async function openQueue(db: Database, onError: (error: QueueError) => void): Promise<CrawlQueue> {
  // Most commands need no queue, and need not wait for it to load.
  const boss = new (await import('pg-boss')).PgBoss({
    db: adapt(db),
    schema: 'lockgate_queue',
    schedule: false,
    monitorIntervalSeconds: 10,
    superviseIntervalSeconds: 30,
  });
  // The library hands errors on as objects with their fields, in which they are no errors any more.
  boss.on('error', ({ code, message, queue }: Partial<QueueError>) => {
    onError({ code: String(code ?? 'internal'), message: String(message), ...(queue ? { queue } : {}) });
  });
  await boss.start();
  const names = new QueueNames(boss);
  await boss.createQueue(WEBHOOK, { policy: 'short', retryLimit: 0, expireInSeconds: TASK_SECONDS });
  const worked = new Set<string>();
  const stop = async () => {
    // Resolves as soon as what is under way has ended, where the other looks twice a second.
    const ended = Promise.all([...worked].map((name) => boss.offWork(name)));
    await Promise.race([ended, wait(STOP_MS, undefined, { ref: false })]);
    await boss.stop({ graceful: true, timeout: 1000 });
  };
  const workOn = async <T extends object>(name: string, concurrency: number, handle: (data: T) => Promise<unknown>) => {
    worked.add(name);
    await boss.work<T>(
      name,
      { batchSize: 1, pollingIntervalSeconds: 0.5, localConcurrency: concurrency },
      async ([job]) => (job ? await handle(job.data) : undefined),
    );
  };
  return {
    send: async (runId, tx) => {
      const queue = await names.of(RUN, await labelFor(tx ?? db, { runId }));
      await boss.send(queue, { runId }, { singletonKey: runId, ...(tx ? { db: adapt(tx) } : {}) });
    },
    sendAll: async (runs, tx) => {
      for (const [label, some] of Map.groupBy(runs, (run) => run.label)) {
        const jobs = some.map(({ id }) => ({ data: { runId: id }, singletonKey: id }));
        await boss.insert(await names.of(RUN, label), jobs, tx ? { db: adapt(tx) } : {});
      }
    },
    work: async (labels, concurrency, handle) => {
      for (const queue of await names.all(RUN, labels))
        await workOn<{ runId: string }>(queue, concurrency, ({ runId }) => handle(runId));
    },
    ask: async (task, timeoutMs) => {
      return ask(boss, await names.of(TASK, await labelOf(db, task)), task, timeoutMs);
    },
    answer: async (labels, concurrency, handle) => {
      for (const queue of await names.all(TASK, labels)) await workOn<Task>(queue, concurrency, handle);
    },
    tell: async (webhookId) => {
      await boss.send(WEBHOOK, { webhookId }, { singletonKey: webhookId });
    },
    workWebhooks: (concurrency, handle) =>
      workOn<{ webhookId: string }>(WEBHOOK, concurrency, ({ webhookId }) => handle(webhookId)),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The queues of each kind, made when they are first needed. */
class QueueNames {
  readonly #boss: PgBoss;
  readonly #made = new Map<string, Promise<unknown>>();

  constructor(boss: PgBoss) {
    this.#boss = boss;
  }

  async of(kind: typeof RUN | typeof TASK, label: string | null): Promise<string> {
    const name = label === null ? kind : `${kind}.${label}`;
    const made = this.#made.get(name) ?? this.#boss.createQueue(name, OPTIONS[kind]);
    this.#made.set(name, made);
    await made;
    return name;
  }

  all(kind: typeof RUN | typeof TASK, { labels, onlyLabels }: Labels): Promise<string[]> {
    return Promise.all([...(onlyLabels ? [] : [null]), ...labels].map((label) => this.of(kind, label)));
  }
}

const OPTIONS = {
  [RUN]: {
    // A run that waits stands in it once, however often it is sent.
    policy: 'short',
    retryLimit: 10,
    retryDelay: 1,
    retryBackoff: true,
    retryDelayMax: 60,
    heartbeatSeconds: HEARTBEAT_SECONDS,
    expireInSeconds: EXPIRE_SECONDS,
    deleteAfterSeconds: KEPT_SECONDS,
  },
  // Somebody waits for the answer: it is not tried again behind their back.
  [TASK]: { retryLimit: 0, expireInSeconds: TASK_SECONDS, deleteAfterSeconds: TASK_SECONDS },
} as const;

function labelOf(db: Database, task: Task): Promise<string | null> | string | null {
  if (task.kind === 'secrets') return null;
  if ('place' in task) return task.place.workerLabel;
  return labelFor(db, task.kind === 'plan' ? { planId: task.planId } : { sourceId: task.sourceId });
}

async function ask(boss: PgBoss, queue: string, task: Task, timeoutMs: number): Promise<unknown> {
  const id = await boss.send(queue, task);
  if (!id) throw noWorker();
  const until = Date.now() + timeoutMs;
  for (;;) {
    await wait(POLL_MS);
    const job = await boss.getJobById<Task>(queue, id);
    if (job?.state === 'completed') {
      const result = job.output as unknown as TaskResult;
      if (result.ok) return result.value;
      throw new LockgateError(result.error.code, result.error.message, result.error.hint);
    }
    if (!job || job.state === 'failed' || job.state === 'cancelled' || Date.now() >= until) {
      if (job?.state === 'created') await boss.cancel(queue, id).catch(() => undefined);
      throw noWorker();
    }
  }
}

function noWorker(): LockgateError {
  return new LockgateError(
    'no_worker',
    'No worker has done it in time.',
    'Check that one runs, with the label that the source asks for: lockgate workers list',
  );
}

function adapt(db: Queryable) {
  return { executeSql: async (text: string, values: unknown[] = []) => ({ rows: await db.query(text, values) }) };
}
