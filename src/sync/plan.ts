import type { Entry } from '../contract/connector.ts';
import type { IndexRow } from '../contract/run.ts';
import { isStorableKey } from '../contract/storable.ts';
import { compareKeys } from './key-order.ts';
import type { Selection } from './selection.ts';

/** What one stretch of the key space asks for. */
export interface Plan {
  readonly fetch: Entry[];
  /** Keys of the collection that the listing passed without seeing, or that the selection now leaves out. */
  readonly missing: string[];
  /** The same content under another path. */
  readonly moved: Entry[];
  /** Keys of the collection that stay. */
  readonly seen: string[];
  /** Wanted, but the listing says that they cannot be read. What the collection has of them stays. */
  readonly unreadable: Entry[];
  unchanged: number;
  excluded: number;
}

/**
 * Compares a stretch of a listing with the same stretch of the index. Both come in ascending order of the keys' bytes
 * and cover the same range, so a key on one side only is new or gone.
 */
export function planStretch(entries: readonly Entry[], rows: readonly IndexRow[], select: Selection): Plan {
  const plan: Plan = emptyPlan();
  let at = 0;
  for (const entry of entries) {
    let row = rows[at];
    while (row && compareKeys(row.key, entry.key) < 0) {
      plan.missing.push(row.key);
      row = rows[++at];
    }
    const known = row?.key === entry.key ? row : undefined;
    if (known) at++;
    decide(plan, entry, known, select);
  }
  for (; at < rows.length; at++) plan.missing.push((rows[at] as IndexRow).key);
  return plan;
}

/** Plans entries that come in no order, with the rows that the collection has of them. Says nothing of what is missing. */
export function planUnordered(entries: readonly Entry[], rows: readonly IndexRow[], select: Selection): Plan {
  const plan = emptyPlan();
  const known = new Map(rows.map((row) => [row.key, row]));
  for (const entry of new Map(entries.map((each) => [each.key, each])).values()) {
    decide(plan, entry, known.get(entry.key), select);
  }
  return plan;
}

function emptyPlan(): Plan {
  return { fetch: [], missing: [], moved: [], seen: [], unreadable: [], unchanged: 0, excluded: 0 };
}

function decide(plan: Plan, entry: Entry, known: IndexRow | undefined, select: Selection): void {
  if (select(entry) !== null) {
    plan.excluded++;
    if (known) plan.missing.push(known.key);
    return;
  }
  if (known) plan.seen.push(known.key);
  if (known && sameVersion(entry, known)) {
    if (known.path === entry.path) plan.unchanged++;
    else plan.moved.push(entry);
  } else if (entry.unreadable || !isStorableKey(entry.key)) {
    plan.unreadable.push(entry);
  } else {
    plan.fetch.push(entry);
  }
}

export function sameVersion(entry: Entry, row: IndexRow): boolean {
  return entry.version === row.version && entry.size === row.size;
}
