import { openIndex } from '../collections/listing-index.ts';
import {
  addPlanItems,
  clearPlan,
  countPlanned,
  endPlan,
  locatePlan,
  type PlanItem,
  plannedFor,
} from '../collections/plans.ts';
import { findSource, type SourceRecord } from '../collections/sources.ts';
import type { Entry } from '../contract/connector.ts';
import type { Database } from '../contract/database.ts';
import { describeError } from '../contract/errors.ts';
import type { Checkpoint, IndexRow, ListingStore } from '../contract/run.ts';
import { storableKey } from '../contract/storable.ts';
import { DEFAULT_LIMITS } from '../sync/limits.ts';
import { FROM_THE_BEGINNING, listAndPlan } from '../sync/lister.ts';
import { followChanges, memoryMirror, withMirror } from '../sync/mirror.ts';
import type { Plan } from '../sync/plan.ts';
import { compileSelection, type Exclusion, WHY_EXCLUDED } from '../sync/selection.ts';
import { openSource, requestFor, type SourceParts } from './open-source.ts';

export interface PlanParts {
  readonly db: Database;
  readonly sourceParts: (workspace: string) => SourceParts;
  readonly actor: string;
}

const PAGE_ROWS = 5000;

/** Lists a source and compares it with the collection, and writes down what a run would do. An error ends the plan as `failed`. */
export async function makePlan(parts: PlanParts, planId: string, signal: AbortSignal): Promise<void> {
  const { db } = parts;
  const located = await locatePlan(db, planId);
  if (!located) return;
  try {
    await clearPlan(db, planId);
    const source = await findSource(db, located.workspace, located.sourceId);
    await list(parts, planId, source, signal);
    await endPlan(db, planId, 'ready');
  } catch (error) {
    if (signal.aborted) throw error;
    await endPlan(db, planId, 'failed', describeError(error));
  }
}

async function list(parts: PlanParts, planId: string, record: SourceRecord, signal: AbortSignal): Promise<void> {
  const { source, listing } = await openSource(
    requestFor(record, { actor: parts.actor, reason: 'plan', sourceId: record.id }),
    parts.sourceParts(record.workspace),
  );
  await using _closing = source;
  const writer = new PlanWriter(parts.db, planId, record);
  // Not the mirror of the collection: what a plan has seen the next run must see too.
  const mirror = memoryMirror();
  if (listing === 'delta') await followChanges(source, mirror, signal);
  await listAndPlan(
    {
      source: listing === 'delta' ? withMirror(source, mirror) : source,
      store: writer.store,
      select: writer.select,
      limits: DEFAULT_LIMITS,
      signal,
      now: Date.now,
      outlet: {
        reserve: () => true,
        take: () => undefined,
        offered: async () => undefined,
        settled: async () => undefined,
      },
    },
    FROM_THE_BEGINNING,
  );
  await writer.finish();
}

/** Takes the place of a run's store: reads the index, and writes a plan instead of doing something. */
class PlanWriter {
  readonly store: ListingStore;
  readonly select: (entry: Pick<Entry, 'path' | 'size'>) => Exclusion | null;
  readonly #db: Database;
  readonly #planId: string;
  readonly #index: ReturnType<typeof openIndex>;
  #skipped: PlanItem[] = [];
  /** Keys that a listing without order has seen; null while it has one. */
  #seen: Set<string> | null = null;

  constructor(db: Database, planId: string, record: SourceRecord) {
    this.#db = db;
    this.#planId = planId;
    const select = compileSelection(record);
    this.select = (entry) => {
      const reason = select(entry);
      if (reason) this.#skip(entry as Entry, WHY_EXCLUDED[reason]);
      return reason;
    };
    this.#index = openIndex(db, record.id);
    this.store = {
      ...this.#index,
      // Whether something is tried again is decided when it is done.
      putOff: async () => new Set(),
      // Everything is looked at, so that what is left out can be said, too.
      chunks: async () => [],
      // The listing of a plan stays whole.
      splitPart: async () => undefined,
      restartUnordered: async () => {
        this.#seen = new Set();
        this.#skipped = [];
        await clearPlan(db, planId);
      },
      checkpoint: (step) => this.#write(step),
    };
  }

