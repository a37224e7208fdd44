import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attachEmbedded } from '../src/db/embedded.ts';
import { openPool } from '../src/db/pool.ts';
import { Needles, WINDOW } from '../src/leakcheck/needles.ts';
import { addCredential, searchPlaces } from '../src/leakcheck/search.ts';
import { encodingsOf } from './canary.ts';
import { Deployment } from './deployment.ts';

const label = { secretId: 'my-creds', version: '1', field: 'secret' };

describe('the search', () => {
  test('finds any twelve characters of any form, anywhere, and nothing else', () => {
    const value = fc.string({ minLength: 16, maxLength: 60, unit: 'grapheme-ascii' });
    fc.assert(
      fc.property(value, fc.nat(), fc.nat(), fc.nat(11), (secret, which, from, shift) => {
        const needles = new Needles();
        needles.add(secret, label);
        const forms = [...encodingsOf(secret).values()].filter((form) => form.length >= WINDOW);
        const form = forms[which % forms.length] as Buffer;
        const at = from % (form.length - WINDOW + 1);
        const noise = randomBytes(500);
        const text = Buffer.concat([noise, form.subarray(at, at + WINDOW), noise.subarray(shift)]);
        expect(needles.search(text).length).toBeGreaterThan(0);
        // One less is not looked for; the noise has bytes that no form has.
        const less = Buffer.concat([Buffer.alloc(50, 1), form.subarray(at, at + WINDOW - 1), Buffer.alloc(50, 1)]);
        expect(needles.search(less)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test('finds what lies across the borders of pieces', async () => {
    const needles = new Needles();
    needles.add('a-secret-of-20-chars', label);
    const text = Buffer.from(`${'x'.repeat(1000)}a-secret-of-20-chars${'x'.repeat(1000)}`);
    for (const size of [1, 7, 12, 500]) {
      const pieces = (async function* () {
        for (let at = 0; at < text.length; at += size)
          yield { at: `byte ${at}`, bytes: text.subarray(at, at + size), whole: false };
      })();
      const places = (async function* () {
        yield { name: 'log', pieces };
      })();
      expect(
        (await searchPlaces(needles, places)).leaks.map(({ form }) => form),
        String(size),
      ).toContain('plain');
    }
  });

  test('searches for what proves, and not for what everybody may know', () => {
    const added = (credential: unknown, fields: string[] | null = null) => {
      const needles = new Needles();
      addCredential(needles, credential, fields && new Set(fields), { secretId: 'x', version: '1' });
      return (text: string) => needles.search(Buffer.from(text)).length > 0;
    };
    const sas = added({ sas_token: 'sv=2026-01-01&sr=c&sp=rl&se=2027-01-01T00:00:00Z&sig=abcdefghijklmnop%3D' });
    expect(sas('sv=2026-01-01&sr=c&sp=rl')).toBe(false);
    expect(sas('?sig=abcdefghijklmnop%3D')).toBe(true);
    const text = added({
      connection_string: 'AccountName=x;EndpointSuffix=core.windows.net;AccountKey=QUJDREVGR0hJSktMTU5P;',
    });
    expect(text('https://account.blob.core.windows.net/')).toBe(false);
    expect(text('QUJDREVGR0hJSktMTU5P')).toBe(true);
    const pem = added({
      private_key: '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n',
    });
    expect(pem('-----BEGIN PRIVATE KEY-----')).toBe(false);
    expect(pem('x hkiG9w0BAQEFAASC x')).toBe(true);
    const s3 = added({ endpoint: 'https://minio.internal', secret_access_key: 'abcdefghijklmnop' }, [
      'secret_access_key',
    ]);
    expect(s3('https://minio.internal')).toBe(false);
  });
});

describe('the command', () => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await Deployment.start();
    deployment.s3.put('docs', 'a.txt', 'text');
    deployment.s3.put('docs', 'b.txt', 'more text');
    await deployment.putSecret();
    await deployment.connect();
    expect((await deployment.run('sync', 'handbook')).code).toBe(0);
  });
  afterAll(() => deployment[Symbol.asyncDispose](), 60_000);

  async function query(text: string): Promise<void> {
    const server = await attachEmbedded(join(deployment.dataDir, 'postgres'));
    const db = openPool(server.target, 1);
    await db.query(text);
    await db[Symbol.asyncDispose]();
    await server.leave();
  }

  test('finds nothing after a sync, and says how much it has searched', async () => {
    const answer = await deployment.run('leakcheck');
    expect(answer, answer.stdout).toMatchObject({ code: 0 });
    expect(answer.stdout).toMatch(/Nothing found: \d values? of 1 secret \(1 version\) in \d\d+ places/);
    const { places, bytes } = await deployment.json<{ places: number; bytes: number }>('leakcheck');
    expect(places).toBeGreaterThan(20);
    expect(bytes).toBeGreaterThan(10_000);
    const { items } = await deployment.json<{ items: { action: string; reason?: string }[] }>('audit', 'list');
    expect(items.some(({ action, reason }) => action === 'secret.access' && reason === 'leakcheck')).toBe(true);
  });

  test('finds what was planted, in each form and each place, and shows none of it', async () => {
    const { secretAccessKey: secret, dataDir, folder } = deployment;
    const part = secret.slice(3, 3 + WINDOW);
    const logs = join(folder, 'logs');
    await mkdir(join(logs, 'old'), { recursive: true });
    await writeFile(join(logs, 'app.log'), `x {"url":"${encodeURIComponent(secret)}"}\n`);
    await writeFile(
      join(logs, 'old', 'app.log.1.gz'),
      gzipSync(`y ${Buffer.from(`a:${secret}`).toString('base64')}\n`.repeat(1000)),
    );
    await writeFile(join(logs, 'clean.log'), 'nothing here\n'.repeat(1000));
    await writeFile(join(dataDir, 'notes.txt'), `the key begins ${part}`);
    await query(
      `update lockgate.source set settings = jsonb_build_object('note', '${secret}');
       create table public.elsewhere (x bytea); insert into public.elsewhere values (convert_to('${secret}', 'UTF8'))`,
    );
    const answer = await deployment.run('leakcheck', logs, '--json');
    expect(answer.code).toBe(1);
    const { leaks } = JSON.parse(answer.stdout) as { leaks: { place: string; form: string; field: string }[] };
    const found = (place: string) => leaks.filter((leak) => leak.place.includes(place)).map(({ form }) => form);
    expect(found('app.log')).toEqual(expect.arrayContaining(['URL-encoded']));
    expect(found('app.log.1.gz')).toContain('base64');
    expect(found('notes.txt')).toContain('plain');
    expect(found('lockgate.source')).toContain('plain');
    expect(found('public.elsewhere')).toContain('hex');
    expect(found('clean.log')).toEqual([]);
    expect(new Set(leaks.map(({ field }) => field))).toEqual(new Set(['secret_access_key']));
    for (const text of [answer.stdout, answer.stderr, (await deployment.run('leakcheck', logs)).stdout]) {
      expect(text).not.toContain(part);
      expect(text).not.toContain(secret.slice(-8));
    }
  });

  test('what was planted is gone again', async () => {
    await query(`update lockgate.source set settings = '{}'; drop table public.elsewhere`);
    await rm(join(deployment.dataDir, 'notes.txt'));
    expect((await deployment.run('leakcheck')).code).toBe(0);
  });

  test('after a leak it says who used which version when, and what came by it', async () => {
    await deployment.putSecret();
    deployment.s3.put('docs', 'c.txt', 'later');
    await deployment.run('sync', 'handbook');
    const answer = await deployment.json<{
      accesses: number;
      versions: { version: string; accesses: number; actors: string[] }[];
      runs: { collection: string; documents: number; credentialVersion: string }[];
      documents: { total: number; items: { path: string }[] };
      otherAccesses: { reason: string }[];
    }>('audit', 'blast', 'my-creds');
    expect(answer.versions.map(({ version }) => version)).toEqual(['1', '2']);
    expect(answer.runs.map(({ documents, credentialVersion }) => [documents, credentialVersion])).toEqual([
      [1, '2'],
      [2, '1'],
    ]);
    expect(answer.documents.total).toBe(3);
    expect(answer.documents.items.map(({ path }) => path).sort()).toEqual(['a.txt', 'b.txt', 'c.txt']);
    expect(answer.otherAccesses.some(({ reason }) => reason === 'leakcheck')).toBe(true);
    const text = (await deployment.run('audit', 'blast', 'my-creds')).stdout;
    expect(text).toContain('3 documents came by it, into handbook');
    expect((await deployment.run('audit', 'blast', 'my-creds', '--since', '2999-01-01')).stdout).toContain(
      'accessed 0 times',
    );
    expect(await deployment.run('audit', 'blast', 'my-creds', '--since', 'soon')).toMatchObject({ code: 2 });
  });
});
