import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sharepoint } from '../../connectors/sharepoint/connector.ts';
import { systemClock } from '../../src/clock.ts';
import type { Entry, Runtime } from '../../src/contract/connector.ts';
import { Secret } from '../../src/contract/secret.ts';
import { withRetry } from '../../src/layers/retry.ts';
import { withVerification } from '../../src/layers/verify.ts';
import { followChanges, memoryMirror, withMirror } from '../../src/sync/mirror.ts';
import { bytesOf, listAll, withEverything } from '../conformance/connector.ts';
import { runtimeFor } from '../runtime.ts';
import { EntraServer } from '../servers/entra.ts';
import { type Drive, GraphServer, type Site } from '../servers/graph.ts';
import { trustedCertificate } from '../servers/tls.ts';

const signal = new AbortController().signal;
const HOST = 'https://contoso.sharepoint.com';
const QUICK = { attempts: 4, throttledForMs: 60_000, baseDelayMs: 1, maxDelayMs: 5, maxRetryAfterMs: 60_000 };

let entra: EntraServer;
let graph: GraphServer;
let site: Site;
let drive: Drive;
let app: Record<string, string>;
beforeAll(async () => {
  entra = await new EntraServer(await trustedCertificate()).listen();
});
afterAll(() => entra[Symbol.asyncDispose]());
beforeEach(async () => {
  graph = await new GraphServer(entra).listen();
  site = graph.addSite('/sites/Handbook', 'Documents');
  drive = site.drives[0] as Drive;
  app = { ...entra.registerApp(['Sites.Selected']), graph_endpoint: graph.endpoint };
  graph.grants.add(`${app.client_id} ${site.id}`);
  return () => graph[Symbol.asyncDispose]();
});

function open(path = '/sites/Handbook/Documents', fields: Record<string, unknown> = app, more: Partial<Runtime> = {}) {
  const runtime = { ...runtimeFor(graph.endpoint, entra.authority), ...more };
  return sharepoint.open(
    new Secret(sharepoint.parseCredential(fields)),
    sharepoint.parseLocation(HOST + path),
    runtime,
  );
}

async function paths(path: string): Promise<string[]> {
  await using source = withEverything(open(path));
  return (await listAll(source)).map((entry) => entry.path).sort();
}

async function firstEntry(path?: string): Promise<Entry> {
  await using source = withEverything(open(path));
  const [entry] = await listAll(source);
  return entry as Entry;
}

describe('where a path leads', () => {
  test('to all libraries of a site, to one by either of its names, to a folder, and to a subsite', async () => {
    for (const name of ['Contracts', 'Policies', 'Zebra']) graph.put(graph.addDrive(site, name), `${name}.txt`, 'x');
    graph.put(drive, 'a/b/deep file.txt', 'x');
    graph.put(drive, 'a-b/other.txt', 'x');
    const subsite = graph.addSite('/sites/Handbook/Team', 'Plans');
    graph.grants.add(`${app.client_id} ${subsite.id}`);
    graph.put(subsite.drives[0] as Drive, 'plan.txt', 'x');
    const root = graph.addSite('', 'Documents');
    graph.grants.add(`${app.client_id} ${root.id}`);
    graph.put(root.drives[0] as Drive, 'home.txt', 'x');
    expect(await paths('/sites/Handbook')).toEqual([
      'Contracts/Contracts.txt',
      'Documents/a-b/other.txt',
      'Documents/a/b/deep file.txt',
      'Policies/Policies.txt',
      'Zebra/Zebra.txt',
    ]);
    for (const name of ['Documents', 'documents', 'Shared%20Documents']) {
      expect(await paths(`/sites/Handbook/${name}`), name).toEqual(['a-b/other.txt', 'a/b/deep file.txt']);
    }
    expect(await paths('/sites/Handbook/Documents/a/')).toEqual(['b/deep file.txt']);
    expect(await paths('/sites/Handbook/Documents/a/b')).toEqual(['deep file.txt']);
    expect(await paths('/sites/Handbook/Team/Plans')).toEqual(['plan.txt']);
    expect(await paths('/sites/Handbook/Team')).toEqual(['Plans/plan.txt']);
    expect(await paths('/')).toEqual(['Documents/home.txt']);
  });

  test('nowhere, and says which part is not there', async () => {
    graph.put(drive, 'file.txt', 'x');
    const problem = async (path: string) => (await open(path).check(signal)).problem;
    expect(await problem('/sites/Missing')).toMatchObject({ code: 'not_found', hint: expect.stringContaining('path') });
    expect((await problem('/sites/Handbook/Missing'))?.message).toContain('"Missing"');
    expect(await problem('/sites/Handbook/Documents/missing')).toMatchObject({ code: 'not_found' });
    expect((await problem('/sites/Handbook/Documents/file.txt'))?.message).toContain('file');
  });
});

