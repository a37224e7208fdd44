import type { ByteRange } from './connector.ts';

/** A body that is written but not yet readable under its hash. */
export interface StagedContent {
  /** Lower-case hex. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  /** The store's own name for it. */
  readonly handle: string;
}

/** What is in the store. */
export interface StoredContent {
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  readonly storedAt: Date;
}

/** Where document bytes live, addressed by their SHA-256. Identical content is stored once. */
export interface ContentStore {
  /** Reads the body to its end. When it throws, nothing is left behind. */
  stage(body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<StagedContent>;
  /** Makes all of them durable and readable; resolves only then. May be repeated. */
  commit(staged: readonly StagedContent[]): Promise<void>;
  discard(staged: readonly StagedContent[]): Promise<void>;
  /** Throws `LockgateError` `content_not_found`. */
  read(sha256: string, range?: ByteRange): AsyncIterable<Uint8Array>;
  /** Removes what dead processes staged and never committed. */
  sweep(): Promise<void>;
  /** Everything that is committed. */
  list(): AsyncIterable<StoredContent>;
  /** Does nothing when there is no such content. */
  remove(sha256: string): Promise<void>;
}
