import type { Source } from '../contract/connector.ts';
import type { FetchBatch, ListingPart, ListingStore } from '../contract/run.ts';
import type { SyncLimits } from './limits.ts';
import type { Plan } from './plan.ts';
import type { Selection } from './selection.ts';

/** Takes what a listing finds to fetch. */
export interface Outlet {
  /** Whether it has room for so many entries, which are kept free until they are taken. */
  reserve(entries: number): boolean;
  /** Takes a batch for which there was room, and which is written down as its own. */
  take(batch: FetchBatch): void;
  /** So many further batches are written down for whoever has time; resolves when there may be more. */
  offered(batches: number): Promise<void>;
  /** Resolves when nothing is left of what was found. */
  settled(): Promise<void>;
}

export interface Listing {
  readonly source: Source;
  readonly store: ListingStore;
  readonly select: Selection;
  readonly limits: SyncLimits;
  readonly signal: AbortSignal;
  readonly now: () => number;
  /** Leaves of a stretch's plan what may be done; absent: all of it. */
  readonly restrict?: (plan: Plan) => Promise<Plan>;
  /** Where the source's listing begins after a key; absent: only from its beginning. */
  readonly positionAfter?: (key: string) => string;
  readonly outlet: Outlet;
}

export interface Start {
  readonly parts: readonly ListingPart[];
  readonly nextPart: number;
  readonly nextBatch: number;
  readonly unordered: boolean;
}
