/** What a value of a column is here: a time in milliseconds since 1970, bytes in hex. */
export interface ColumnValues {
  text: string;
  uuid: string;
  bytea: string;
  boolean: boolean;
  int: number;
  bigint: number;
  timestamptz: number;
}
export type ColumnType = keyof ColumnValues;
export type ColumnValue<T extends ColumnType> = ColumnValues[T];

/** A parameter of thousands of values, for a statement that has `$1::text[]` and the like. */
export class Column<T extends ColumnType = ColumnType> {
  readonly type: T;
  readonly values: readonly (ColumnValue<T> | null)[];

  constructor(type: T, values: readonly (ColumnValue<T> | null)[]) {
    this.type = type;
    this.values = values;
  }
}

/** Makes columns of what rows have. */
export function columnsIn<Row>(rows: readonly Row[]) {
  return <T extends ColumnType>(type: T, of: (row: Row) => ColumnValue<T> | null): Column<T> =>
    new Column(type, rows.map(of));
}

/** Whether a statement failed because a row like it is there already. */
export function isUniqueViolation(error: unknown): boolean {
  return (error as { code?: string }).code === '23505';
}

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
