/** Bounds of one run; memory grows with these and not with the bucket. */
export interface SyncLimits {
  /** Entries settled by one batch row. */
  readonly batchEntries: number;
  /** A batch is closed when its entries exceed this many bytes. */
  readonly batchBytes: number;
  /** Entries that one process has taken and not yet settled. */
  readonly unsettledEntries: number;
  /** Batches that nobody has yet, at which the listing waits. */
  readonly offeredBatches: number;
  /** Parts of one listing that are paged side by side. */
  readonly listingParts: number;
  /** Pages of a part, after each of which it is asked whether it should be split. */
  readonly splitPages: number;
  /** Entries of a stretch that is compared as a whole, on average. */
  readonly chunkEntries: number;
  /** Reads under way at once; the adaptive limit of the account is below it. */
  readonly concurrentReads: number;
  /** Outcomes that one transaction commits at the most. */
  readonly commitOutcomes: number;
  /** Bytes of small contents, which wait in memory, at which they are committed. */
  readonly commitBytes: number;
  /** Bytes of small contents that are read at once. */
  readonly readBytes: number;
  /** How long a finished document waits for others to be committed with, in milliseconds. */
  readonly commitDelayMs: number;
  /** Index rows read at once. */
  readonly indexRows: number;
  /** Documents removed by one transaction. */
  readonly removals: number;
  /** How often an uneventful listing is written down, in milliseconds. */
  readonly checkpointMs: number;
  /** How long what was found may wait until it is written down and fetched, in milliseconds. */
  readonly foundMs: number;
  readonly heartbeatMs: number;
  /** How often it is looked whether others have left something to do, in milliseconds. */
  readonly pollMs: number;
  /** Reads failing one after another because the source is away, at which the run gives up. */
  readonly unavailableInARow: number;
}

export const DEFAULT_LIMITS: SyncLimits = {
  batchEntries: 256,
  batchBytes: 64 * 1024 * 1024,
  unsettledEntries: 4096,
  offeredBatches: 64,
  listingParts: 4,
  splitPages: 16,
  chunkEntries: 64,
  concurrentReads: 64,
  commitOutcomes: 512,
  commitBytes: 8 * 1024 * 1024,
  readBytes: 32 * 1024 * 1024,
  commitDelayMs: 200,
  indexRows: 5000,
  removals: 1000,
  checkpointMs: 1000,
  foundMs: 500,
  heartbeatMs: 2000,
  pollMs: 200,
  unavailableInARow: 64,
};

/** A run that would remove more than both of these waits for a person's approval. */
export interface DeletionGuard {
  readonly documents: number;
  /** Of what the source has, from 0 to 1. */
  readonly share: number;
}

export const DEFAULT_DELETION_GUARD: DeletionGuard = { documents: 100, share: 0.5 };
