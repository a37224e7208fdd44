import type { Answer } from '../contract/api/index.ts';
import { InputError } from '../contract/errors.ts';
import { bytes, type Globals, print, printFacts, printJson, printTable } from './present.ts';
import { withSession } from './session.ts';
import { printSources } from './sources.ts';

export function create(globals: Globals, name: string): Promise<void> {
  return withSession(async ({ call }) => {
    const collection = await call('collections.create', { name });
    if (globals.json) return printJson(collection);
    print(`Made the collection ${name}. Connect it with a bucket: lockgate sources add --collection ${name} --help`);
  });
}

export function list(globals: Globals): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('collections.list', {});
    if (globals.json) return printJson({ items });
    printTable(
      ['name', 'documents', 'size', 'sources', 'last change'],
      items.map((each) => [each.name, each.documents, bytes(each.bytes), each.sources, each.lastChange]),
      'There is no collection yet. Make one: lockgate collections create handbook',
    );
  });
}

export function show(globals: Globals, name: string): Promise<void> {
  return withSession(async ({ call }) => {
    const { sourceList: sources, ...collection } = await call('collections.get', { collection: name });
    if (globals.json) return printJson({ ...collection, sources });
    printFacts([
      ['name', collection.name],
      ['documents', collection.documents],
      ['size', bytes(collection.bytes)],
      ['at the most', boundsOf(collection)],
      ['last change', collection.lastChange],
    ]);
    print('');
    printSources(sources);
  });
}

export function rename(globals: Globals, name: string, to: string): Promise<void> {
  return withSession(async ({ call }) => {
    const collection = await call('collections.update', { collection: name, name: to });
    if (globals.json) return printJson(collection);
    print(`The collection ${name} is ${to} now.`);
  });
}

export function limit(globals: Globals, name: string, options: { documents?: string; bytes?: string }): Promise<void> {
  return withSession(async ({ call }) => {
    const collection = await call('collections.update', {
      collection: name,
      ...(options.documents === undefined ? {} : { maxDocuments: boundIn(options.documents) }),
      ...(options.bytes === undefined ? {} : { maxBytes: boundIn(options.bytes) }),
    });
    if (globals.json) return printJson(collection);
    print(`${name} may have ${boundsOf(collection)}.`);
  });
}

function boundIn(text: string): number | null {
  if (text === 'none') return null;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InputError('invalid_bound', `"${text}" is no bound.`, 'Use a whole number, or none.');
}

function boundsOf({ maxDocuments, maxBytes }: Answer<'collections.update'>): string {
  const bounds = [
    maxDocuments === null ? '' : `${maxDocuments} documents`,
    maxBytes === null ? '' : bytes(maxBytes),
  ].filter(Boolean);
  return bounds.join(' and ') || 'any number of documents and bytes';
}

export function remove(globals: Globals, name: string): Promise<void> {
  return withSession(async ({ call }) => {
    const removed = await call('collections.remove', { collection: name });
    if (globals.json) return printJson(removed);
    print(`Removed ${name} with its sources, documents and change feed.`);
  });
}
