import { readdir } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { azure } from '../connectors/azure/connector.ts';
import { gcs } from '../connectors/gcs/connector.ts';
import type { AnyConnector } from '../connectors/index.ts';
import { s3 } from '../connectors/s3/connector.ts';
import type { Entry, Source } from '../src/contract/connector.ts';
import { Secret } from '../src/contract/secret.ts';
import { withVerification } from '../src/layers/verify.ts';
import { runtimeFor } from './runtime.ts';
import { GcsServer } from './servers/gcs.ts';
import { LoopbackServer } from './servers/loopback.ts';
import { Service } from './service.ts';

const signal = new AbortController().signal;
const MIB = 1024 * 1024;

/** Answers whatever it was told to. */
class Hostile extends LoopbackServer {
  answer: (request: IncomingMessage, response: ServerResponse) => void = () => undefined;

  protected handle(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', () => undefined);
    this.answer(request, response);
  }
}

const listing = (inside: string) =>
  `<?xml version="1.0"?>${inside.startsWith('<!') ? inside.slice(0, inside.indexOf(']>') + 2) : ''}<ListBucketResult><Name>b</Name>${inside.startsWith('<!') ? inside.slice(inside.indexOf(']>') + 2) : inside}</ListBucketResult>`;
const object = (key: string, size: number | string = 1) =>
  `<Contents><Key>${key}</Key><ETag>&quot;e&quot;</ETag><Size>${size}</Size></Contents>`;
const LAUGHS = Array.from({ length: 12 }, (_, n) => `<!ENTITY l${n + 1} "${`&l${n};`.repeat(12)}">`).join('');

describe('a hostile endpoint', () => {
  let server: Hostile;
  let google: GcsServer;
  beforeAll(async () => {
    server = await new Hostile().listen();
    google = await new GcsServer().listen();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await google[Symbol.asyncDispose]();
  });
  const open = (connector: AnyConnector, credential: object, path: string): Source =>
    withVerification(
      connector.open(
        new Secret(connector.parseCredential(credential)),
        connector.parseLocation(path),
        runtimeFor(server.endpoint, google.endpoint),
      ),
    );
  const sources = (): [string, Source][] => [
    ['s3', open(s3, { access_key_id: 'a', secret_access_key: 'b', endpoint: server.endpoint }, 's3://bucket')],
    [
      'azure',
      open(
        azure,
        { account_name: 'account', sas_token: 'sv=1&sp=rl&sig=x', endpoint: `${server.endpoint}/account` },
        'azure://container',
      ),
    ],
    [
      'gcs',
      open(
        gcs,
        { ...google.createKeyFile('reader'), endpoint: server.endpoint, token_uri: `${google.endpoint}/token` },
        'gs://bucket',
      ),
    ],
  ];
  const quickly = async (work: Promise<unknown>) => {
    const started = performance.now();
    const before = process.memoryUsage().rss;
    const outcome = await work.then(
      (value) => ({ value }),
      (error: { code?: string }) => ({ code: error.code }),
    );
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * MIB);
    return outcome;
  };

  test('bombs of XML, JSON and gzip are no listings, and cost little', async () => {
    const bombs: [string, string | Buffer, Record<string, string>][] = [
      ['laughs', listing(`<!DOCTYPE l [<!ENTITY l0 "lol">${LAUGHS}]>${object('&l12;')}`), {}],
      ['external entity', listing(`<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>${object('&x;')}`), {}],
      ['nesting', listing('<a>'.repeat(200_000)), {}],
      ['nested JSON', '['.repeat(2_000_000), {}],
      ['a page without end', listing(object('x').repeat(900_000)), {}],
      ['gzip', gzipSync(Buffer.alloc(200 * MIB, '{')), { 'content-encoding': 'gzip' }],
    ];
    for (const [what, body, headers] of bombs) {
      server.answer = (_request, response) => void response.writeHead(200, headers).end(body);
      for (const [cloud, source] of sources()) {
        const outcome = await quickly(source.listPage(null, signal));
        const text = JSON.stringify(outcome);
        expect(text, `${what} at ${cloud}`).not.toContain('root:');
        // What comes of it is an error, or a listing that is none: never keys that a bomb has made.
        expect(text.length, `${what} at ${cloud}: ${text.slice(0, 200)}`).toBeLessThan(2000);
        await source[Symbol.asyncDispose]();
      }
    }
  }, 180_000);

  test('a listing that repeats its token for ever ends with an error', async () => {
    server.answer = (request, response) => {
      const url = request.url ?? '';
      if (url.includes('/storage/v1/')) return void response.end('{"items":[],"nextPageToken":"again"}');
      if (url.includes('comp=list'))
        return void response.end(
          '<?xml version="1.0"?><EnumerationResults><Blobs></Blobs><NextMarker>again</NextMarker></EnumerationResults>',
        );
      response.end(listing('<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>'));
    };
    for (const [cloud, source] of sources()) {
      const first = await source.listPage(null, signal);
      const next = first.next.kind === 'more' ? first.next.pageToken : '';
      await expect(source.listPage(next, signal), cloud).rejects.toMatchObject({ code: 'invalid_listing' });
      await source[Symbol.asyncDispose]();
    }
  });

  test('bodies that lie about their length, or never end, are cut off where the listing says', async () => {
    const entry = (size: number): Entry => ({ key: 'k', path: 'k', version: '"e"', size, modifiedAt: 0 });
    const read = async (source: Source, size: number) => {
      const { whole, body } = await source.read(entry(size), undefined, signal);
      let bytes = whole?.length ?? 0;
      if (!whole) for await (const chunk of body) bytes += chunk.length;
      return bytes;
    };
    let sent = 0;
    const endless = (_request: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { etag: '"e"' });
      const chunk = Buffer.alloc(MIB);
      const more = () => {
        while (!response.destroyed && sent < 500) {
          sent++;
          if (!response.write(chunk)) return void response.once('drain', more);
        }
      };
      more();
    };
    for (const size of [10, 3 * MIB]) {
      for (const [cloud, source] of sources()) {
        sent = 0;
        server.answer = endless;
        expect(await quickly(read(source, size)), `${cloud} endless`).toMatchObject({ code: 'truncated' });
        expect(sent, cloud).toBeLessThan(200);
        // It says that there is more than there is, and the connection breaks off.
        server.answer = (_request, response) => {
          response.writeHead(200, { etag: '"e"', 'content-length': size });
          response.write('short');
          setTimeout(() => response.destroy(), 50);
        };
        expect((await quickly(read(source, size))) as { code?: string }, `${cloud} short`).toHaveProperty('code');
        await source[Symbol.asyncDispose]();
      }
    }
    const [[, source] = []] = sources();
    // The largest that S3 has: its size is exact, and what does not arrive is missed.
    server.answer = (_request, response) =>
      void response.end(listing(`<IsTruncated>false</IsTruncated>${object('huge', 5 * 2 ** 40)}`));
    expect((await source?.listPage(null, signal))?.entries[0]?.size).toBe(5_497_558_138_880);
    server.answer = (_request, response) => void response.writeHead(200, { etag: '"e"' }).end('x'.repeat(100));
    expect(await quickly(read(source as Source, 5 * 2 ** 40))).toMatchObject({ code: 'truncated' });
    await source?.[Symbol.asyncDispose]();
  });

  test('sizes and keys that cannot be are refused', async () => {
    for (const bad of [
      object('x', -1),
      object('x', 'NaN'),
      object('x', '9'.repeat(30)),
      '<Contents><Size>1</Size></Contents>',
    ]) {
      server.answer = (_request, response) => void response.end(listing(`<IsTruncated>false</IsTruncated>${bad}`));
      const [[, source] = []] = sources();
      const outcome = (await quickly((source as Source).listPage(null, signal))) as {
        code?: string;
        value?: { entries: Entry[] };
      };
      if (outcome.value)
        for (const { size } of outcome.value.entries) expect(Number.isSafeInteger(size) && size >= 0, bad).toBe(true);
      else expect(outcome.code, bad).toBeTruthy();
      await source?.[Symbol.asyncDispose]();
    }
  });
});

