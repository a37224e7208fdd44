import { readChanges } from '../collections/changes.ts';
import {
  createCollection,
  listCollections,
  removeCollection,
  renameCollection,
  resolveCollection,
} from '../collections/collections.ts';
import { findDocument, listDocuments } from '../collections/documents.ts';
import { listSources } from '../collections/sources.ts';
import type { ServiceParts, Some } from './parts.ts';
import { removeAllDocuments } from './removal.ts';

export function collectionOperations(
  parts: ServiceParts,
): Some<
  | 'collections.list'
  | 'collections.create'
  | 'collections.get'
  | 'collections.rename'
  | 'collections.remove'
  | 'documents.list'
  | 'documents.get'
  | 'changes.list'
> {
  const { db } = parts;
  return {
    'collections.list': async ({ workspace }) => ({ items: await listCollections(db, workspace) }),
    'collections.create': ({ workspace }, { name }) => createCollection(db, workspace, name),
    'collections.get': async ({ workspace }, input) => {
      const collection = await resolveCollection(db, workspace, input.collection);
      return { ...collection, sourceList: await listSources(db, workspace, collection.id) };
    },
    'collections.rename': async ({ workspace }, input) => {
      const collection = await resolveCollection(db, workspace, input.collection);
      return renameCollection(db, workspace, collection.id, input.name);
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
