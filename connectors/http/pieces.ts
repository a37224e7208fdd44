/** V8 keeps texts of such a length among its small things. For a longer one it asks the system for memory, and that takes longer than reading it. */
export const PIECE_BYTES = 64 * 1024;

/** A page of which the rows between its head and its tail are read for themselves. */
export interface Sandwich {
  readonly head: string;
  readonly tail: string;
  /** The rows as texts, each of which ends with a row. */
  readonly pieces: Iterable<string>;
}

/** Takes a page apart where its first row begins and behind its last one. */
export function sandwichOf(body: Buffer, from: number, to: number, rowEnd: string, pieceBytes: number): Sandwich {
  return {
    head: body.toString('utf8', 0, from),
    tail: body.toString('utf8', to),
    pieces: pieces(body.subarray(from, to), rowEnd, pieceBytes),
  };
}

function* pieces(rows: Buffer, rowEnd: string, pieceBytes: number): Iterable<string> {
  for (let at = 0; at < rows.length; ) {
    const end = rows.length - at > pieceBytes ? endOfRow(rows, at, pieceBytes, rowEnd) : rows.length;
    yield rows.toString('utf8', at, end);
    at = end;
  }
}

/** Where a row ends, the last one that fits; the first one if none does. */
function endOfRow(rows: Buffer, at: number, pieceBytes: number, rowEnd: string): number {
  const last = rows.subarray(at, at + pieceBytes).lastIndexOf(rowEnd);
  const end = last >= 0 ? at + last : rows.indexOf(rowEnd, at);
  return end < 0 ? rows.length : end + rowEnd.length;
}
