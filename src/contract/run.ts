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

/** A stretch of the key space, with a place of its own where its listing goes on. */
export interface ListingPart {
  readonly number: number;
  /** The last key before the part; null: it begins with the first. */
  readonly after: string | null;
  /** The part's last key; null: it goes to the end. */
  readonly upTo: string | null;
  /** The first key behind `upTo`, which the part behind begins with. A listing that has another one there is in no order. */
  readonly followedBy: string | null;
  /** Where the listing goes on; null: at the beginning of the part. */
  readonly position: string | null;
  /** Every key of the part up to this one, in byte order, is dealt with. */
  readonly through: string | null;
}

/** A stretch of a listing of which the collection has all that it should. */
export interface IndexChunk {
  /** The key with which it begins; empty: the beginning of the listing. It ends where the next one begins. */
  readonly from: string;
  readonly entries: number;
  /** Of those, what the rules of the source leave out. */
  readonly excluded: number;
  /** Over keys, paths, versions and sizes, in hex. */
  readonly hash: string;
}

/** One step of the listing of a part, written down as a whole. */
export interface Checkpoint {
  readonly part: number;
  /** Where the listing goes on; null after the last page. */
  readonly position: string | null;
  readonly complete: boolean;
  /** Every key of the part up to this one, in byte order, is dealt with. */
  readonly through: string | null;
  /** Those that are `mine` are taken by who writes this; the others by whoever has time. */
  readonly batches: readonly (FetchBatch & { readonly mine: boolean })[];
  /** Keys of the collection that the listing passed without seeing. */
  readonly missing: readonly string[];
  /** Keys of the collection that an unordered listing has seen. */
  readonly seen: readonly string[];
  /** Entries whose content is as it was and whose path is not. */
  readonly moved: readonly Entry[];
  /** Entries that the listing says cannot be read. */
  readonly unreadable: readonly Entry[];
  /** Entries whose fetch has failed before and was put off. */
  readonly putOff: readonly Entry[];
  /** Chunks that hold no more, by the keys with which they begin. */
  readonly stale: readonly string[];
  /** Chunks that hold once the run has completed. */
  readonly chunks: readonly IndexChunk[];
  readonly figures: Partial<RunFigures>;
}

/**
 * What each of the processes at work on a run reads and writes. Every write throws `run_lost` when the run has ended or this
 * hand was given up for dead and others may have its batches, so a late worker cannot commit.
 */
export interface HandStore {
  /** Takes up to `limit` batches that nobody has. */
  takeBatches(limit: number): Promise<FetchBatch[]>;
  /** Batches of the run that are not settled, and those among them that nobody has. */
  leftBatches(): Promise<{ left: number; free: number }>;
  indexRows(keys: readonly string[]): Promise<IndexRow[]>;
  /** Says that these contents are about to be stored, or are there and about to be referred to: nobody removes them now. */
  keepContent(sha256s: readonly string[]): Promise<void>;
  /** Documents, their changes and the settled batches become visible together. */
  commit(outcomes: readonly Outcome[], settledBatches: readonly number[]): Promise<void>;
  /** Whether somebody asked this run to stop. Also tells the database that this hand is alive. */
  heartbeat(): Promise<{ cancelRequested: boolean }>;
}

/** What a listing is compared with, and where its steps are written down. */
/** Keys after `after` (null: from the first) and up to `upTo`. */
export interface KeyRange {
  readonly after: string | null;
  readonly upTo: string;
}

export interface ListingStore {
  /** Up to `limit` rows with keys after `after` and up to `upTo` (null: no bound), in byte order. */
  indexRange(after: string | null, upTo: string | null, limit: number): Promise<IndexRow[]>;
  /** The same for several ranges, up to `limit` rows of each. */
  indexRanges(ranges: readonly KeyRange[], limit: number): Promise<IndexRow[][]>;
  indexRows(keys: readonly string[]): Promise<IndexRow[]>;
  /** Chunks that hold, from the one that begins with this key or behind it on. */
  chunks(from: string, limit: number): Promise<IndexChunk[]>;
  /** Those of these entries whose fetch has failed and is not tried again in this run. */
  putOff(entries: readonly Entry[]): Promise<ReadonlySet<Entry>>;
  checkpoint(step: Checkpoint): Promise<void>;
  /** Begins the listing anew, in whatever order it comes and in one part. What a complete one has not seen is missing. */
  restartUnordered(): Promise<void>;
  /** Has a part end earlier, and adds the parts that follow; together they cover what it had. */
  splitPart(of: Pick<ListingPart, 'number' | 'upTo' | 'followedBy'>, parts: readonly ListingPart[]): Promise<void>;
}

/** What the hand that leads a run reads and writes beside: the listing and its end. A hand that leads no more can write nothing. */
export interface RunStore extends HandStore, ListingStore {
  progress(): Promise<{
    /** Parts whose listing is not complete. */
    parts: readonly ListingPart[];
    listingComplete: boolean;
    nextBatch: number;
    nextPart: number;
    approved: boolean;
    unordered: boolean;
  }>;
  /** The source's mirror: what its listings of changes say that it has. */
  readonly mirror: Mirror;
  /** How many documents are marked missing, and how many the source has. */
  missingShare(): Promise<{ missing: number; documents: number }>;
  /** Removes up to `limit` documents marked missing, with their changes. Returns how many. */
  removeMissing(limit: number): Promise<number>;
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
