import { type Hit, type Label, type Needles, WINDOW } from './needles.ts';
import type { Place } from './places.ts';

/** A value, or part of it, where it must not be. The value itself is not in it. */
export interface Leak extends Hit {
  readonly place: string;
  readonly at: string;
}

export interface Searched {
  readonly places: number;
  readonly bytes: number;
  readonly leaks: readonly Leak[];
}

const MAX_LEAKS = 1000;

/** Searches places one after another; memory depends on the values and not on the places. */
export async function searchPlaces(needles: Needles, places: AsyncIterable<Place>): Promise<Searched> {
  const leaks: Leak[] = [];
  let count = 0;
  let bytes = 0;
  for await (const place of places) {
    count++;
    const seen = new Set<string>();
    let rest: Buffer = Buffer.alloc(0);
    for await (const piece of place.pieces) {
      bytes += piece.bytes.length;
      const text = piece.whole ? piece.bytes : Buffer.concat([rest, piece.bytes]);
      rest = text.subarray(Math.max(0, text.length - WINDOW + 1));
      for (const hit of needles.search(text)) {
        // Once for each row and form, and of a file once for each form.
        const key = `${piece.whole ? piece.at : ''} ${hit.secretId} ${hit.version} ${hit.field} ${hit.form}`;
        if (seen.has(key) || leaks.length >= MAX_LEAKS) continue;
        seen.add(key);
        leaks.push({ place: place.name, at: piece.at, ...hit });
      }
    }
  }
  return { places: count, bytes, leaks };
}

/** Fields that are secret, by connector type; null: all of them. */
export type SecretFields = ReadonlySet<string> | null;

/**
 * Adds what is secret in a credential. A token that is made of parms is searched by the one that proves: the others stand in every address.
 * Returns how many values will be searched for.
 */
export function addCredential(
  needles: Needles,
  credential: unknown,
  fields: SecretFields,
  label: Omit<Label, 'field'>,
): number {
  let added = 0;
  for (const [field, text] of textsIn(credential, '')) {
    const top = field.split('.')[0] ?? '';
    if (fields !== null && !fields.has(top)) continue;
    for (const part of provingParts(text)) if (needles.add(part, { ...label, field: field || 'value' })) added++;
  }
  return added;
}

function* textsIn(value: unknown, path: string): Iterable<[field: string, text: string]> {
  if (typeof value === 'string') yield [path, value];
  else if (typeof value === 'object' && value !== null) {
    for (const [name, each] of Object.entries(value)) yield* textsIn(each, path === '' ? name : `${path}.${name}`);
  }
}

/** Of a shared access signature its signature; of a connection string its key; of a key in PEM its lines without their frame. */
function provingParts(text: string): string[] {
  if (/(^|[?&])sig=/.test(text) && !text.includes(';'))
    return [new URLSearchParams(text.replace(/^\?/, '')).get('sig') ?? text];
  const pairs = text.split(';').map((pair) => /^\s*(AccountKey|SharedAccessSignature)=(.*)$/i.exec(pair)?.[2]);
  if (pairs.some(Boolean)) return pairs.flatMap((value) => (value ? provingParts(value) : []));
  if (!text.includes('-----BEGIN ')) return [text];
  return text
    .replaceAll('\\n', '\n')
    .split(/\r?\n/)
    .filter((line) => line !== '' && !line.startsWith('-----'));
}
