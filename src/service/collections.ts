import { readChanges, readHistory } from '../collections/changes.ts';
import {
  createCollection,
  listCollections,
  removeCollection,
  resolveCollection,
  updateCollection,
} from '../collections/collections.ts';
import { findDocument, listDocuments } from '../collections/documents.ts';
import { listCollectionFailures, retryFailures } from '../collections/failures.ts';
import { isId } from '../collections/id.ts';
import { listSources } from '../collections/sources.ts';
import type { ServiceParts, Some } from './parts.ts';
import { removeAllDocuments } from './removal.ts';

export function collectionOperations(
  parts: ServiceParts,
): Some<
  | 'collections.list'
  | 'collections.create'
  | 'collections.get'
  | 'collections.update'
  | 'collections.remove'
  | 'documents.list'
  | 'documents.get'
  | 'documents.history'
  | 'changes.list'
  | 'failures.list'
  | 'failures.retry'
> {
  const { db } = parts;
  return {
    'collections.list': async ({ workspace }) => ({ items: await listCollections(db, workspace) }),
    'collections.create': ({ workspace }, { name }) => createCollection(db, workspace, name),
    'collections.get': async ({ workspace }, input) => {
      const collection = await resolveCollection(db, workspace, input.collection);
      return { ...collection, sourceList: await listSources(db, workspace, collection.id) };
    },
    'collections.update': async ({ workspace }, { collection: name, ...change }) => {
      const collection = await resolveCollection(db, workspace, name);
      return updateCollection(db, workspace, { ...collection, ...definedOf(change) });
    },
    'failures.list': async ({ workspace }, { collection: name, limit }) => {
      const collection = await resolveCollection(db, workspace, name);
      return { items: await listCollectionFailures(db, collection.id, limit) };
    },
    'failures.retry': async ({ workspace }, { collection: name, path }) => {
      const collection = await resolveCollection(db, workspace, name);
      return { retried: await retryFailures(db, collection.id, path ?? null) };
    },
    'collections.remove': async ({ workspace }, input) => {
      const collection = await resolveCollection(db, workspace, input.collection);
      for (const source of await listSources(db, workspace, collection.id)) await removeAllDocuments(db, source);
      await removeCollection(db, collection.id);
      return { removed: collection.name };
    },
    'documents.list': async ({ workspace }, { collection: name, limit, cursor, ...filter }) => {
      const collection = await resolveCollection(db, workspace, name);
      return listDocuments(db, collection.id, limit, cursor ?? null, filter) as never;
    },
    'documents.get': ({ workspace }, { id }) => findDocument(db, workspace, id) as never,
    'documents.history': async ({ workspace }, { id, limit }) => {
      const items = isId(id) ? await readHistory(db, workspace, id, limit) : [];
      // Its changes may be kept no more; or there never was such a document.
      if (items.length === 0) await findDocument(db, workspace, id);
      return { items };
    },
    'changes.list': async ({ workspace }, { collection: name, after, limit, wait }) => {
      const collection = await resolveCollection(db, workspace, name);
      const until = Date.now() + wait * 1000;
      for (;;) {
        const items = await readChanges(db, collection.id, after, limit);
        if (items.length > 0 || Date.now() >= until || parts.changes.closed)
          return { items, next: items.at(-1)?.number ?? after };
        await parts.changes.after(collection.id, after, until - Date.now());
      }
    },
  };
}

function definedOf<T extends object>(given: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as never;
}
