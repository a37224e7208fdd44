import type { ByteRange } from './connector.ts';

/** A body that is written but not yet readable under its hash. */
export interface StagedContent {
  /** Lower-case hex. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  /** The store's own name for it. */
  readonly handle: string;
  /** Its bytes wait in memory until it is committed or discarded. */
  readonly inMemory?: true;
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
  stage(body: AsyncIterable<Uint8Array> | Uint8Array, signal: AbortSignal): Promise<StagedContent>;
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
  /** Gives the room back that removed contents took; returns how many bytes. Absent: removing does it at once. */
  compact?(signal: AbortSignal): Promise<number>;
  /** Nothing is stored by this process any more. Absent: there is nothing to close. */
  close?(): Promise<void>;
}

/** Where in a pack a content lies. */
export interface PackPlace {
  readonly pack: number;
  /** The first byte. */
  readonly at: number;
  /** Bytes. */
  readonly size: number;
}

export interface PackedContent extends Omit<PackPlace, 'pack'> {
  readonly sha256: string;
}

/** Knows where small contents lie, for a content store that packs them. Its writes are durable when they resolve. */
export interface PackIndex {
  /** The number of a new pack. */
  open(): Promise<number>;
  find(sha256s: readonly string[]): Promise<ReadonlyMap<string, PackPlace>>;
  /** Adds contents whose bytes are durable; those that are known stay where they are. Returns how many were not; null: the pack was closed. */
  add(pack: number, contents: readonly PackedContent[]): Promise<number | null>;
  forget(sha256: string): Promise<void>;
  /** In the order of the hashes. */
  page(after: string | null, limit: number): Promise<readonly StoredContent[]>;
  /** Every pack, and how many of its bytes are of contents. */
  packs(): Promise<readonly { readonly pack: number; readonly live: number }[]>;
  /** Nothing is added to the pack any more. */
  close(pack: number): Promise<void>;
  contents(pack: number): Promise<readonly PackedContent[]>;
  /** Contents lie in another pack now, unless they were removed meanwhile. False: that one was closed. */
  move(from: number, to: number, contents: readonly PackedContent[]): Promise<boolean>;
  /** Forgets a pack that has no contents and was closed so long ago. False: it has some, or was closed later. */
  drop(pack: number, closedSeconds: number): Promise<boolean>;
}
