import type { Entry, Outline, Page } from '../contract/connector.ts';
import { compareKeys } from './key-order.ts';

/** Entries of a page, from one place to another (exclusive). */
export interface Piece {
  readonly outline: Outline;
  readonly from: number;
  readonly to: number;
}

/** All of a page. */
export function pieceOf(page: Page): Piece {
  const whole = page.outline ?? outlineOf(page.entries);
  return { outline: whole, from: 0, to: whole.keys.length };
}

function outlineOf(entries: readonly Entry[]): Outline {
  return {
    keys: entries.map(({ key }) => key),
    ascii: false,
    form: 'entries',
    words: (from, to) => entries.slice(from, to).map(wordsOf).join(''),
    entries: (from, to) => entries.slice(from, to),
  };
}

function wordsOf({ key, path, version, size }: Entry): string {
  return `${key}\0${version}\0${size}\0${key.endsWith(path) ? path.length : path}\n`;
}

export function entriesOf({ outline, from, to }: Piece): readonly Entry[] {
  return outline.entries(from, to);
}

export function lastKeyOf({ outline, from, to }: Piece): string | null {
  return from < to ? kept(outline.keys[to - 1] as string) : null;
}

/** The same text in memory of its own: what V8 cuts out of a page keeps the whole page alive. */
export function kept(key: string): string {
  return Buffer.from(key, 'utf16le').toString('utf16le');
}

/** What is behind a key, of entries that ascend. */
export function behind(piece: Piece, key: string | null): Piece {
  const { keys } = piece.outline;
  let { from } = piece;
  while (key !== null && from < piece.to && compareKeys(keys[from] as string, key) <= 0) from++;
  return { ...piece, from };
}

/** Where entries begin that are behind a key; -1: none is. */
export function placeBehind({ outline, from, to }: Piece, key: string): number {
  const last = outline.keys[to - 1];
  // Mostly they end before: then one look is enough where they ascend, and where they do not, that is seen next.
  if (last !== undefined && compareKeys(last, key) <= 0) return -1;
  for (let i = from; i < to; i++) if (compareKeys(outline.keys[i] as string, key) > 0) return i;
  return -1;
}

/** Whether keys ascend; of a listing where they do not, gaps do not tell what is gone. */
export function isAscending({ outline: { keys, ascii }, from, to }: Piece, through: string | null): boolean {
  if (from === to) return true;
  let last = keys[from] as string;
  if (through !== null && compareKeys(through, last) >= 0) return false;
  for (let i = from + 1; i < to; i++) {
    const key = keys[i] as string;
    if (ascii ? !(last < key) : compareKeys(last, key) >= 0) return false;
    last = key;
  }
  return true;
}
