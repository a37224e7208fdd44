import { compareKeys } from './key-order.ts';

/** The highest character that is looked for; what is above lies in the last part. */
const LAST_CHARACTER = 0x7e;

/**
 * Keys at which the stretch from `from` to `upTo` (null: the end) can be cut into at most `parts` parts, found by asking for the
 * first key after some. It looks for the first place in `from` at which a higher character exists too, and for the highest one
 * there, and cuts evenly between: about a dozen questions. Empty: it cannot be cut.
 */
export async function boundariesBetween(
  firstAfter: (key: string) => Promise<string | null>,
  from: string,
  upTo: string | null,
  parts: number,
): Promise<string[]> {
  const isThere = async (after: string) => {
    if (upTo !== null && compareKeys(after, upTo) >= 0) return null;
    const first = await firstAfter(after);
    return first !== null && (upTo === null || compareKeys(first, upTo) <= 0) ? first : null;
  };
  const at = await firstPlace(from.length, async (i) => (await isThere(aboveAt(from, i))) !== null);
  if (at === null) return [];
  const base = from.slice(0, at);
  const lowest = from.charCodeAt(at);
  if (lowest >= LAST_CHARACTER) return [];
  const highest = await highestCharacter(base, lowest + 1, isThere);
  const cuts = Math.min(parts - 1, highest - lowest);
  const found = Array.from({ length: cuts }, (_, k) => {
    const step = ((highest - lowest) * (k + 1)) / (cuts + 1);
    return base + String.fromCharCode(lowest + Math.max(1, Math.round(step)));
  });
  return [...new Set(found)].filter(
    (key) => key.isWellFormed() && compareKeys(key, from) > 0 && (upTo === null || compareKeys(key, upTo) < 0),
  );
}

/** What is above every key that has the same characters as this one up to and with place `i`. */
function aboveAt(key: string, i: number): string {
  const code = key.charCodeAt(i);
  // Beyond ASCII, characters are no steps of an even ladder.
  return key.slice(0, i) + (code < LAST_CHARACTER ? String.fromCharCode(code + 1) : '\uffff');
}

/** The least place at which it holds; it holds at every place after one where it does. */
async function firstPlace(places: number, holds: (i: number) => Promise<boolean>): Promise<number | null> {
  let low = 0;
  let high = places;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (await holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low < places ? low : null;
}

async function highestCharacter(
  base: string,
  from: number,
  firstAfter: (key: string) => Promise<string | null>,
): Promise<number> {
  let low = from;
  let high = LAST_CHARACTER;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    const first = await firstAfter(base + String.fromCharCode(middle));
    if (first?.startsWith(base)) low = Math.max(middle, Math.min(high, first.charCodeAt(base.length)));
    else high = middle - 1;
  }
  return low;
}
