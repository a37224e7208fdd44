import type { Changes, Entry, Grant } from './connector.ts';
import type { StagedContent } from './content-store.ts';

export type RunState = 'queued' | 'running' | 'needs_approval' | 'completed' | 'failed' | 'cancelled' | 'superseded';

/** What the collection has of one key. */
export interface IndexRow {
  readonly key: string;
  readonly path: string;
  readonly version: string;
  readonly size: number;
}

/** Counts of one run since its start, over all its attempts. */
export interface RunFigures {
  pages: number;
  listed: number;
  excluded: number;
  unchanged: number;
  added: number;
  changed: number;
  moved: number;
  removed: number;
  failed: number;
  /** Bytes of documents fetched. */
  bytes: number;
  /** Documents and bytes that the listing so far asks to fetch. */
  planned: number;
  plannedBytes: number;
}

/** Entries to fetch that are settled together with one row, so that any process can take them up again. */
export interface FetchBatch {
  readonly number: number;
  readonly entries: readonly Entry[];
}

/** What became of one entry of a batch. */
export type Outcome =
  | {
      readonly kind: 'stored';
      readonly entry: Entry;
      readonly content: StagedContent;
      readonly contentType: string | null;
      readonly warning: string | null;
      readonly grants: readonly Grant[] | null;
    }
  | { readonly kind: 'failed'; readonly entry: Entry; readonly code: string; readonly message: string };

/** One step of the listing, written down as a whole. */
export interface Checkpoint {
  /** Where the listing goes on; null after the last page. */
  readonly position: string | null;
  readonly listingComplete: boolean;
  /** Every key up to this one, in byte order, is dealt with. */
  readonly through: string | null;
  readonly batches: readonly FetchBatch[];
  /** Keys of the collection that the listing passed without seeing. */
  readonly missing: readonly string[];
  /** Keys of the collection that an unordered listing has seen. */
  readonly seen: readonly string[];
  /** Entries whose content is as it was and whose path is not. */
  readonly moved: readonly Entry[];
  /** Entries that the listing says cannot be read. */
  readonly unreadable: readonly Entry[];
  readonly figures: Partial<RunFigures>;
}

/**
 * What a run reads and writes. Every write checks that this attempt still owns the run and throws `run_lost` when
 * another took it over, so a late worker cannot commit.
 */
export interface RunStore {
  progress(): Promise<{
    position: string | null;
    through: string | null;
    listingComplete: boolean;
    nextBatch: number;
    approved: boolean;
    unordered: boolean;
  }>;
  /** Begins the listing anew, in whatever order it comes. What a complete one has not seen is missing. */
  restartUnordered(): Promise<void>;
  /** Up to `limit` rows with keys after `after` and up to `upTo` (null: no bound), in byte order. */
  indexRange(after: string | null, upTo: string | null, limit: number): Promise<IndexRow[]>;
  indexRows(keys: readonly string[]): Promise<IndexRow[]>;
  pendingBatches(): Promise<FetchBatch[]>;
  /** The source's mirror: what its listings of changes say that it has. */
  readonly mirror: Mirror;
  checkpoint(step: Checkpoint): Promise<void>;
  /** Says that these contents are about to be stored, or are there and about to be referred to: nobody removes them now. */
  keepContent(sha256s: readonly string[]): Promise<void>;
  /** Documents, their changes and the settled batches become visible together. */
  commit(outcomes: readonly Outcome[], settledBatches: readonly number[]): Promise<void>;
  /** How many documents are marked missing, and how many the source has. */
  missingShare(): Promise<{ missing: number; documents: number }>;
  /** Removes up to `limit` documents marked missing, with their changes. Returns how many. */
  removeMissing(limit: number): Promise<number>;
  /** Whether somebody asked this run to stop. Also tells the database that the run is alive. */
  heartbeat(): Promise<{ cancelRequested: boolean }>;
}

/** What a source has, kept up by its listings of changes. */
export interface Mirror {
  /** Where the listing of changes goes on; null: from nothing. */
  position(): Promise<string | null>;
  /** Takes a page over, together with where it goes on. `ends`: it was the last, and the mirror is whole. */
  apply(changes: Changes, position: string, ends: boolean): Promise<void>;
  /** Up to `limit` of its files with keys after `after`, in byte order. */
  page(after: string | null, limit: number): Promise<Entry[]>;
}
