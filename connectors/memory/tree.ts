import { createHash } from 'node:crypto';
import { z } from 'zod';
import {
  type Changes,
  type Connector,
  type Entry,
  type Folder,
  GRANTS_MARK,
  type Page,
  type TreeEntry,
} from '../../src/contract/connector.ts';
import { ConnectorError, InputError } from '../../src/contract/errors.ts';
import { NO_SETTINGS, parseFields } from '../../src/contract/fields.ts';

const Credential = z.strictObject({ password: z.string() });

/**
 * The reference implementation of a delta listing: what changed since an earlier one, as a tree of folders. A renamed or
 * moved folder is told without what lies below it, and a removed one takes everything below it along.
 */
export const memoryTree: Connector<{ password: string }, { tree: string }> = {
  type: 'memory',
  capabilities: { listing: 'delta', ranges: true },
  credentialFields: Credential,
  settingsFields: NO_SETTINGS,
  parseCredential: (payload) => parseFields(Credential, payload, 'invalid_credential', 'memory credential'),
  parseLocation: (path) => {
    const tree = /^memory-tree:\/\/([a-z0-9-]+)\/?$/.exec(path)?.[1];
    if (!tree) throw new InputError('invalid_path', 'This is no path of a memory tree.', 'Use memory-tree://name');
    return { tree };
  },
  quotaOf: (_, { tree }) => tree,
  open: (_, { tree }) => ({
    check: async () => ({ reachable: true, readable: true, warnings: [] }),
    listPage: async (position, signal) => {
      signal.throwIfAborted();
      return pageOf(memoryTreeOf(tree), position);
    },
    read: async (entry) => contentOf(memoryTreeOf(tree), entry),
    [Symbol.asyncDispose]: async () => undefined,
  }),
};

interface Item {
  readonly key: string;
  readonly parent: string | null;
  readonly name: string;
  /** Null: a folder. */
  readonly body: Buffer | null;
  readonly version: string;
  readonly grants?: string;
  readonly changedAt: number;
}

/** A tree that lives as long as the process, and the numbers of its changes. */
export class MemoryTree {
  readonly items = new Map<string, Item>();
  readonly removed = new Map<string, number>();
  pageSize = 1000;
  /** Whether listings tell of changed grants. */
  keepsGrants = false;
  /** Positions of earlier ones are no longer known. */
  generation = 0;
  readonly #moved = new Set<string>();
  #clock = 0;
  #ids = 0;

  constructor() {
    this.#write({ key: 'root', parent: null, name: '', body: null, version: '' });
  }

  addFolder(parent: string, name: string): string {
    const key = `folder-${++this.#ids}`;
    this.#write({ key, parent, name, body: null, version: '' });
    return key;
  }

  addFile(parent: string, name: string, body: string): string {
    const key = `file-${++this.#ids}`;
    this.#write({ key, parent, name, body: Buffer.from(body), version: String(this.#clock) });
    return key;
  }

  change(key: string, to: { parent?: string; name?: string; body?: string }): void {
    const item = this.items.get(key) as Item;
    if (to.parent !== undefined) this.#moved.add(key);
    const { body = null, ...place } = to;
    const written = body === null ? {} : { body: Buffer.from(body), version: String(this.#clock) };
    this.#write({ ...item, ...place, ...written });
  }

  /** Changes who may see it and what lies below. */
  share(key: string): void {
    this.#write({ ...(this.items.get(key) as Item), grants: `since ${this.#clock}` });
  }

  /** With everything below it, of which the listing tells only what once lay elsewhere. */
  remove(key: string): void {
    this.items.delete(key);
    this.removed.set(key, ++this.#clock);
    for (const item of [...this.items.values()]) if (item.parent === key) this.#drop(item.key);
  }

  /** Names from the root, or null when the item is below nothing. */
  pathOf(key: string): string {
    const item = this.items.get(key) as Item;
    return [...(item.parent ? [this.pathOf(item.parent)] : []), item.name].filter(Boolean).join('/');
  }

  isBelow(key: string, folder: string): boolean {
    for (let at: string | null = key; at; at = this.items.get(at)?.parent ?? null) if (at === folder) return true;
    return false;
  }

  #drop(key: string): void {
    this.items.delete(key);
    if (this.#moved.has(key)) this.removed.set(key, ++this.#clock);
    for (const item of [...this.items.values()]) if (item.parent === key) this.#drop(item.key);
  }

  #write(item: Omit<Item, 'changedAt'>): void {
    this.items.set(item.key, { ...item, changedAt: ++this.#clock });
  }
}

const trees = new Map<string, MemoryTree>();

export function memoryTreeOf(name: string): MemoryTree {
  const tree = trees.get(name) ?? new MemoryTree();
  trees.set(name, tree);
  return tree;
}

function pageOf(tree: MemoryTree, position: string | null): Page {
  const [generation, seen] = (position ?? '').split('/');
  const begins = generation !== String(tree.generation);
  const since = begins ? 0 : Number(seen);
  const changed = [...tree.items.values()].filter(({ changedAt }) => changedAt > since);
  const gone = [...tree.removed].filter(([, at]) => at > since).map(([key, changedAt]) => ({ key, changedAt }));
  const all = [...changed, ...gone].sort((a, b) => a.changedAt - b.changedAt);
  const some = all.slice(0, tree.pageSize);
  const grants = (item: Item) => (tree.keepsGrants ? { grants: item.grants ?? '' } : {});
  const changes: Changes = {
    begins,
    entries: some
      .filter((item): item is Item => 'body' in item && item.body !== null)
      .map((item) => ({ ...entryOf(item), ...grants(item) })),
    folders: some
      .filter((item): item is Item => 'body' in item && item.body === null)
      .map((item): Folder => ({ key: item.key, parent: item.parent, name: item.name, ...grants(item) })),
    removed: some.filter((item) => !('body' in item)).map(({ key }) => key),
  };
  const last = `${tree.generation}/${some.at(-1)?.changedAt ?? since}`;
  const ends = some.length === all.length;
  return { entries: [], changes, next: ends ? { kind: 'end', cursor: last } : { kind: 'more', pageToken: last } };
}

function entryOf({ key, parent, name, body, version, changedAt }: Item): TreeEntry {
  return { key, parent: parent ?? '', name, version, size: body?.length ?? 0, modifiedAt: changedAt };
}

function contentOf(tree: MemoryTree, entry: Entry) {
  const item = tree.items.get(entry.key);
  const failure = (code: 'not_found' | 'changed_during_fetch', message: string) =>
    new ConnectorError(code, message, { operation: 'read', retryable: false });
  if (!item?.body) throw failure('not_found', 'The file is gone.');
  if (item.version !== entry.version.split(GRANTS_MARK)[0])
    throw failure('changed_during_fetch', 'The file changed after it was listed.');
  const { body } = item;
  return {
    ...(tree.keepsGrants
      ? { grants: [{ kind: 'user' as const, name: item.grants ?? 'everybody', roles: ['read'], inherited: false }] }
      : {}),
    checksums: { sha256: createHash('sha256').update(body).digest('hex') },
    body: (async function* () {
      yield body;
    })(),
  };
}