describe('hostile documents', () => {
  let service: Service;
  beforeAll(async () => {
    service = await Service.start();
  });
  afterAll(() => service[Symbol.asyncDispose](), 60_000);

  const KEYS = [
    '../../etc/passwd',
    '/etc/passwd',
    'a/../../../b',
    '..',
    'e\u0301'.repeat(341),
    'CON',
    'aux.txt',
    'name:stream',
    'trailing dot.',
    'back\\slash\\..\\x',
    'case.txt',
    'CASE.TXT',
    'é.txt',
    'e\u0301.txt',
    'esc\u001b[31mred',
    'bell\u0007',
    '<script>alert(1)</script>.html',
    '%2e%2e%2f%2e%2e%2f',
    '\u202Egnp.exe',
    ' ',
  ];

  test('keys of any kind are names and no places: nothing is written outside, each is a document of its own', async () => {
    const { deployment } = service;
    for (const [n, key] of KEYS.entries()) deployment.s3.put('docs', key, `content ${n}`);
    deployment.s3.put('docs', 'page.html', '<script>alert(document.cookie)</script>', { contentType: 'text/html' });
    deployment.s3.put('docs', 'picture.svg', '<svg onload="alert(1)"/>', { contentType: 'image/svg+xml' });
    deployment.s3.put('docs', 'odd', 'x', { contentType: 'text/html\r\nx-injected: 1'.replace(/\r\n/g, ' ') });
    await deployment.putSecret();
    await deployment.connect();
    const before = await readdir(deployment.folder);
    const answer = await deployment.run('sync', 'handbook');
    expect(answer.stdout, answer.stderr).toContain(`${KEYS.length + 3} added`);
    expect(await readdir(deployment.folder)).toEqual(before);
    const stored = await readdir(join(deployment.dataDir, 'content'), { recursive: true });
    for (const name of stored) expect(name).toMatch(/^[\w./-]+$/);
    const { items } = await service.client().call('documents.list', { collection: 'handbook', limit: 100 });
    expect(new Set(items.map(({ key }) => key))).toEqual(new Set([...KEYS, 'page.html', 'picture.svg', 'odd']));
    for (const { id, key } of items) {
      const got = await service.request('GET', `/v1/documents/${id}/content`);
      const n = KEYS.indexOf(key);
      if (n >= 0) expect(got.text, key).toBe(`content ${n}`);
    }
    // What a terminal shows has no commands for it.
    const list = await deployment.run('documents', 'list', 'handbook');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
    expect(list.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
  });

  test('documents are served so that they run nothing', async () => {
    const { items } = await service.client().call('documents.list', { collection: 'handbook', limit: 100 });
    for (const key of ['page.html', 'picture.svg', '<script>alert(1)</script>.html', 'odd']) {
      const id = items.find((each) => each.key === key)?.id;
      for (const query of ['', '?disposition=inline']) {
        const { headers, status } = await service.request('GET', `/v1/documents/${id}/content${query}`);
        expect(status).toBe(200);
        expect(headers.get('content-security-policy'), key).toMatch(/default-src 'none'.*sandbox/);
        expect(headers.get('x-content-type-options')).toBe('nosniff');
        expect(headers.get('content-disposition'), key).toMatch(/^attachment; filename\*=UTF-8''[\w.%~!-]+$/);
        expect(headers.get('x-injected')).toBe(null);
      }
    }
  }, 30_000);
});
