import type { Column, ColumnType, ColumnValue } from '../contract/database.ts';

/** How values of a type are written: the type's number in PostgreSQL's catalog, how many bytes a value has, and how they are put down. */
interface Form<T extends ColumnType> {
  readonly oid: number;
  size(value: ColumnValue<T>): number;
  write(value: ColumnValue<T>, into: Buffer, at: number): void;
}

const FORMS: { readonly [T in ColumnType]: Form<T> } = {
  text: {
    oid: 25,
    size: (value) => Buffer.byteLength(value),
    write: (value, into, at) => void into.write(value, at),
  },
  bytea: {
    oid: 17,
    size: (value) => value.length / 2,
    write: (value, into, at) => void into.write(value, at, 'hex'),
  },
  uuid: {
    oid: 2950,
    size: () => 16,
    write: writeUuid,
  },
  boolean: { oid: 16, size: () => 1, write: (value, into, at) => void into.writeUInt8(value ? 1 : 0, at) },
  int: { oid: 23, size: () => 4, write: (value, into, at) => void into.writeInt32BE(whole(value), at) },
  bigint: { oid: 20, size: () => 8, write: (value, into, at) => writeWide(whole(value), 1, into, at) },
  // Microseconds since the year 2000.
  timestamptz: {
    oid: 1184,
    size: () => 8,
    write: (value, into, at) => writeWide(whole(Math.trunc(value)) - Date.UTC(2000, 0), 1000, into, at),
  },
};

/** What is no number would be written as zero. */
function whole(value: number): number {
  if (Number.isInteger(value)) return value;
  throw new RangeError('a column of whole numbers has something else in it');
}

const DASHES: readonly number[] = [8, 13, 18, 23];
const DASH = 45;
/** By the code of a hex digit. */
const DIGITS = new Int8Array(128).fill(-1);
[...'0123456789abcdef'].forEach((digit, value) => {
  DIGITS[digit.charCodeAt(0)] = DIGITS[digit.toUpperCase().charCodeAt(0)] = value;
});

function writeUuid(value: string, into: Buffer, at: number): void {
  let to = at;
  for (let from = 0; from < 36; ) {
    const code = value.charCodeAt(from);
    if (DASHES.includes(from)) {
      if (code !== DASH) break;
      from++;
      continue;
    }
    const high = DIGITS[code] ?? -1;
    const low = DIGITS[value.charCodeAt(from + 1)] ?? -1;
    if (high < 0 || low < 0) break;
    into[to++] = high * 16 + low;
    from += 2;
  }
  if (to !== at + 16 || value.length !== 36) throw new RangeError('a column of UUIDs has something else in it');
}

const HALF = 2 ** 32;
const HEAD_BYTES = 20;

/** The product of two whole numbers, of which neither needs to be exact in a double, in 64 bits. */
function writeWide(value: number, times: number, into: Buffer, at: number): void {
  const high = Math.floor(value / HALF);
  const low = (value - high * HALF) * times;
  const carry = Math.floor(low / HALF);
  into.writeInt32BE(high * times + carry, at);
  into.writeUInt32BE(low - carry * HALF, at + 4);
}

/** A column may be a parameter of several statements. */
const made = new WeakMap<Column, Buffer>();

/**
 * A column as PostgreSQL's binary array: one dimension, each element behind its length (`array_recv` in its sources). Half of what
 * text costs both sides, which put quotes around everything and take them away again.
 */
export function binaryArray(column: Column): Buffer {
  const known = made.get(column);
  if (known) return known;
  const array = encoded(column);
  made.set(column, array);
  return array;
}

function encoded<T extends ColumnType>({ type, values }: Column<T>): Buffer {
  const { oid, size, write } = FORMS[type];
  const sizes = new Int32Array(values.length);
  let bytes = HEAD_BYTES + 4 * values.length;
  let hasNulls = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as ColumnValue<T> | null;
    const length = value === null ? -1 : size(value);
    sizes[i] = length;
    if (length < 0) hasNulls = 1;
    else bytes += length;
  }
  const array = Buffer.allocUnsafe(bytes);
  [1, hasNulls, oid, values.length, 1].forEach((each, i) => {
    array.writeInt32BE(each, i * 4);
  });
  let at = HEAD_BYTES;
  for (let i = 0; i < values.length; i++) {
    const length = sizes[i] as number;
    array.writeInt32BE(length, at);
    at += 4;
    if (length < 0) continue;
    write(values[i] as ColumnValue<T>, array, at);
    at += length;
  }
  return array;
}