describe('the listing of changes', () => {
  test('goes on from its cursor, and tells renames, moves, writes and removals of whatever lies anywhere', async () => {
    graph.pageSize = 3;
    for (let i = 0; i < 8; i++) graph.put(drive, `reports/2026/${i}.txt`, `text ${i}`);
    const mirror = memoryMirror();
    await using source = open();
    await followChanges(source, mirror, signal);
    const state = async () =>
      (await listAll(withMirror(source, mirror))).map(({ key, path, version }) => ({ key, path, version }));
    const before = await state();
    expect(before.length).toBe(8);
    const calls = graph.counts.get('delta') ?? 0;
    await followChanges(source, mirror, signal);
    expect(await state()).toEqual(before);
    expect((graph.counts.get('delta') ?? 0) - calls).toBe(1);

    graph.move(graph.find(drive, 'reports'), { name: 'archive' });
    graph.move(graph.find(drive, 'archive/2026/0.txt'), { name: 'renamed.txt', parent: drive.root });
    graph.put(drive, 'archive/2026/1.txt', 'written');
    graph.remove(graph.find(drive, 'archive/2026/2.txt'));
    await followChanges(source, mirror, signal);
    const after = await state();
    expect(after.map(({ path }) => path).sort()).toEqual([
      'archive/2026/1.txt',
      ...[3, 4, 5, 6, 7].map((i) => `archive/2026/${i}.txt`),
      'renamed.txt',
    ]);
    const old = new Map(before.map((each) => [each.key, each]));
    for (const { key, path, version } of after) {
      expect(old.has(key), path).toBe(true);
      expect(version === old.get(key)?.version, path).toBe(path !== 'archive/2026/1.txt');
    }
  });

  test('of a folder follows what is moved into it and out of it, and its own renaming', async () => {
    graph.put(drive, 'wanted/a.txt', 'a');
    graph.put(drive, 'other/b.txt', 'b');
    const mirror = memoryMirror();
    await using source = open('/sites/Handbook/Documents/wanted');
    const now = async () => {
      await followChanges(source, mirror, signal);
      return (await listAll(withMirror(source, mirror))).map(({ path }) => path).sort();
    };
    expect(await now()).toEqual(['a.txt']);
    graph.move(graph.find(drive, 'other'), { parent: graph.find(drive, 'wanted') });
    expect(await now()).toEqual(['a.txt', 'other/b.txt']);
    graph.move(graph.find(drive, 'wanted'), { name: 'renamed' });
    graph.move(graph.find(drive, 'renamed/a.txt'), { parent: drive.root });
    expect(await now()).toEqual(['other/b.txt']);
  });

  test('begins anew when its link is too old, and then lists what it has and not what is gone', async () => {
    graph.pageSize = 2;
    for (const name of ['a', 'b', 'c', 'd', 'e']) graph.put(drive, `${name}.txt`, name);
    const mirror = memoryMirror();
    await using source = open();
    await followChanges(source, mirror, signal);
    graph.remove(graph.find(drive, 'c.txt'));
    drive.deleted.clear();
    graph.generation++;
    await followChanges(source, mirror, signal);
    expect((await listAll(withMirror(source, mirror))).map(({ path }) => path).sort()).toEqual([
      'a.txt',
      'b.txt',
      'd.txt',
      'e.txt',
    ]);
    // In the middle, too: the page after the first is asked for with a link that is no longer known.
    const first = await source.listPage(null, signal);
    if (first.next.kind !== 'more') throw new Error('one page only');
    const second = await source.listPage(first.next.pageToken, signal);
    if (second.next.kind !== 'more') throw new Error('two pages only');
    graph.generation++;
    expect((await source.listPage(second.next.pageToken, signal)).changes?.begins).toBe(true);
  });

  test('takes an item that comes twice by its later state', async () => {
    graph.repeats = true;
    graph.put(drive, 'folder/a.txt', 'text');
    expect(await paths('/sites/Handbook/Documents')).toEqual(['folder/a.txt']);
    expect((await firstEntry()).size).toBe(4);
  });

  test('finds libraries that were added, renamed and removed since', async () => {
    graph.put(drive, 'a.txt', 'a');
    const second = graph.addDrive(site, 'Second');
    graph.put(second, 'b.txt', 'b');
    const mirror = memoryMirror();
    await using source = open('/sites/Handbook');
    const now = async () => {
      await followChanges(source, mirror, signal);
      return (await listAll(withMirror(source, mirror))).map(({ path }) => path).sort();
    };
    expect(await now()).toEqual(['Documents/a.txt', 'Second/b.txt']);
    graph.put(graph.addDrive(site, 'Third'), 'c.txt', 'c');
    second.name = 'Renamed';
    expect(await now()).toEqual(['Documents/a.txt', 'Renamed/b.txt', 'Third/c.txt']);
    site.drives.splice(1, 1);
    expect(await now()).toEqual(['Documents/a.txt', 'Third/c.txt']);
  });

  test('skips what has no content, and says why', async () => {
    graph.put(drive, 'notebook', '', { package: { type: 'oneNote' } });
    graph.put(drive, 'shortcut', '', { remoteItem: { id: 'elsewhere' } });
    graph.put(drive, 'infected.exe', 'x', { malware: { description: 'bad' } });
    graph.put(drive, 'draft.docx', 'x', { checkedOut: true });
    await using source = withEverything(open());
    const entries = new Map((await listAll(source)).map((entry) => [entry.path, entry]));
    expect([...entries].map(([path, { unreadable }]) => [path, unreadable]).sort()).toEqual([
      ['draft.docx', undefined],
      ['infected.exe', 'malware'],
      ['notebook', 'package'],
    ]);
    await expect(source.read(entries.get('draft.docx') as Entry, undefined, signal)).rejects.toMatchObject({
      code: 'not_downloadable',
    });
  });

  test('does not take a listing that is cut short, or whose links lead elsewhere, for a whole one', async () => {
    graph.put(drive, 'a.txt', 'a');
    for (const [answer, code] of [
      [{ value: [] }, 'invalid_listing'],
      [{ value: 'nothing' }, 'invalid_listing'],
      [{}, 'invalid_listing'],
    ] as const) {
      graph.fault = ({ operation }) =>
        operation === 'delta' ? { kind: 'answer', body: JSON.stringify(answer) } : undefined;
      await expect(followChanges(open(), memoryMirror(), signal)).rejects.toMatchObject({ code });
    }
    graph.fault = ({ operation }) =>
      operation === 'delta'
        ? { kind: 'answer', body: JSON.stringify({ value: [], '@odata.nextLink': 'http://127.0.0.1:9/v1.0/x' }) }
        : undefined;
    await expect(followChanges(open(), memoryMirror(), signal)).rejects.toMatchObject({ code: 'invalid_listing' });
  });
});

