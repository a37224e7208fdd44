import { createHash } from 'node:crypto';
import {
  type Changes,
  type Entry,
  type Folder,
  GRANTS_MARK,
  type Page,
  type Source,
  type TreeEntry,
} from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';
import type { Mirror } from '../contract/run.ts';
import { compareKeys } from './key-order.ts';

const PAGE_FILES = 1000;

/** Brings the mirror up to what the source has now, from where it was left. */
export async function followChanges(source: Source, mirror: Mirror, signal: AbortSignal): Promise<void> {
  let position = await mirror.position();
  for (;;) {
    const { changes, next } = await source.listPage(position, signal);
    const further = next.kind === 'more' ? next.pageToken : next.cursor;
    if (!changes || further === undefined) throw invalid('The source does not say what changed or where it goes on.');
    if (next.kind === 'more' && further === position) {
      throw invalid('The source repeated a page token, so its listing would never end.');
    }
    signal.throwIfAborted();
    await mirror.apply(changes, further, next.kind === 'end');
    if (next.kind === 'end') return;
    position = further;
  }
}

/** The source with the mirror as its listing: everything it has, in the order of the keys. */
export function withMirror(source: Source, mirror: Mirror): Source {
  return {
    check: (signal) => source.check(signal),
    read: (entry, range, signal) => source.read(entry, range, signal),
    listPage: async (after): Promise<Page> => {
      const entries = await mirror.page(after, PAGE_FILES);
      const last = entries.at(-1);
      if (!last || entries.length < PAGE_FILES) return { entries, next: { kind: 'end' } };
      return { entries, next: { kind: 'more', pageToken: last.key } };
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

/** A mirror that lives as long as its user: for listings without a database. Holds one row for each file and folder. */
export function memoryMirror(): Mirror {
  let known: string | null = null;
  let files = new Map<string, TreeEntry>();
  let folders = new Map<string, Folder>();
  let keys: readonly string[] | null = null;
  const take = (changes: Changes) => {
    keys = null;
    if (changes.begins) {
      files = new Map();
      folders = new Map();
    }
    for (const folder of changes.folders) folders.set(folder.key, withGrants(folder, folders.get(folder.key)));
    for (const entry of changes.entries) files.set(entry.key, withGrants(entry, files.get(entry.key)));
    for (const key of changes.removed) {
      folders.delete(key);
      files.delete(key);
    }
  };
  return {
    position: async () => known,
    apply: async (changes, position) => {
      take(changes);
      known = position;
    },
    page: async (after, limit) => {
      keys ??= [...files.keys()].sort(compareKeys);
      const found: Entry[] = [];
      for (const key of keys.slice(after === null ? 0 : firstAfter(keys, after))) {
        const { parent, name, grants, ...entry } = files.get(key) as TreeEntry;
        const above = aboveOf(folders, parent);
        if (!above) continue;
        const names = above.flatMap((folder) => (folder.name === '' ? [] : [folder.name]));
        const kept = above[0]?.grants !== undefined;
        const granted = kept ? `${GRANTS_MARK}${fingerprint([...above, { key, grants }])}` : '';
        found.push({ ...entry, version: entry.version + granted, path: [...names, name].join('/') });
        if (found.length === limit) break;
      }
      return found;
    },
  };
}

function firstAfter(keys: readonly string[], after: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(keys[middle] as string, after) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The folders from a root to this one; null: no root leads here. */
function aboveOf(folders: ReadonlyMap<string, Folder>, key: string): Folder[] | null {
  const above: Folder[] = [];
  for (let at: string | null = key; at !== null; at = above[0]?.parent ?? null) {
    const folder: Folder | undefined = folders.get(at);
    if (!folder || above.length > folders.size) return null;
    above.unshift(folder);
  }
  return above;
}

/** Grants that did not change are those that were known. */
function withGrants<T extends { readonly grants?: string }>(now: T, known: T | undefined): T {
  const grants = now.grants ? now.grants : (known?.grants ?? now.grants);
  return grants === undefined ? now : { ...now, grants };
}

function fingerprint(chain: readonly { readonly key: string; readonly grants?: string | undefined }[]): string {
  const hash = createHash('sha256');
  for (const { key, grants = '' } of chain) hash.update(`${key}\0${grants}\0`);
  return hash.digest('hex').slice(0, 32);
}

function invalid(message: string): ConnectorError {
  return new ConnectorError('invalid_listing', message, { operation: 'list', retryable: false });
}
