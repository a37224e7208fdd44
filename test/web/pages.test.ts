import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Service } from '../service.ts';
import { Browser, EXECUTABLE } from './browser.ts';

/** What somebody sees on each page when it is there. */
const PAGES: readonly (readonly [path: string, text: string])[] = [
  ['/', 'The last 30 days'],
  ['/secrets', 'my-creds'],
  ['/secrets?new', 'Test it on a path'],
  ['/secrets/my-creds', 'Who uses it'],
  ['/collections', 'handbook'],
  ['/collections/handbook', 'Run now'],
  ['/collections/handbook/add', 'Where they are'],
  ['/collections/handbook/documents', 'a.txt'],
  ['/collections/handbook/changes', 'Programs follow it'],
  ['/collections/handbook/failures', 'Nothing failed'],
  ['/collections/handbook/webhooks', 'Nobody is told'],
  ['/runs', 'When they ran'],
  ['/audit?secret=my-creds', 'What my-creds has touched'],
  ['/settings/workspaces', 'New workspace'],
  ['/settings/members', 'No identity provider'],
  ['/settings/tokens', 'Make a token'],
  ['/settings/managers', 'Register a Vault of your own'],
  ['/settings/workers', 'Leads'],
  ['/settings/about', 'Content store'],
];

const LOOKS = [
  ['light and dark', {}, ['light', 'dark']],
  ['on a phone', { viewport: { width: 390, height: 844 }, hasTouch: true }, ['light']],
] as const;

