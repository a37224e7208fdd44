import { isDeepStrictEqual } from 'node:util';
import { createCollection, listCollections } from '../collections/collections.ts';
import {
  addSource,
  listSources,
  type SourceRecord,
  type SourceSettings,
  updateSource,
} from '../collections/sources.ts';
import type { ServiceParts, Some } from './parts.ts';
import { removeSourceSafely } from './removal.ts';
import { settingsOf } from './sources.ts';

type Result = 'created' | 'changed' | 'unchanged' | 'removed';

/** Makes collections and sources what a definition says. A source is known by its connector type and its path. */
export function applyOperation(parts: ServiceParts): Some<'apply'> {
  const { db } = parts;
  return {
    apply: async (caller, { collections, prune }) => {
      const items: { what: 'collection' | 'source'; name: string; result: Result }[] = [];
      // Everything is checked before anything is changed.
      const wanted = [];
      for (const { name, sources } of collections) {
        const wishes = [];
        for (const wish of sources) wishes.push(await settingsOf(parts, caller, name, wish));
        wanted.push({ name, wishes });
      }
      for (const { name, wishes } of wanted) {
        const known = (await listCollections(db, caller.workspace)).find((each) => each.name === name);
        const collection = known ?? (await createCollection(db, caller.workspace, name));
        items.push({ what: 'collection', name, result: known ? 'unchanged' : 'created' });
        const left = await listSources(db, caller.workspace, collection.id);
        for (const { settings, firstDueAt } of wishes) {
          const at = left.findIndex((source) => placeOf(source) === placeOf(settings));
          const [source] = at < 0 ? [] : left.splice(at, 1);
          const result = source ? await change(source, settings, firstDueAt) : 'created';
          if (!source) await addSource(db, caller.workspace, collection.id, settings, firstDueAt);
          items.push({ what: 'source', name: `${name}: ${settings.path}`, result });
        }
        if (!prune) continue;
        for (const source of left) {
          await removeSourceSafely(db, source, 'remove');
          items.push({ what: 'source', name: `${name}: ${source.path}`, result: 'removed' });
        }
      }
      return { items };
    },
  };

  async function change(source: SourceRecord, settings: SourceSettings, firstDueAt: Date | null): Promise<Result> {
    const names = Object.keys(settings) as (keyof SourceSettings)[];
    if (names.every((name) => isDeepStrictEqual(source[name], settings[name]))) return 'unchanged';
    const same = isDeepStrictEqual(source.schedule, settings.schedule) && source.autoSync === settings.autoSync;
    await updateSource(db, source.id, settings, same ? source.nextDueAt : firstDueAt);
    return 'changed';
  }
}

function placeOf({ connectorType, path }: SourceSettings): string {
  return JSON.stringify([connectorType, path]);
}