describe('content', () => {
  test('comes by a link that gets no token, leads to a host of files, and is renewed when it has expired', async () => {
    graph.put(drive, 'a.txt', 'text');
    const entry = await firstEntry();
    await using source = withVerification(withRetry(open(), true, systemClock, QUICK));
    expect((await bytesOf(source.read(entry, undefined, signal))).toString()).toBe('text');
    expect(graph.strayTokens).toEqual([]);
    let expired = 2;
    graph.fault = ({ operation }) =>
      operation === 'download' && expired-- > 0 ? { kind: 'error', status: 401, code: 'unauthenticated' } : undefined;
    const before = graph.links.length;
    expect((await bytesOf(source.read(entry, undefined, signal))).toString()).toBe('text');
    expect(graph.links.length - before).toBe(3);
    for (const origin of [
      'http://127.0.0.1:9',
      'https://files.example.com',
      'https://contoso.sharepoint.com.example.com',
    ]) {
      graph.linkOrigin = origin;
      await expect(source.read(entry, undefined, signal), origin).rejects.toMatchObject({ code: 'endpoint_refused' });
    }
  });

  test('is cut out of the whole when the host ignores ranges', async () => {
    graph.put(drive, 'a.txt', '0123456789');
    graph.ignoreRanges = true;
    const entry = await firstEntry();
    await using source = open();
    expect((await bytesOf(source.read(entry, { start: 3, end: 7 }, signal))).toString()).toBe('3456');
    expect((await bytesOf(source.read(entry, { start: 8 }, signal))).toString()).toBe('89');
  });

  test('of Office files may differ from what is stated, and comes with a warning; of others it may not', async () => {
    for (const name of ['report.docx', 'report.txt']) {
      const item = graph.put(drive, name, 'rewritten by SharePoint');
      item.stated = Buffer.from('as it was uploaded');
    }
    await using source = withEverything(withVerification(withRetry(open(), true, systemClock, QUICK)));
    const [docx, txt] = (await listAll(source)).sort((a, b) => (a.path < b.path ? -1 : 1)) as [Entry, Entry];
    const content = await source.read(docx, undefined, signal);
    expect((await bytesOf(content)).toString()).toBe('rewritten by SharePoint');
    expect(content.warning?.()).toContain('listed');
    await expect(bytesOf(source.read(txt, undefined, signal))).rejects.toMatchObject({ code: 'truncated' });
  });

  test('is pinned to the listed version also where there are no hashes', async () => {
    graph.hashes = false;
    const item = graph.put(drive, 'a.txt', 'first');
    const entry = await firstEntry();
    expect(entry.version).toMatch(/^etag /);
    await using source = open();
    expect((await bytesOf(source.read(entry, undefined, signal))).toString()).toBe('first');
    item.eTag++;
    await expect(source.read(entry, undefined, signal)).rejects.toMatchObject({ code: 'changed_during_fetch' });
  });
});

