import { expect, test } from 'vitest';
import { findIn } from '../canary.ts';
import { Service } from '../service.ts';
import { Browser, EXECUTABLE } from './browser.ts';

test.skipIf(!EXECUTABLE)(
  'from a new secret to documents that follow their source by themselves, and no page ever has the credential',
  async () => {
    await using service = await Service.start();
    const { s3, accessKeyId, secretAccessKey } = service.deployment;
    for (let i = 0; i < 30; i++)
      s3.put('docs', `handbook/guides/chapter ${i}.md`, `# Chapter ${i}`, { contentType: 'text/markdown' });
    for (let i = 0; i < 5; i++) s3.put('docs', `handbook/drafts/draft ${i}.txt`, 'draft');
    await using browser = await Browser.open();
    const { page } = browser;
    const kept: string[] = [];
    const button = (name: string) => page.getByRole('button', { name, exact: true });

    await browser.signIn(service.url, service.token);
    await page.getByText('Three steps to the first documents').waitFor();

    // A new secret, tried by a worker before it is saved.
    await page.getByRole('link', { name: 'Secret manager' }).click();
    await button('New secret').first().click();
    await page.getByLabel('Connector type').selectOption('s3');
    await page.getByLabel('Credential ID').fill('my-creds');
    await page.getByLabel('Access key ID').fill(accessKeyId);
    await page.getByLabel('Secret access key').fill('fake/mistyped+key');
    await page.getByLabel('Endpoint', { exact: true }).fill(s3.endpoint);
    await page.getByLabel('Test it on a path').fill('s3://docs/handbook');
    await button('Test connection').click();
    await page
      .getByRole('status')
      .filter({ hasText: /rejected|refuse|denied|accept/i })
      .waitFor();
    await page.getByLabel('Secret access key').fill(secretAccessKey);
    await button('Test connection').click();
    await page.getByText('It works: a worker could list and read.').waitFor();
    await button('Save').click();
    await page.getByRole('link', { name: 'my-creds' }).waitFor();
    kept.push(await browser.kept());

    // A collection, and documents by the credential's ID.
    await page.getByRole('link', { name: 'Collections' }).first().click();
    await button('New collection').first().click();
    await page.getByLabel('Name').fill('handbook');
    await button('Create').click();
    await page.getByRole('link', { name: 'Add documents' }).first().click();
    await page.getByLabel('Credential ID').waitFor();
    expect(await page.getByLabel('Credential ID').locator('option').allTextContents()).toEqual([
      'Choose one',
      'my-creds',
    ]);
    await page.getByLabel('Credential ID').selectOption('my-creds');
    await page.getByLabel('Path').fill('s3://docs/handbook');
    await page.getByLabel('Not these').fill('drafts/**');
    await button('Preview').click();
    await page.getByText('30 documents, 350 B; the filters leave out 5').waitFor();
    await page.getByRole('tab', { name: 'Left out' }).click();
    await page.getByText('an exclude rule drops it').first().waitFor();
    await page.getByLabel('When').selectOption('own');
    await page.getByLabel('Interval').fill('10s');
    await page.getByText('Every 10 seconds. Next, in').waitFor();
    await button('Add').click();
    await page.getByText('30 added').waitFor();
    kept.push(await browser.kept());

    await page.getByRole('link', { name: 'handbook' }).first().click();
    await page.getByText('auto-sync', { exact: true }).waitFor();
    await page.getByRole('tab', { name: 'Documents' }).click();
    await page.getByLabel('Search').fill('CHAPTER 7');
    await page.getByText('1 document', { exact: true }).waitFor();
    await button('guides/chapter 7.md').click();
    await page.getByText('# Chapter 7', { exact: true }).waitFor();
    kept.push(await browser.kept());

    // An object changes, and by its schedule the change arrives.
    s3.put('docs', 'handbook/guides/chapter 7.md', '# Chapter seven, anew', { contentType: 'text/markdown' });
    await page.keyboard.press('Escape');
    await page.getByRole('tab', { name: 'Changes' }).click();
    await page.getByText('changed', { exact: true }).waitFor({ timeout: 40_000 });
    await page.getByRole('tab', { name: 'Documents' }).click();
    await page.getByLabel('Search').fill('chapter 7');
    await button('guides/chapter 7.md').click();
    await page.getByText('# Chapter seven, anew').waitFor();
    await page.keyboard.press('Escape');

    // Who used it: the worker, and for which documents.
    await page.getByRole('link', { name: 'Audit' }).click();
    await page.getByLabel('Credential').selectOption('my-creds');
    await page.getByText('What my-creds has touched').waitFor();
    await button('Verify the log').click();
    await page.getByText(/^Whole: \d+ lines/).waitFor();
    kept.push(await browser.kept());

    // Neither what was shown nor what was sent back, stored or asked for otherwise, has the credential.
    const canaries = [secretAccessKey, 'fake/mistyped+key'];
    const { asked, answered } = browser;
    const elsewhere = asked.filter(({ method, path }) => !(method === 'POST' && /\/v1\/secrets(\/try)?$/.test(path)));
    expect(asked.length - elsewhere.length).toBe(3);
    expect(answered.length).toBeGreaterThan(50);
    for (const text of [...kept, ...answered, ...elsewhere.map((each) => JSON.stringify(each))])
      expect(
        findIn(
          Buffer.from(text),
          [...canaries, service.token].filter((each) => !isSignIn(text, each, service)),
        ),
      ).toEqual([]);
    expect(browser.complaints).toEqual([]);
  },
  180_000,
);

/** The one request that has the token. */
function isSignIn(text: string, value: string, { token }: Service): boolean {
  return value === token && text.includes('/auth/session');
}
