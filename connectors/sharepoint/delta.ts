import type { Changes, Folder, Page, TreeEntry } from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Graph, Json } from './graph.ts';
import type { SharePointLocation } from './location.ts';
import { listSitePages, NO_PAGES, type PagesState } from './pages.ts';
import { grantsToken, SHARING_CHANGES } from './permissions.ts';
import { invalid, keyOf, type Library, type Place, refreshPlace, resolvePlace, rootsOf, textOf } from './resolve.ts';

const FIELDS =
  'id,name,size,eTag,cTag,file,folder,package,deleted,root,remoteItem,malware,parentReference,lastModifiedDateTime';
const PAGE_ITEMS = 1000;

/** Where a listing of changes stands: libraries are listed one after another. */
interface Position {
  readonly place: Place;
  /** The library whose turn it is; null: a listing is about to begin. After the libraries come the site pages. */
  readonly at: number | null;
  readonly pages: PagesState;
}

/** What changed since the position, or everything. https://learn.microsoft.com/graph/api/driveitem-delta */
export async function listPage(
  graph: Graph,
  location: SharePointLocation,
  position: string | null,
  signal: AbortSignal,
): Promise<Page> {
  if (position === null) return begin(graph, location, signal);
  const { place, at, pages } = JSON.parse(position) as Position;
  const page = pager(location, pages);
  if (at === null) {
    const refreshed = await refreshPlace(graph, place, signal);
    const changes = { begins: false, entries: [], folders: rootsOf(refreshed.place), removed: refreshed.gone };
    return page(changes, refreshed.place, 0);
  }
  const library = place.libraries[at];
  try {
    if (library) return await deltaPage(graph, place, at, library, page, signal);
  } catch (error) {
    // The link is too old: everything is listed anew, and what that does not have is gone.
    if (error instanceof ConnectorError && error.status === 410) return begin(graph, location, signal);
    throw error;
  }
  const listed = await listSitePages(graph, place.siteId, pages, signal);
  return pager(location, listed.state)(listed.changes, place, listed.ends ? null : at);
}

async function begin(graph: Graph, location: SharePointLocation, signal: AbortSignal): Promise<Page> {
  const place = await resolvePlace(graph, location, signal);
  return pager(location, NO_PAGES)({ begins: true, entries: [], folders: rootsOf(place), removed: [] }, place, 0);
}

async function deltaPage(
  graph: Graph,
  place: Place,
  at: number,
  library: Library,
  page: Pager,
  signal: AbortSignal,
): Promise<Page> {
  const first = `drives/${library.id}/root/delta?$select=${FIELDS}&$top=${PAGE_ITEMS}`;
  const prefer = page.permissions ? SHARING_CHANGES : undefined;
  const answer = await graph.get(library.link ?? first, 'list', signal, prefer);
  if (!Array.isArray(answer.value)) throw invalid('The answer is not a listing of changes.');
  const taken = takeItems(answer.value as Json[], library, place.folderId !== null, page.permissions);
  const nextLink = answer['@odata.nextLink'];
  const deltaLink = answer['@odata.deltaLink'];
  const link = nextLink ?? deltaLink;
  if (typeof link !== 'string') throw invalid('The listing is cut short and does not say where it goes on.');
  if (link === library.link && nextLink) throw invalid('The listing repeats its link, so it would never end.');
  const libraries = place.libraries.map((each, i) => (i === at ? { ...each, root: taken.root, link } : each));
  return page(taken.changes, { ...place, libraries }, nextLink ? at : at + 1);
}

interface Pager {
  (changes: Changes, place: Place, at: number | null): Page;
  readonly permissions: boolean;
}

/** Makes pages of what a listing found; the site pages come last, where they are wanted and the path is a whole site. */
function pager(location: SharePointLocation, pages: PagesState): Pager {
  const make = (changes: Changes, place: Place, at: number | null): Page => {
    const turns = place.libraries.length + (location.sitePages && place.libraryId === null ? 1 : 0);
    const ends = at === null || at >= turns;
    const position = JSON.stringify({ place, at: ends ? null : at, pages } satisfies Position);
    return {
      entries: [],
      changes,
      next: ends ? { kind: 'end', cursor: position } : { kind: 'more', pageToken: position },
    };
  };
  return Object.assign(make, { permissions: location.permissions });
}

/** The items of a page, each by its latest state: one may come twice, and the last wins. */
function takeItems(
  items: readonly Json[],
  library: Library,
  below: boolean,
  permissions: boolean,
): { changes: Changes; root: string | null } {
  const latest = new Map(items.map((item) => [textOf(item, 'id'), item]));
  const entries: TreeEntry[] = [];
  const folders: Folder[] = [];
  const removed: string[] = [];
  let root = library.root;
  for (const [id, item] of latest) {
    const key = keyOf(library.id, id);
    const grants = permissions ? { grants: grantsToken(item, library.link) } : {};
    if (item.root && !below) root = id;
    if (item.deleted) removed.push(key);
    else if (id === root) folders.push({ key, parent: null, name: library.name, ...grants });
    else if (item.root) continue;
    else if (item.folder) folders.push({ key, parent: parentOf(item, library), name: textOf(item, 'name'), ...grants });
    else if (item.file || item.package) entries.push({ ...entryOf(item, key, library), ...grants });
    else removed.push(key);
  }
  return { changes: { begins: false, entries, folders, removed }, root };
}

function parentOf(item: Json, library: Library): string {
  return keyOf(library.id, textOf((item.parentReference ?? {}) as Json, 'id'));
}

function entryOf(item: Json, key: string, library: Library): TreeEntry {
  const modifiedAt = Date.parse(String(item.lastModifiedDateTime));
  const unreadable = item.package ? ('package' as const) : item.malware ? ('malware' as const) : undefined;
  return {
    key,
    parent: parentOf(item, library),
    name: textOf(item, 'name').toWellFormed(),
    version: versionOf(item),
    size: typeof item.size === 'number' ? item.size : 0,
    modifiedAt: Number.isFinite(modifiedAt) ? modifiedAt : 0,
    ...(unreadable ? { unreadable } : {}),
  };
}

/** What changes with the content and not with the name: its hash; the cTag, which listings often lack; or the eTag. */
export function versionOf(item: Json): string {
  const hash = hashesOf(item).quickXorHash;
  if (hash) return `quickxor ${hash}`;
  if (typeof item.cTag === 'string') return `ctag ${item.cTag}`;
  return `etag ${typeof item.eTag === 'string' ? item.eTag : String(item.lastModifiedDateTime)}`;
}

export function hashesOf(item: Json): Readonly<Partial<Record<'quickXorHash' | 'sha1Hash' | 'sha256Hash', string>>> {
  const { hashes } = (item.file ?? {}) as { hashes?: object };
  return Object.fromEntries(
    Object.entries(hashes ?? {}).filter(([, value]) => typeof value === 'string' && value !== ''),
  );
}