  async #write(step: Checkpoint): Promise<void> {
    const fetched = step.batches.flatMap(({ entries }) => [...entries]);
    const known = new Map(
      (await this.#index.indexRows([...fetched, ...step.moved].map(({ key }) => key))).map((row) => [row.key, row]),
    );
    const items: PlanItem[] = [
      ...fetched.map((entry) => itemOf(entry, known.get(entry.key))),
      ...step.moved.map((entry) => ({
        ...placed(entry),
        action: 'move' as const,
        reason: `was ${known.get(entry.key)?.path}`,
      })),
      ...step.unreadable.map((entry) => ({
        ...placed(entry),
        action: 'skip' as const,
        reason: entry.unreadable ? 'the source says that it cannot be read' : 'its key cannot be stored',
      })),
      ...this.#skipped,
      ...(await this.#gone(step.missing)),
    ];
    this.#skipped = [];
    if (this.#seen) for (const key of step.seen) this.#seen.add(key);
    await addPlanItems(this.#db, this.#planId, items);
    const bytes = fetched.reduce((sum, { size }) => sum + size, 0);
    await countPlanned(this.#db, this.#planId, step.figures.unchanged ?? 0, bytes);
  }

  /** What a listing without order has not seen is gone. */
  async finish(): Promise<void> {
    if (this.#skipped.length > 0) await addPlanItems(this.#db, this.#planId, this.#skipped);
    if (!this.#seen) return;
    for (let after: string | null = null; ; ) {
      const rows = await this.#index.indexRange(after, null, PAGE_ROWS);
      const gone = rows.filter(({ key }) => !this.#seen?.has(key));
      await addPlanItems(this.#db, this.#planId, gone.map(removal));
      if (rows.length < PAGE_ROWS) return;
      after = rows.at(-1)?.key ?? null;
    }
  }

  async #gone(keys: readonly string[]): Promise<PlanItem[]> {
    return keys.length > 0 ? (await this.#index.indexRows(keys)).map(removal) : [];
  }

  #skip(entry: Entry, reason: string): void {
    this.#skipped.push({ ...placed(entry), action: 'skip', reason });
  }
}

function placed({ key, path, version, size }: Entry) {
  return { key, path, version, size };
}

function itemOf(entry: Entry, known: IndexRow | undefined): PlanItem {
  if (!known) return { ...placed(entry), action: 'add', reason: 'the collection does not have it' };
  const reason =
    known.version === entry.version ? `its size was ${known.size}` : 'its version at the source is another one';
  return { ...placed(entry), action: 'change', reason };
}

function removal({ key, path, version, size }: IndexRow): PlanItem {
  return {
    key,
    path,
    version,
    size,
    action: 'remove',
    reason: 'the source does not list it, or the rules leave it out',
  };
}

/** Leaves of what a listing asks for what a plan says: what has changed since is for the next run. */
export function restrictTo(db: Database, planId: string): (plan: Plan) => Promise<Plan> {
  return async (plan) => {
    const keys = [...plan.fetch, ...plan.moved, ...plan.unreadable].map(({ key }) => storableKey(key));
    const planned = await plannedFor(db, planId, [...keys, ...plan.missing]);
    const at = (entry: Entry, ...actions: string[]) => {
      const item = planned.get(storableKey(entry.key));
      return item !== undefined && actions.includes(item.action) && item.version === entry.version;
    };
    return {
      ...plan,
      fetch: plan.fetch.filter((entry) => at(entry, 'add', 'change')),
      moved: plan.moved.filter((entry) => at(entry, 'move')),
      unreadable: plan.unreadable.filter((entry) => at(entry, 'skip')),
      missing: plan.missing.filter((key) => planned.get(key)?.action === 'remove'),
    };
  };
}
