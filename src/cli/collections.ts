import { createCollection, findCollection, listCollections } from '../collections/collections.ts';
import { listSources } from '../collections/sources.ts';
import { bytes, type Globals, print, printFacts, printJson, printTable } from './present.ts';
import { withApp } from './session.ts';
import { printSources } from './sources.ts';

export function create(globals: Globals, name: string): Promise<void> {
  return withApp(async (app) => {
    const collection = await createCollection(await app.database(), app.config.workspace, name);
    if (globals.json) return printJson(collection);
    print(`Made the collection ${name}. Connect it with a bucket: lockgate sources add --collection ${name} --help`);
  });
}

export function list(globals: Globals): Promise<void> {
  return withApp(async (app) => {
    const items = await listCollections(await app.database(), app.config.workspace);
    if (globals.json) return printJson({ items });
    printTable(
      ['name', 'documents', 'size', 'sources', 'last change'],
      items.map((each) => [each.name, each.documents, bytes(each.bytes), each.sources, each.lastChange]),
      'There is no collection yet. Make one: lockgate collections create handbook',
    );
  });
}

export function show(globals: Globals, name: string): Promise<void> {
  return withApp(async (app) => {
    const db = await app.database();
    const collection = await findCollection(db, app.config.workspace, name);
    const sources = await listSources(db, app.config.workspace, collection.id);
    if (globals.json) return printJson({ ...collection, sources });
    printFacts([
      ['name', collection.name],
      ['documents', collection.documents],
      ['size', bytes(collection.bytes)],
      ['last change', collection.lastChange],
    ]);
    print('');
    printSources(sources);
  });
}
