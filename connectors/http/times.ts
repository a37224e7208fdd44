/**
 * Reads the days of a listing, of which many in a row are the same. `midnight` is what makes a day, as the listing writes it, a time that the
 * language's own parser knows.
 */
export function dayReader(midnight: string): (day: string) => number {
  let last = '';
  let lastMs = Number.NaN;
  return (day) => {
    if (day !== last) {
      last = day;
      lastMs = Date.parse(day + midnight);
    }
    return lastMs;
  };
}

/** The number that two digits are. */
export function twoDigitsAt(text: string, at: number): number {
  return (text.charCodeAt(at) - 48) * 10 + text.charCodeAt(at + 1) - 48;
}
