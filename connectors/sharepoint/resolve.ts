import type { Folder } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Graph, Json } from './graph.ts';
import type { SharePointLocation } from './location.ts';

/** A document library as far as its listing has come. */
export interface Library {
  readonly id: string;
  readonly name: string;
  /** The item that stands at the beginning of all paths: the library's root, once it was seen, or a folder. */
  readonly root: string | null;
  /** Where its listing goes on; null: at its beginning. */
  readonly link: string | null;
}

/** What a path leads to, by IDs that stay when things are renamed. */
export interface Place {
  readonly siteId: string;
  /** Null: the whole site, with the libraries that it has now. */
  readonly libraryId: string | null;
  /** Null: the whole library. */
  readonly folderId: string | null;
  readonly libraries: readonly Library[];
}

const MAX_LIBRARY_PAGES = 100;

/** Asks for site, library and folder by their names. Throws `ConnectorError` `not_found` that says which of them is not there. */
export async function resolvePlace(graph: Graph, location: SharePointLocation, signal: AbortSignal): Promise<Place> {
  let sitePath = location.sitePath;
  let siteId = await siteOf(graph, location.host, sitePath, signal);
  let rest = location.rest;
  for (;;) {
    const libraries = await librariesOf(graph, siteId, signal);
    const [first, ...folders] = rest;
    if (first === undefined) return { siteId, libraryId: null, folderId: null, libraries };
    const library = libraries.find(({ names }) => names.some((name) => same(name, first)));
    if (library) {
      const folderId = folders.length > 0 ? await folderOf(graph, library.id, folders, signal) : null;
      const root = folderId === null ? null : folderId;
      return { siteId, libraryId: library.id, folderId, libraries: [{ ...library, name: '', root }] };
    }
    sitePath = `${sitePath}/${first}`;
    siteId = await subsiteOf(graph, location.host, sitePath, first, signal);
    rest = folders;
  }
}

/** The libraries that a site has now, each where its listing was, and the roots of those that are gone. */
export async function refreshPlace(
  graph: Graph,
  place: Place,
  signal: AbortSignal,
): Promise<{ place: Place; gone: readonly string[] }> {
  if (place.libraryId !== null) return { place, gone: [] };
  const now = await librariesOf(graph, place.siteId, signal);
  const known = new Map(place.libraries.map((library) => [library.id, library]));
  const libraries = now.map(({ id, name }): Library => ({ id, root: null, link: null, ...known.get(id), name }));
  const ids = new Set(now.map(({ id }) => id));
  const gone = place.libraries.flatMap(({ id, root }) => (ids.has(id) || !root ? [] : [keyOf(id, root)]));
  return { place: { ...place, libraries }, gone };
}

/** The first folders of the tree: the roots that are known. */
export function rootsOf({ libraries }: Place): Folder[] {
  return libraries.flatMap(({ id, root, name }) =>
    root === null ? [] : [{ key: keyOf(id, root), parent: null, name }],
  );
}

/** The key of an item: its ID is unique in its library, and stays when it is renamed or moved. */
export function keyOf(libraryId: string, itemId: string): string {
  return `${libraryId}/${itemId}`;
}

async function siteOf(graph: Graph, host: string, path: string, signal: AbortSignal): Promise<string> {
  const address = path === '' ? `sites/${host}` : `sites/${host}:${encoded(path)}`;
  return textOf(await graph.get(`${address}?$select=id`, 'list', signal), 'id');
}

async function subsiteOf(graph: Graph, host: string, path: string, name: string, signal: AbortSignal): Promise<string> {
  try {
    return await siteOf(graph, host, path, signal);
  } catch (error) {
    if (!(error instanceof ConnectorError) || error.code !== 'not_found') throw error;
    throw new ConnectorError('not_found', `The site has no library and no subsite "${name}".`, {
      operation: 'list',
      retryable: false,
      status: 404,
      hint: 'Open the library in a browser and take the path from its address, up to the folder that is wanted.',
    });
  }
}

async function folderOf(
  graph: Graph,
  libraryId: string,
  folders: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const path = encoded(`/${folders.join('/')}`);
  const item = await graph.get(`drives/${libraryId}/root:${path}?$select=id,folder`, 'list', signal);
  if (item.folder) return textOf(item, 'id');
  throw new ConnectorError('not_found', 'The path leads to a file and not to a folder.', {
    operation: 'list',
    retryable: false,
    hint: 'Use the path of its folder, and include the file by its name.',
  });
}

/** All pages; a library is found by its name and by the name in its address, which may differ. */
async function librariesOf(graph: Graph, siteId: string, signal: AbortSignal) {
  const found: { id: string; name: string; names: string[]; root: null; link: null }[] = [];
  let url: string | undefined = `sites/${siteId}/drives?$select=id,name,webUrl,driveType`;
  for (let pages = 0; url !== undefined; pages++) {
    if (pages === MAX_LIBRARY_PAGES) throw invalid('The list of libraries does not end.');
    const page: Json = await graph.get(url, 'list', signal);
    if (!Array.isArray(page.value)) throw invalid('The answer is not a list of libraries.');
    for (const drive of page.value as Json[]) {
      const name = textOf(drive, 'name');
      const address =
        typeof drive.webUrl === 'string' && URL.canParse(drive.webUrl) ? new URL(drive.webUrl).pathname : '';
      const last = decoded(address.split('/').at(-1) ?? '');
      found.push({ id: textOf(drive, 'id'), name, names: last ? [name, last] : [name], root: null, link: null });
    }
    const next = page['@odata.nextLink'];
    url = typeof next === 'string' ? next : undefined;
  }
  return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

function encoded(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function textOf(object: Json, name: string): string {
  const value = object[name];
  if (typeof value === 'string' && value !== '') return value;
  throw invalid(`An answer of Microsoft Graph has no ${name}.`);
}

export function invalid(message: string): ConnectorError {
  return new ConnectorError('invalid_listing', message, { operation: 'list', retryable: true });
}
