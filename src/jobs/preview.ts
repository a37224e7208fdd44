import type { Place } from '../collections/sources.ts';
import type { Answer } from '../contract/api/index.ts';
import { type Entry, UNREADABLE_REASONS } from '../contract/connector.ts';
import { followChanges, memoryMirror, withMirror } from '../sync/mirror.ts';
import { compileSelection, WHY_EXCLUDED } from '../sync/selection.ts';
import { openSource, requestFor, type SourceParts } from './open-source.ts';

export type Preview = Answer<'sources.preview'>;

const MOST_OBJECTS = 50_000;
const LONGEST_MS = 20_000;
const SHOWN = 100;
const MOST_FOLDERS = 200;

/**
 * Lists what a source would have and fetches nothing, until the end, 50,000 objects or 20 seconds. Throws what opening and
 * listing throw.
 */
export async function preview(place: Place, parts: SourceParts, actor: string, signal: AbortSignal): Promise<Preview> {
  // All that lies below the path, so that what the filters drop can be shown.
  const request = requestFor({ ...place, include: [] }, { actor, reason: 'preview' });
  const { source: opened, listing } = await openSource(request, parts);
  await using _closing = opened;
  const timeout = AbortSignal.timeout(LONGEST_MS);
  const bounded = AbortSignal.any([signal, timeout]);
  const found = new Findings(place);
  try {
    const mirror = memoryMirror();
    if (listing === 'delta') await followChanges(opened, mirror, bounded);
    const source = listing === 'delta' ? withMirror(opened, mirror) : opened;
    for (let position: string | null = null; ; ) {
      const { entries, next } = await source.listPage(position, bounded);
      for (const entry of entries) found.take(entry);
      if (next.kind === 'end') return found.told(true);
      if (found.listed >= MOST_OBJECTS) return found.told(false);
      position = next.pageToken;
    }
  } catch (error) {
    if (timeout.aborted && !signal.aborted) return found.told(false);
    throw error;
  }
}

class Findings {
  listed = 0;
  #matched = 0;
  #bytes = 0;
  readonly #matches: Entry[] = [];
  readonly #dropped: { path: string; size: number; reason: string }[] = [];
  readonly #folders = new Map<string, { objects: number; bytes: number }>();
  readonly #select: ReturnType<typeof compileSelection>;

  constructor(place: Place) {
    this.#select = compileSelection(place);
  }

  take(entry: Entry): void {
    this.listed++;
    const { path, size } = entry;
    this.#count(path, size);
    const exclusion = this.#select(entry);
    const reason = exclusion ? WHY_EXCLUDED[exclusion] : entry.unreadable ? UNREADABLE_REASONS[entry.unreadable] : null;
    if (reason !== null) {
      if (this.#dropped.length < SHOWN) this.#dropped.push({ path, size, reason });
      return;
    }
    this.#matched++;
    this.#bytes += size;
    if (this.#matches.length < SHOWN) this.#matches.push(entry);
  }

  #count(path: string, size: number): void {
    const slash = path.indexOf('/');
    if (slash <= 0) return;
    const name = path.slice(0, slash);
    const folder = this.#folders.get(name);
    if (folder) {
      folder.objects++;
      folder.bytes += size;
    } else if (this.#folders.size < MOST_FOLDERS) this.#folders.set(name, { objects: 1, bytes: size });
  }

  told(complete: boolean): Preview {
    return {
      complete,
      listed: this.listed,
      matched: this.#matched,
      bytes: this.#bytes,
      leftOut: this.listed - this.#matched,
      matches: this.#matches.map(({ path, size, modifiedAt }) => ({
        path,
        size,
        modifiedAt: new Date(modifiedAt).toISOString(),
      })),
      dropped: this.#dropped,
      folders: [...this.#folders].map(([path, folder]) => ({ path, ...folder })),
      warnings: this.#matched === 0 && this.listed > 0 ? ['The filters leave nothing of what lies there.'] : [],
    };
  }
}
