/**
 * Compares two strings by their UTF-8 bytes, the order of snapshot listings and of PostgreSQL's "C" collation.
 * JavaScript's own order compares UTF-16 units and differs above U+FFFF: there, surrogates (D800 to DFFF) must sort
 * after E000 to FFFF.
 */
export function compareKeys(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return byteRank(x) - byteRank(y);
  }
  return a.length - b.length;
}

function byteRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
