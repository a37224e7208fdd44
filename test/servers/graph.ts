import { createHash, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { QuickXor } from '../../src/layers/quick-xor.ts';
import type { EntraServer, TokenClaims } from './entra.ts';
import { type Fault, faultyBody, sendBody } from './fault.ts';
import { LoopbackServer } from './loopback.ts';

const AUDIENCE = 'https://graph.microsoft.com';

export interface GraphRequest {
  readonly operation: 'site' | 'drives' | 'path' | 'delta' | 'item' | 'permissions' | 'pages' | 'download';
  readonly url: URL;
}

interface Item {
  readonly id: string;
  readonly drive: Drive;
  parent: Item | null;
  name: string;
  /** Null: a folder. */
  body: Buffer | null;
  /** What listings say of the content, where SharePoint gives out something else. */
  stated: Buffer | null;
  facets: Record<string, unknown>;
  changedAt: number;
  /** When what is granted on it last changed. */
  sharedAt: number;
  /** Its own grants, or those of its folder. */
  grants: readonly Record<string, unknown>[] | null;
  eTag: number;
  modifiedAt: Date;
}

export interface Drive {
  readonly id: string;
  name: string;
  readonly webName: string;
  readonly root: Item;
  readonly items: Map<string, Item>;
  readonly deleted: Map<string, number>;
}

export interface SitePage {
  readonly name: string;
  readonly title: string;
  readonly eTag: string;
  readonly level: 'published' | 'draft';
  /** HTML of its text web parts. */
  readonly texts: readonly string[];
}

export interface Site {
  readonly id: string;
  readonly path: string;
  readonly drives: Drive[];
  /** Site pages by their IDs. */
  readonly pages: Map<string, SitePage>;
  locked: boolean;
}

/**
 * Microsoft Graph as far as files of SharePoint go: sites by path, their libraries, `root/delta`, items, and downloads by
 * links that carry their own authority. It checks tokens and what their roles permit, pages, forgets old links (410),
 * throttles, and leaves out of listings what SharePoint leaves out: no cTag, no path, no name of what was deleted.
 * https://learn.microsoft.com/graph/api/resources/onedrive
 */
export class GraphServer extends LoopbackServer {
  readonly sites: Site[] = [];
  /** Sites that applications with Sites.Selected may read: `appid siteId`. */
  readonly grants = new Set<string>();
  pageSize = 200;
  /** Delta links of earlier ones are gone. */
  generation = 0;
  /** Whether each changed item comes twice, with an older state first. */
  repeats = false;
  linkSeconds = 300;
  ignoreRanges = false;
  /** Where links lead; null: here. */
  linkOrigin: string | null = null;
  hashes = true;
  /** Headers of every answer. */
  headers: Record<string, string> = {};
  /** Authorization headers that came with downloads, where none belongs. */
  readonly strayTokens: string[] = [];
  readonly links: string[] = [];
  readonly counts = new Map<string, number>();
  fault: (request: GraphRequest) => Fault | undefined = () => undefined;
  readonly #entra: EntraServer;
  readonly #downloads = new Map<string, { readonly item: Item; readonly until: number }>();
  /** Items by their folder and name. */
  readonly #names = new Map<string, Item>();
  #clock = 0;

  constructor(entra: EntraServer) {
    super();
    this.#entra = entra;
  }

  addSite(path: string, ...libraries: string[]): Site {
    const id = `contoso.sharepoint.com,${randomUUID()},${randomUUID()}`;
    const site: Site = { id, path, drives: [], pages: new Map(), locked: false };
    this.sites.push(site);
    for (const name of libraries) this.addDrive(site, name);
    return site;
  }

  /** Names in addresses may differ from those people see, as `Shared Documents` does. */
  addDrive(site: Site, name: string, webName = name === 'Documents' ? 'Shared Documents' : name): Drive {
    const root: Item = {
      id: itemId(),
      drive: null as never,
      parent: null,
      name: 'root',
      body: null,
      stated: null,
      facets: { root: {} },
      sharedAt: 0,
      grants: [],
      changedAt: ++this.#clock,
      eTag: 1,
      modifiedAt: new Date(),
    };
    const drive: Drive = {
      id: `b!${randomUUID().replaceAll('-', '')}`,
      name,
      webName,
      root,
      items: new Map([[root.id, root]]),
      deleted: new Map(),
    };
    Object.assign(root, { drive });
    site.drives.push(drive);
    return drive;
  }

  /** Writes a file, and makes the folders on the way to it. */
  put(drive: Drive, path: string, body: Buffer | string, facets: Record<string, unknown> = {}): Item {
    const names = path.split('/');
    const name = names.pop() as string;
    let folder = drive.root;
    for (const each of names) folder = this.#child(folder, each) ?? this.#add(folder, each, null);
    const known = this.#child(folder, name);
    if (!known) return this.#add(folder, name, Buffer.from(body), facets);
    known.body = Buffer.from(body);
    known.stated = null;
    known.facets = facets;
    return this.#touch(known);
  }

  find(drive: Drive, path: string): Item {
    let at: Item | undefined = drive.root;
    for (const name of path.split('/').filter(Boolean)) at = at && this.#child(at, name);
    if (!at) throw new Error(`no ${path}`);
    return at;
  }

  move(item: Item, to: { readonly parent?: Item; readonly name?: string }): void {
    this.#names.delete(`${item.parent?.id}/${item.name}`);
    Object.assign(item, to);
    this.#names.set(`${item.parent?.id}/${item.name}`, item);
    this.#touch(item);
  }

  /** Grants on an item, as Graph describes permissions; what lies below inherits them. */
  share(item: Item, ...grants: Record<string, unknown>[]): void {
    item.grants = grants;
    item.sharedAt = ++this.#clock;
  }

  #permissions(item: Item): object[] {
    if (item.grants) return [...item.grants];
    const above = item.parent ? this.#permissions(item.parent) : [];
    return above.map((grant) => ({ ...grant, inheritedFrom: { driveId: item.drive.id } }));
  }

  /** With everything below, each of which is told. */
  remove(item: Item): void {
    if (!item.body) for (const other of [...item.drive.items.values()]) if (other.parent === item) this.remove(other);
    item.drive.items.delete(item.id);
    this.#names.delete(`${item.parent?.id}/${item.name}`);
    item.drive.deleted.set(item.id, ++this.#clock);
  }

  #child(folder: Item, name: string): Item | undefined {
    return this.#names.get(`${folder.id}/${name}`);
  }

  #add(parent: Item, name: string, body: Buffer | null, facets: Record<string, unknown> = {}): Item {
    const item: Item = {
      id: itemId(),
      drive: parent.drive,
      parent,
      name,
      body,
      stated: null,
      facets,
      sharedAt: 0,
      grants: null,
      changedAt: 0,
      eTag: 0,
      modifiedAt: new Date(),
    };
    parent.drive.items.set(item.id, item);
    this.#names.set(`${parent.id}/${name}`, item);
    return this.#touch(item);
  }

  #touch(item: Item): Item {
    item.changedAt = ++this.#clock;
    item.eTag++;
    item.modifiedAt = new Date();
    return item;
  }

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.endpoint);
    const asked: GraphRequest = { operation: operationOf(url.pathname), url };
    this.counts.set(asked.operation, (this.counts.get(asked.operation) ?? 0) + 1);
    for (const [name, value] of Object.entries(this.headers)) response.setHeader(name, value);
    const fault = this.fault(asked);
    if (fault?.kind === 'reset') return void request.socket.destroy();
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'delay') await new Promise((resolve) => setTimeout(resolve, fault.ms));
    if (fault?.kind === 'answer')
      return void response.writeHead(200, { 'content-type': 'application/json' }).end(fault.body);
    if (fault?.kind === 'error') return refuse(response, fault.status, fault.code, fault.message, fault.headers);
    if (asked.operation === 'download') return this.#download(url, request, response, fault);
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const claims = this.#entra.verify(token, AUDIENCE);
    if (!claims)
      return refuse(response, 401, 'InvalidAuthenticationToken', 'Lifetime validation failed, the token is expired.');
    if (!/^NONISV\|/.test(request.headers['user-agent'] ?? ''))
      return refuse(response, 400, 'badRequest', 'user agent');
    this.#answer(asked, claims, response, request.headers.prefer === 'deltashowsharingchanges');
  }

  #answer({ operation, url }: GraphRequest, claims: TokenClaims, response: ServerResponse, sharing: boolean): void {
    const path = decodeURIComponent(url.pathname);
    const bySite = /^\/v1\.0\/sites\/([^/:]+)(?::(\/.*))?$/.exec(path);
    const byDrive = /^\/v1\.0\/drives\/([^/]+)\//.exec(path);
    const site = bySite
      ? this.sites.find((each) => each.path === (bySite[2] ?? ''))
      : this.sites.find(
          ({ id, drives }) =>
            path === `/v1.0/sites/${id}/drives` ||
            path.startsWith(`/v1.0/sites/${id}/pages/`) ||
            drives.some((drive) => drive.id === byDrive?.[1]),
        );
    if (!site) return refuse(response, 404, 'itemNotFound', 'Requested site could not be found');
    if (!this.#permits(claims, site)) return refuse(response, 403, 'accessDenied', 'Access denied');
    if (site.locked) return refuse(response, 423, 'resourceLocked', 'The site is locked');
    if (operation === 'site') return sendJson(response, { id: site.id });
    if (operation === 'pages') return this.#pages(site, path, url, response);
    if (operation === 'drives') return this.#drives(site, url, response);
    const drive = site.drives.find(({ id }) => id === byDrive?.[1]) as Drive;
    if (operation === 'delta') return this.#delta(drive, url, response, sharing);
    if (operation === 'permissions') {
      const shown = drive.items.get(path.split('/').at(-2) as string);
      return shown
        ? sendJson(response, { value: this.#permissions(shown) })
        : refuse(response, 404, 'itemNotFound', 'gone');
    }
    const item = operation === 'path' ? this.#byPath(drive, path) : drive.items.get(path.split('/').at(-1) as string);
    if (!item) return refuse(response, 404, 'itemNotFound', 'The resource could not be found.');
    sendJson(response, { ...this.#describe(item), cTag: `"c:{${item.id}},${item.body?.length}"`, ...this.#link(item) });
  }

  #permits({ roles, appid }: TokenClaims, site: Site): boolean {
    if (roles.some((role) => /^(Sites|Files)\.(Read|ReadWrite)\.All$|^Sites\.FullControl\.All$/.test(role)))
      return true;
    return roles.includes('Sites.Selected') && this.grants.has(`${appid} ${site.id}`);
  }

  #byPath(drive: Drive, path: string): Item | null {
    try {
      return this.find(drive, path.slice(path.indexOf('/root:/') + '/root:/'.length));
    } catch {
      return null;
    }
  }

  #pages(site: Site, path: string, url: URL, response: ServerResponse): void {
    const describe = (id: string, { name, title, eTag, level }: SitePage) => ({
      id,
      name,
      title,
      eTag,
      lastModifiedDateTime: new Date(0).toISOString(),
      publishingState: { level },
    });
    const id = /\/pages\/([^/]+)\/microsoft\.graph\.sitePage$/.exec(path)?.[1];
    if (id === undefined) {
      const all = [...site.pages];
      const from = Number(url.searchParams.get('$skiptoken') ?? 0);
      const next = from + 2 < all.length ? { '@odata.nextLink': `${this.endpoint}${path}?$skiptoken=${from + 2}` } : {};
      return sendJson(response, {
        value: all.slice(from, from + 2).map(([each, page]) => describe(each, page)),
        ...next,
      });
    }
    const page = site.pages.get(id);
    if (!page) return refuse(response, 404, 'itemNotFound', 'The page could not be found.');
    const webparts = page.texts.map((innerHtml) => ({ '@odata.type': '#microsoft.graph.textWebPart', innerHtml }));
    const plain = {
      '@odata.type': '#microsoft.graph.standardWebPart',
      data: { serverProcessedContent: { searchablePlainTexts: [{ key: 'title', value: 'a < b' }] } },
    };
    sendJson(response, {
      ...describe(id, page),
      canvasLayout: { horizontalSections: [{ columns: [{ webparts: [...webparts, plain] }] }] },
    });
  }

  #drives(site: Site, url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('$skiptoken') ?? 0);
    const value = site.drives.slice(from, from + 2).map(({ id, name, webName }) => ({
      id,
      name,
      driveType: 'documentLibrary',
      webUrl: `https://contoso.sharepoint.com${site.path}/${encodeURIComponent(webName)}`,
    }));
    const next =
      from + 2 < site.drives.length
        ? { '@odata.nextLink': `${this.endpoint}/v1.0/sites/${site.id}/drives?$skiptoken=${from + 2}` }
        : {};
    sendJson(response, { value, ...next });
  }

  #delta(drive: Drive, url: URL, response: ServerResponse, sharing: boolean): void {
    const [generation, since = '0', page = '0'] = (url.searchParams.get('token') ?? '').split('.');
    if (generation && Number(generation) !== this.generation) {
      const fresh = `${this.endpoint}/v1.0/drives/${drive.id}/root/delta`;
      return refuse(response, 410, 'resyncChangesApplyDifferences', 'Resync required', { location: fresh });
    }
    const gone = [...drive.deleted].map(([id, at]) => ({
      at,
      value: { id, deleted: { state: 'deleted' }, parentReference: { driveId: drive.id } },
    }));
    const there = [...drive.items.values()].map((item) => ({
      at: sharing ? Math.max(item.changedAt, item.sharedAt) : item.changedAt,
      value: {
        ...this.#describe(item),
        ...(sharing && item.sharedAt > Number(since) ? { '@microsoft.graph.sharedChanged': 'True' } : {}),
      } as object,
    }));
    const known = Number(since);
    const changed = [...there, ...(known > 0 ? gone : [])].filter(({ at }) => at > known).sort((a, b) => a.at - b.at);
    const after = Number(page);
    const rest = changed.filter(({ at }) => at > after);
    const some = rest.slice(0, this.pageSize);
    const value = some.flatMap(({ value }) => (this.repeats ? [older(value), value] : [value]));
    const base = `${this.endpoint}/v1.0/drives/${drive.id}/root/delta?token=${this.generation}`;
    if (some.length < rest.length)
      return sendJson(response, { value, '@odata.nextLink': `${base}.${since}.${some.at(-1)?.at}` });
    sendJson(response, { value, '@odata.deltaLink': `${base}.${some.at(-1)?.at ?? Math.max(known, after)}.0` });
  }

  #describe(item: Item): object {
    const { id, name, parent, body, drive, facets } = item;
    const content = item.stated ?? body;
    const hash = new QuickXor();
    if (content) hash.update(content);
    const hashes =
      this.hashes && content ? { hashes: { quickXorHash: Buffer.from(hash.hex(), 'hex').toString('base64') } } : {};
    return {
      id,
      name,
      size: content?.length ?? 0,
      eTag: `"{${id.toUpperCase()}},${item.eTag}"`,
      lastModifiedDateTime: item.modifiedAt.toISOString(),
      parentReference: { driveId: drive.id, driveType: 'documentLibrary', ...(parent ? { id: parent.id } : {}) },
      ...(facets.package || facets.remoteItem
        ? {}
        : body
          ? { file: { mimeType: 'application/octet-stream', ...hashes } }
          : { folder: { childCount: 0 } }),
      ...facets,
    };
  }

  #link(item: Item): object {
    if (!item.body || item.facets.malware || item.facets.checkedOut) return {};
    const nonce = randomUUID();
    this.#downloads.set(nonce, { item, until: Date.now() + this.linkSeconds * 1000 });
    const link = `${this.linkOrigin ?? this.endpoint}/download/${nonce}?tempauth=${createHash('sha256').update(nonce).digest('hex')}`;
    this.links.push(link);
    return { '@microsoft.graph.downloadUrl': link };
  }

  #download(url: URL, request: IncomingMessage, response: ServerResponse, fault: Fault | undefined): void {
    if (request.headers.authorization) this.strayTokens.push(request.headers.authorization);
    const nonce = url.pathname.split('/').at(-1) as string;
    const known = this.#downloads.get(nonce);
    const authorised = url.searchParams.get('tempauth') === createHash('sha256').update(nonce).digest('hex');
    if (!known || !authorised || known.until <= Date.now())
      return refuse(response, 401, 'unauthenticated', 'The link has expired');
    const whole = known.item.body as Buffer;
    const range = this.ignoreRanges ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = range ? Number(range[1]) : 0;
    if (range && start >= whole.length) return refuse(response, 416, 'invalidRange', 'range');
    const end = range?.[2] ? Math.min(Number(range[2]) + 1, whole.length) : whole.length;
    const body = faultyBody(whole.subarray(start, end), fault);
    response.writeHead(range ? 206 : 200, {
      'content-type': 'application/octet-stream',
      'content-length': body.length,
      ...(range ? { 'content-range': `bytes ${start}-${end - 1}/${whole.length}` } : {}),
    });
    sendBody(response, body, fault);
  }
}

function itemId(): string {
  return `01${randomUUID().replaceAll('-', '').toUpperCase()}`;
}

function older(value: object): object {
  return { ...value, name: 'an older name', size: 1 };
}

function operationOf(path: string): GraphRequest['operation'] {
  if (path.startsWith('/download/')) return 'download';
  if (path.endsWith('/root/delta')) return 'delta';
  if (path.endsWith('/drives')) return 'drives';
  if (path.includes('/pages/')) return 'pages';
  if (path.endsWith('/permissions')) return 'permissions';
  if (path.startsWith('/v1.0/sites/')) return 'site';
  return path.includes('/root:') ? 'path' : 'item';
}

function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  message = code,
  headers: Record<string, string> = {},
): void {
  const innerError = { date: new Date().toISOString(), 'request-id': randomUUID() };
  response.writeHead(status, {
    'content-type': 'application/json',
    'request-id': innerError['request-id'],
    ...headers,
  });
  response.end(JSON.stringify({ error: { code, message, innerError } }));
}

function sendJson(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
