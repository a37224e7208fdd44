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

/** What could not be fetched, those first that are not tried any more. */
export function failures(globals: Globals, name: string, options: { limit: number }): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('failures.list', { collection: name, limit: options.limit });
    if (globals.json) return printJson({ items });
    printTable(
      ['path', 'reason', 'attempts', 'since', 'tried next'],
      items.map((each) => [
        each.path,
        `${each.code}: ${each.message}`,
        each.attempts,
        each.firstAt,
        each.givenUpAt ? 'given up' : (each.nextAt ?? 'by the next run'),
      ]),
      'Everything was fetched.',
    );
    if (items.some(({ givenUpAt }) => givenUpAt)) print(`Have them tried again: lockgate documents retry ${name}`);
  });
}

export function retry(globals: Globals, name: string, options: { path?: string }): Promise<void> {
  return withSession(async ({ call }) => {
    const answer = await call('failures.retry', { collection: name, ...options });
    if (globals.json) return printJson(answer);
    print(`${answer.retried} are tried again by the next run: lockgate sync ${name}`);
  });
}