test('who may see a file is kept, follows what is granted above it, and tells links by whom they serve', async () => {
  for (const path of ['team/a.txt', 'team/deep/b.txt', 'open.txt']) graph.put(drive, path, path);
  const person = {
    grantedToV2: {
      user: { id: 'u-1', displayName: 'Ada', email: 'ada@contoso.example' },
      siteUser: { id: '7', loginName: 'i:0#' },
    },
    roles: ['write'],
  };
  const group = { grantedToV2: { siteGroup: { id: '5', displayName: 'Members' } }, roles: ['read'] };
  const link = {
    link: { scope: 'anonymous', webUrl: 'https://contoso.sharepoint.com/:t:/s/canary-of-a-link' },
    roles: ['read'],
  };
  graph.share(drive.root, group);
  const location = sharepoint.parseLocation(`${HOST}/sites/Handbook/Documents`, '', { permissions: true });
  await using source = sharepoint.open(
    new Secret(sharepoint.parseCredential(app)),
    location,
    runtimeFor(graph.endpoint, entra.authority),
  );
  const mirror = memoryMirror();
  const now = async () => {
    await followChanges(source, mirror, signal);
    return new Map((await listAll(withMirror(source, mirror))).map((entry) => [entry.path, entry]));
  };
  const grantsOf = async (entry: Entry | undefined) => {
    const content = await withVerification(source).read(entry as Entry, undefined, signal);
    await bytesOf(content);
    return content.grants;
  };
  const before = await now();
  expect(await grantsOf(before.get('team/deep/b.txt'))).toEqual([
    { kind: 'group', id: '5', name: 'Members', roles: ['read'], inherited: true },
  ]);
  expect([...(await now())]).toEqual([...before]);
  graph.share(graph.find(drive, 'team'), person, link);
  const after = await now();
  const changed = [...after]
    .filter(([path, { version }]) => version !== before.get(path)?.version)
    .map(([path]) => path);
  expect(changed.sort()).toEqual(['team/a.txt', 'team/deep/b.txt']);
  const grants = await grantsOf(after.get('team/a.txt'));
  expect(grants).toEqual([
    { kind: 'user', id: 'u-1', name: 'ada@contoso.example', roles: ['write'], inherited: true },
    { kind: 'anyone', roles: ['read'], inherited: true },
  ]);
  expect(JSON.stringify(grants)).not.toContain('canary');
  graph.fault = ({ operation }) =>
    operation === 'permissions' ? { kind: 'error', status: 403, code: 'accessDenied' } : undefined;
  await expect(grantsOf(after.get('open.txt'))).rejects.toMatchObject({ code: 'permission_denied' });
});

