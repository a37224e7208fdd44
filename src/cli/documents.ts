import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { findCollection } from '../collections/collections.ts';
import { findDocument, listDocuments, MAX_PAGE } from '../collections/documents.ts';
import { InputError } from '../contract/errors.ts';
import { bytes, type Globals, print, printJson, printTable } from './present.ts';
import { withApp } from './session.ts';

export function list(globals: Globals, name: string, options: { limit: number; cursor?: string }): Promise<void> {
  return withApp(async (app) => {
    if (!Number.isInteger(options.limit) || options.limit < 1 || options.limit > MAX_PAGE) {
      throw new InputError('invalid_limit', `--limit is a number from 1 to ${MAX_PAGE}.`);
    }
    const db = await app.database();
    const collection = await findCollection(db, app.config.workspace, name);
    const page = await listDocuments(db, collection.id, options.limit, options.cursor ?? null);
    if (globals.json) return printJson(page);
    printTable(
      ['id', 'path', 'size', 'type', 'modified'],
      page.items.map((each) => [each.id, each.path, bytes(each.size), each.contentType, each.modifiedAt]),
      `There is no document yet. Sync the collection: lockgate sync ${name}`,
    );
    if (page.nextCursor) print(`${page.items.length} of ${page.total}. More: --cursor ${page.nextCursor}`);
  });
}

export function get(globals: Globals, id: string, options: { output?: string }): Promise<void> {
  return withApp(async (app) => {
    const document = await findDocument(await app.database(), app.config.workspace, id);
    if (globals.json && !options.output) return printJson(document);
    const content = (await app.content()).read(document.sha256);
    if (options.output) await pipeline(content, createWriteStream(options.output));
    else await pipeline(content, process.stdout, { end: false });
    if (globals.json) printJson(document);
    else if (options.output) print(`Wrote ${bytes(document.size)} to ${options.output}.`);
  });
}
