export interface Queryable {
  /** The rows. `bigint` columns come as numbers: every one of ours is below 2^53. */
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

export interface Database extends Queryable {
  /**
   * Commits when `work` resolves, rolls back when it throws. When another transaction got in the way, `work` is called again,
   * so what it does beside its statements must bear that.
   */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /** Holds the lock `key` for this process until released or dead; null when another session has it. */
  tryLock(key: string): Promise<AsyncDisposable | null>;
}