describe.skipIf(!EXECUTABLE)('the pages', () => {
  let service: Service;
  let runId: string;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lockgate-pages-'));
    service = await Service.start();
    const { s3 } = service.deployment;
    s3.put('docs', 'a.txt', 'the text of a', { contentType: 'text/plain' });
    s3.put('docs', 'page.html', '<script>document.title = "taken over"</script>', { contentType: 'text/html' });
    s3.put('docs', 'picture.png', PICTURE, { contentType: 'image/png' });
    s3.put('docs', 'paper.pdf', PAPER, { contentType: 'application/pdf' });
    for (let i = 0; i < 120; i++) s3.put('docs', `many/${i}.txt`, `${i}`);
    const { call } = service.client();
    await call('secrets.put', { id: 'my-creds', type: 's3', credential: service.deployment.credential() });
    await call('collections.create', { name: 'handbook' });
    const place = { connectorType: 's3' as const, credentialId: 'my-creds', path: 's3://docs' };
    const source = await call('sources.create', { collection: 'handbook', ...place });
    runId = (await call('sources.sync', { id: source.id })).id;
    while ((await call('runs.get', { id: runId })).state !== 'completed') await wait(100);
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  test.each(LOOKS)(
    '%s, none keeps anybody out',
    async (_name, options, schemes) => {
      await using browser = await Browser.open(options);
      const { page } = browser;
      const lookAt = async (path: string) => {
        for (const colorScheme of schemes) {
          await page.emulateMedia({ colorScheme });
          await wait(300);
          expect([path, colorScheme, await browser.barriers()]).toEqual([path, colorScheme, []]);
        }
      };
      await page.goto(service.url);
      await page.getByLabel('API token').waitFor();
      await lookAt('/');
      await browser.signIn(service.url, service.token);
      for (const [path, text] of [...PAGES, [`/runs/${runId}`, 'What it did']]) {
        await page.goto(`${service.url}${path}`);
        await page.getByText(text).first().waitFor();
        await lookAt(path);
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        expect([path, wider <= 0]).toEqual([path, true]);
      }
      expect(browser.complaints).toEqual([]);
    },
    180_000,
  );

  test('all can be done with the keyboard', async () => {
    await using browser = await Browser.open();
    const { page } = browser;
    const press = (...keys: string[]) =>
      keys.reduce((all, key) => all.then(() => page.keyboard.press(key)), Promise.resolve());
    const focused = () =>
      page.evaluate(() => document.activeElement?.textContent?.trim() || document.activeElement?.id || '');
    /** Tabs on until something is reached. */
    const reach = async (name: string) => {
      for (let tries = 0; tries < 60; tries++) {
        await page.keyboard.press('Tab');
        if ((await focused()) === name) return;
      }
      throw new Error(`"${name}" cannot be reached`);
    };
    await page.goto(service.url);
    await page.getByLabel('API token').focus();
    await page.keyboard.type(service.token);
    await press('Enter');
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    await press('Tab');
    expect(await focused()).toBe('Skip to the page');
    await reach('Collections');
    await press('Enter');
    await reach('New collection');
    await press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.type('by-keyboard');
    await press('Enter');
    await page.getByText('No source yet').waitFor();
    await reach('Webhooks').catch(async () => {
      // A list of tabs is one stop; arrows lead through it.
      await page.getByRole('tab', { name: 'Sources' }).focus();
      await press('ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowRight', 'Enter');
    });
    await page.getByText('Nobody is told').waitFor();
    await page.goto(`${service.url}/secrets`);
    await page.getByText('my-creds').waitFor();
    await reach('New secret');
    await press('Enter');
    await page.getByRole('dialog').waitFor();
    await press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await focused()).toBe('New secret');
  });

  test('documents are shown without running anything of them', async () => {
    await using browser = await Browser.open();
    const { page } = browser;
    await browser.signIn(service.url, service.token);
    await page.goto(`${service.url}/collections/handbook/documents`);
    const open = async (name: string) => {
      await page.getByLabel('Search').fill(name);
      await page.getByRole('button', { name, exact: true }).click();
    };
    await open('page.html');
    await page.getByText('document.title = "taken over"').waitFor();
    expect(await page.title()).toContain('Lockgate');
    await page.keyboard.press('Escape');
    await open('picture.png');
    await page.waitForFunction(
      () => (document.querySelector('img.preview-picture') as HTMLImageElement)?.naturalWidth === 2,
    );
    await page.keyboard.press('Escape');
    await open('paper.pdf');
    await page.getByText('1 page.', { exact: true }).waitFor();
    expect(await page.locator('canvas').count()).toBe(1);
    expect(browser.complaints).toEqual([]);
  });

  test('a key file that is pasted or dropped fills the form, and is sealed from there', async () => {
    await using browser = await Browser.open();
    const { page } = browser;
    await browser.signIn(service.url, service.token);
    await page.goto(`${service.url}/secrets?new`);
    await page.getByRole('combobox', { name: 'Connector type' }).selectOption('gcs');
    const file = {
      type: 'service_account',
      project_id: 'project',
      private_key: '-----BEGIN PRIVATE KEY-----\nfake\n-----END PRIVATE KEY-----\n',
      client_email: 'reader@project.iam.gserviceaccount.com',
      token_uri: 'https://oauth2.googleapis.com/token',
    };
    const drop = (text: string) =>
      page.locator('.drop').evaluate((target, content) => {
        const data = new DataTransfer();
        data.items.add(new File([content], 'key.json', { type: 'application/json' }));
        target.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true }));
      }, text);
    await drop('no JSON');
    await page.getByText('This is no JSON object.').waitFor();
    await drop(JSON.stringify(file));
    await page.getByText('Taken over into the fields below.').waitFor();
    expect(await page.getByLabel('Client email').inputValue()).toBe(file.client_email);
    await page.getByLabel('Credential ID').fill('google');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    // It is looked at before it is kept: this one is no key.
    await page
      .getByRole('alert')
      .filter({ hasText: /private_key/ })
      .waitFor();
  });

  test('deletions that need somebody are seen before they are approved', async () => {
    await using browser = await Browser.open();
    const { page } = browser;
    const { call } = service.client();
    const { s3 } = service.deployment;
    await call('collections.create', { name: 'emptied' });
    s3.buckets.set('going', new Map());
    for (let i = 0; i < 120; i++) s3.put('going', `doc ${String(i).padStart(3, '0')}.txt`, `${i}`);
    const place = { connectorType: 's3' as const, credentialId: 'my-creds', path: 's3://going' };
    const source = await call('sources.create', { collection: 'emptied', ...place });
    const first = await call('sources.sync', { id: source.id });
    while ((await call('runs.get', { id: first.id })).state !== 'completed') await wait(100);
    s3.buckets.set('going', new Map());
    await browser.signIn(service.url, service.token);
    await page.goto(`${service.url}/collections/emptied`);
    await page.getByRole('button', { name: 'Run now' }).click();
    await page.getByText('120 documents would be removed').waitFor();
    await page.getByText('doc 007.txt').waitFor();
    await page.goto(service.url);
    await page.getByRole('link', { name: 'Look at the deletions' }).click();
    await page.getByRole('button', { name: 'Remove them' }).click();
    await page.getByText('120 removed').waitFor();
    expect((await call('collections.get', { collection: 'emptied' })).documents).toBe(0);
  });

  test('the first page is small, and says what may run in it', async () => {
    await using browser = await Browser.open();
    const { page } = browser;
    let transferred = 0;
    const session = await browser.context.newCDPSession(page);
    await session.send('Network.enable');
    session.on('Network.loadingFinished', ({ encodedDataLength }) => {
      transferred += encodedDataLength;
    });
    await browser.signIn(service.url, service.token);
    await page.getByText('The last 30 days').waitFor();
    expect(transferred).toBeGreaterThan(100_000);
    expect(transferred).toBeLessThan(300 * 1024);
    const answer = await fetch(service.url);
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toContain('unsafe');
    // Another word each time, or it would be none.
    const again = await fetch(service.url);
    expect(again.headers.get('content-security-policy')).not.toBe(policy);
    expect((await fetch(`${service.url}/collections/x`, { headers: { accept: 'text/html' } })).status).toBe(200);
    expect((await fetch(`${service.url}/v1/nothing`, { headers: { accept: 'text/html' } })).status).toBe(404);
    expect((await fetch(`${service.url}/assets/nothing.js`)).status).toBe(404);
  });

  test('who may only look is offered nothing else', async () => {
    const { token } = await service.client().call('tokens.create', { name: 'viewer', role: 'viewer' });
    await using browser = await Browser.open();
    const { page } = browser;
    await browser.signIn(service.url, token);
    expect(await page.getByRole('link', { name: 'Audit' }).count()).toBe(0);
    await page.goto(`${service.url}/collections/handbook`);
    await page.getByText('s3://docs').waitFor();
    expect(await page.getByRole('button', { name: 'Run now' }).count()).toBe(0);
    await page.goto(`${service.url}/settings/tokens`);
    await page.getByText('Only administrators see this.').waitFor();
    await page.getByRole('button', { name: 'Account' }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByLabel('API token').waitFor();
    await page.reload();
    await page.getByLabel('API token').waitFor();
    expect(browser.complaints).toEqual([]);
  });
});

/** Two pixels by two. */
const PICTURE = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGNgaPgPRgwQCgAlpAUFh1v1UAAAAABJRU5ErkJggg==',
  'base64',
);

/** One page with a word on it, and a script that would run when it is opened. */
const PAPER = Buffer.from(
  `%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 38>>stream
BT /F 24 Tf 20 100 Td (Lockgate) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
`,
);
