import {
  type Changes,
  type Content,
  type Entry,
  type Folder,
  GRANTS_MARK,
  type TreeEntry,
} from '../../src/contract/connector.ts';
import { ConnectorError } from '../../src/contract/errors.ts';
import type { Graph, Json } from './graph.ts';
import { invalid, textOf } from './resolve.ts';

/** The folder of site pages among the libraries. */
const ROOT: Folder = { key: 'pages', parent: null, name: 'SitePages' };
const KIND = 'microsoft.graph.sitePage';

/** Pages are listed in full each time: Graph has no listing of their changes. */
export interface PagesState {
  /** Those of the last whole listing, by their keys. */
  readonly known: readonly string[];
  /** Those of this listing so far. */
  readonly seen: readonly string[];
  /** Where this listing goes on; null: at its beginning. */
  readonly link: string | null;
}

export const NO_PAGES: PagesState = { known: [], seen: [], link: null };

/** One page of the list of site pages; at the end those that are gone are removed. */
export async function listSitePages(
  graph: Graph,
  siteId: string,
  state: PagesState,
  signal: AbortSignal,
): Promise<{ changes: Changes; state: PagesState; ends: boolean }> {
  const first = `sites/${siteId}/pages/${KIND}?$select=id,name,eTag,lastModifiedDateTime,publishingState`;
  const answer = await graph.get(state.link ?? first, 'list', signal);
  if (!Array.isArray(answer.value)) throw invalid('The answer is not a list of site pages.');
  const entries = (answer.value as Json[]).filter(isPublished).map((item) => entryOf(siteId, item));
  const seen = [...new Set([...state.seen, ...entries.map(({ key }) => key)])];
  const link = answer['@odata.nextLink'];
  if (typeof link === 'string') {
    if (link === state.link) throw invalid('The list of site pages repeats its link, so it would never end.');
    return { changes: changesOf(entries, []), state: { ...state, seen, link }, ends: false };
  }
  const there = new Set(seen);
  const removed = state.known.filter((key) => !there.has(key));
  return { changes: changesOf(entries, removed), state: { known: seen, seen: [], link: null }, ends: true };
}

function changesOf(entries: readonly TreeEntry[], removed: readonly string[]): Changes {
  const latest = new Map(entries.map((entry) => [entry.key, entry]));
  return { begins: false, entries: [...latest.values()], folders: [ROOT], removed };
}

/** Drafts are for their authors. */
function isPublished({ publishingState }: Json): boolean {
  const { level } = (publishingState ?? {}) as { level?: unknown };
  return level === undefined || level === 'published';
}

function entryOf(siteId: string, item: Json): TreeEntry {
  const modifiedAt = Date.parse(String(item.lastModifiedDateTime));
  return {
    key: `${ROOT.key}/${siteId}/${textOf(item, 'id')}`,
    parent: ROOT.key,
    name: textOf(item, 'name').toWellFormed(),
    version: `etag ${textOf(item, 'eTag')}`,
    size: 0,
    modifiedAt: Number.isFinite(modifiedAt) ? modifiedAt : 0,
  };
}

export function isSitePage(entry: Entry): boolean {
  return entry.key.startsWith(`${ROOT.key}/`);
}

/** The page as HTML: its title, and what its text and other web parts say, in their order. */
export async function readSitePage(graph: Graph, entry: Entry, signal: AbortSignal): Promise<Content> {
  const [, siteId, pageId] = entry.key.split('/');
  const page = await graph.get(`sites/${siteId}/pages/${pageId}/${KIND}?$expand=canvasLayout`, 'read', signal);
  if (entry.version.split(GRANTS_MARK)[0] !== `etag ${String(page.eTag)}`) {
    throw new ConnectorError('changed_during_fetch', 'The page changed after it was listed.', {
      operation: 'read',
      retryable: false,
    });
  }
  const html = Buffer.from(htmlOf(page));
  return {
    contentType: 'text/html; charset=utf-8',
    checksums: {},
    made: true,
    body: (async function* () {
      yield html;
    })(),
  };
}

interface WebPart {
  readonly innerHtml?: unknown;
  readonly data?: {
    readonly title?: unknown;
    readonly serverProcessedContent?: {
      readonly htmlStrings?: readonly { readonly value?: unknown }[];
      readonly searchablePlainTexts?: readonly { readonly value?: unknown }[];
    };
  };
}

/** https://learn.microsoft.com/graph/api/resources/canvaslayout */
interface CanvasLayout {
  readonly horizontalSections?: readonly { readonly columns?: readonly { readonly webparts?: readonly WebPart[] }[] }[];
  readonly verticalSection?: { readonly webparts?: readonly WebPart[] };
}

function htmlOf(page: Json): string {
  const title = escaped(String(page.title ?? page.name ?? ''));
  const layout = (page.canvasLayout ?? {}) as CanvasLayout;
  const parts = [
    ...(layout.horizontalSections ?? []).flatMap(({ columns }) =>
      (columns ?? []).flatMap(({ webparts }) => webparts ?? []),
    ),
    ...(layout.verticalSection?.webparts ?? []),
  ];
  const body = parts.map(partHtml).filter(Boolean).join('\n');
  return `<!doctype html>\n<html><head><meta charset="utf-8"><title>${title}</title></head><body>\n<h1>${title}</h1>\n${body}\n</body></html>\n`;
}

function partHtml({ innerHtml, data }: WebPart): string {
  if (typeof innerHtml === 'string') return innerHtml;
  const { htmlStrings = [], searchablePlainTexts = [] } = data?.serverProcessedContent ?? {};
  const html = htmlStrings.flatMap(({ value }) => (typeof value === 'string' ? [value] : []));
  const texts = searchablePlainTexts.flatMap(({ value }) =>
    typeof value === 'string' ? [`<p>${escaped(value)}</p>`] : [],
  );
  return [...html, ...texts].join('\n');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