test('site pages become documents of HTML, follow their changes and go', async () => {
  graph.put(drive, 'file.txt', 'x');
  const page = (title: string, eTag = '1') => ({
    name: `${title}.aspx`,
    title,
    eTag,
    level: 'published' as const,
    texts: [`<p>About ${title}</p>`],
  });
  for (const title of ['Home', 'News', 'R&D']) site.pages.set(`id-${title}`, page(title));
  site.pages.set('id-draft', { ...page('Draft'), level: 'draft' });
  const location = sharepoint.parseLocation(`${HOST}/sites/Handbook`, '', { site_pages: true });
  await using source = sharepoint.open(
    new Secret(sharepoint.parseCredential(app)),
    location,
    runtimeFor(graph.endpoint, entra.authority),
  );
  const mirror = memoryMirror();
  const now = async () => {
    await followChanges(source, mirror, signal);
    return new Map((await listAll(withMirror(source, mirror))).map((entry) => [entry.path, entry]));
  };
  const first = await now();
  expect([...first.keys()].sort()).toEqual([
    'Documents/file.txt',
    'SitePages/Home.aspx',
    'SitePages/News.aspx',
    'SitePages/R&D.aspx',
  ]);
  const layered = withVerification(withRetry(source, true, systemClock, QUICK));
  const content = await layered.read(first.get('SitePages/R&D.aspx') as Entry, undefined, signal);
  expect(content.contentType).toContain('text/html');
  const html = (await bytesOf(content)).toString();
  expect(html).toContain('<title>R&amp;D</title>');
  expect(html).toContain('<p>About R&D</p>');
  expect(html).toContain('<p>a &lt; b</p>');
  site.pages.delete('id-News');
  site.pages.set('id-Home', page('Home', '2'));
  const second = await now();
  expect([...second.keys()].sort()).toEqual(['Documents/file.txt', 'SitePages/Home.aspx', 'SitePages/R&D.aspx']);
  expect(second.get('SitePages/Home.aspx')?.version).not.toBe(first.get('SitePages/Home.aspx')?.version);
  await expect(layered.read(first.get('SitePages/Home.aspx') as Entry, undefined, signal)).rejects.toMatchObject({
    code: 'changed_during_fetch',
  });
  await expect(layered.read(first.get('SitePages/News.aspx') as Entry, undefined, signal)).rejects.toMatchObject({
    code: 'not_found',
  });
});

