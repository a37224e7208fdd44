import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Given } from '../contract/api/index.ts';
import { bytes, type Globals, print, printFacts, printJson, printTable } from './present.ts';
import { withSession } from './session.ts';

export function list(
  globals: Globals,
  name: string,
  options: Omit<Given<'documents.list'>, 'collection'>,
): Promise<void> {
  return withSession(async ({ call }) => {
    const page = await call('documents.list', { ...options, collection: name });
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
  return withSession(async ({ call, app, remote }) => {
    const document = await call('documents.get', { id });
    if (globals.json && !options.output) return printJson(document);
    const content = app
      ? (await app.content()).read(document.sha256)
      : Readable.fromWeb((await remote.content(document.id)) as never);
    if (options.output) await pipeline(content, createWriteStream(options.output));
    else await pipeline(content, process.stdout, { end: false });
    if (globals.json) printJson(document);
    else if (options.output) print(`Wrote ${bytes(document.size)} to ${options.output}.`);
  });
}

/** Why a file is a document, or why it is not. */
export function explain(globals: Globals, sourceId: string, path: string): Promise<void> {
  return withSession(async ({ call }) => {
    const found = await call('sources.explain', { id: sourceId, path });
    if (globals.json) return printJson(found);
    print(`${found.message}${found.hint ? `\n${found.hint}` : ''}\n`);
    printFacts([
      ['path', found.path],
      ['verdict', found.verdict],
      ['document', found.document?.id],
      ['last seen', found.lastSeenAt],
      ['tried next', found.nextTryAt],
    ]);
  });
}