describe('rights and quotas', () => {
  test('a certificate opens the site; a site that is not granted, locked, or a token that is revoked says so', async () => {
    graph.put(drive, 'a.txt', 'x');
    const other = { ...(await entra.registerCertificateApp(['Sites.Selected'])), graph_endpoint: graph.endpoint };
    expect((await open(undefined, other).check(signal)).problem).toMatchObject({
      code: 'permission_denied',
      hint: expect.stringContaining('Sites.Selected'),
    });
    graph.grants.add(`${other.client_id} ${site.id}`);
    expect(await open(undefined, other).check(signal)).toEqual({ reachable: true, readable: true, warnings: [] });
    site.locked = true;
    expect((await open().check(signal)).problem).toMatchObject({ code: 'locked' });
    site.locked = false;
    await using source = open();
    await source.listPage(null, signal);
    entra.revokeTokens();
    await expect(source.listPage(null, signal)).rejects.toMatchObject({ code: 'credential_rejected' });
  });

  test('check tells of rights beyond the task', async () => {
    graph.put(drive, 'a.txt', 'x');
    const warned = async (...roles: string[]) => {
      const fields = { ...entra.registerApp(roles), graph_endpoint: graph.endpoint };
      return (await open(undefined, fields).check(signal)).warnings.join();
    };
    expect(await warned('Sites.Read.All')).toContain('every site');
    expect(await warned('Sites.ReadWrite.All', 'Sites.Selected')).toContain('write: Sites.ReadWrite.All');
    expect((await open().check(signal)).warnings).toEqual([]);
  });

  test('Retry-After is passed on, and requests are spread out when the quota becomes scarce', async () => {
    graph.put(drive, 'a.txt', 'x');
    const slowed: number[] = [];
    await using source = open(undefined, app, { slowDown: (ms) => void slowed.push(ms) });
    await source.listPage(null, signal);
    expect(slowed).toEqual([]);
    graph.headers = { 'RateLimit-Limit': '1200', 'RateLimit-Remaining': '100', 'RateLimit-Reset': '30' };
    await source.listPage(null, signal);
    expect(slowed[0]).toBe(300);
    graph.headers = {};
    for (const status of [429, 503]) {
      graph.fault = () => ({ kind: 'error', status, code: 'activityLimitReached', headers: { 'retry-after': '120' } });
      await expect(source.listPage(null, signal)).rejects.toMatchObject({
        code: 'throttled',
        retryable: true,
        retryAfterMs: 120_000,
      });
    }
  });

  test('Graph elsewhere, and an identity service elsewhere, are contacted only where they are listed', () => {
    const refused = expect.objectContaining({ code: 'endpoint_refused' });
    const none = { egress: runtimeFor().egress };
    expect(() => open('/sites/x', app, none)).toThrow(refused);
    expect(() => open('/sites/x', { ...app, graph_endpoint: undefined }, none)).toThrow(refused);
    const { authority: _, graph_endpoint: __, ...plain } = app;
    for (const cloud of ['public', 'usgov', 'usgovdod', 'china'])
      expect(() => open('/sites/x', { ...plain, cloud }, none)).not.toThrow();
    expect(() => open('/sites/x', { auth: 'managed_identity' }, none)).toThrow(
      expect.objectContaining({ code: 'ambient_refused' }),
    );
  });
});

test('neither the source, its pages nor its errors show the secret, a token or a link', async () => {
  graph.put(drive, 'a.txt', 'text');
  const entry = await firstEntry();
  const shown: string[] = [];
  for (const fields of [
    app,
    { ...(await entra.registerCertificateApp(['Sites.Read.All'])), graph_endpoint: graph.endpoint },
  ]) {
    const source = open(undefined, fields);
    const secrets = [...entra.tokens, String((fields as Record<string, unknown>).client_secret)].join(' ');
    const page = await source.listPage(null, signal);
    shown.push(inspect(source, { depth: 20, showHidden: true }), JSON.stringify(page));
    await bytesOf(source.read(entry, undefined, signal));
    for (const status of [301, 302, 400, 401, 403, 404, 410, 416, 423, 429, 500, 503]) {
      const headers = {
        location: `${graph.endpoint}/stolen?${encodeURIComponent(secrets.slice(0, 900))}`,
        'request-id': encodeURIComponent(secrets.slice(0, 900)),
      };
      for (const only of [['site'], ['drives'], ['delta'], ['item'], ['download']]) {
        graph.fault = ({ operation }) =>
          only.includes(operation) ? { kind: 'error', status, code: secrets, message: secrets, headers } : undefined;
        const calls = [
          followChanges(source, memoryMirror(), signal),
          source.check(signal),
          bytesOf(source.read(entry, undefined, signal)).then(() => null),
        ];
        for (const outcome of await Promise.allSettled(calls))
          shown.push(inspect(outcome, { depth: 20, showHidden: true }), JSON.stringify(outcome));
      }
    }
    graph.fault = () => undefined;
  }
  const values = [
    app.client_secret as string,
    ...entra.tokens,
    ...graph.links.map((link) => new URL(link).searchParams.get('tempauth') as string),
  ];
  expect(values.length).toBeGreaterThan(10);
  for (const text of shown) for (const value of values) expect(text.includes(value), text.slice(0, 500)).toBe(false);
  expect(graph.strayTokens).toEqual([]);
});
