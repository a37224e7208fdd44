import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bringVault } from '../own-vault.ts';
import type { VaultServer } from '../servers/vault.ts';
import { Service } from '../service.ts';
import { Browser, EXECUTABLE } from './browser.ts';

describe.skipIf(!EXECUTABLE)('secrets in a Vault that the workspace brought along', () => {
  let service: Service;
  let vault: VaultServer;
  beforeAll(async () => {
    service = await Service.start();
    ({ vault } = await bringVault(service));
    const { deployment } = service;
    const { call } = service.client();
    const credential = deployment.credential();
    await call('secrets.put', { id: 'my-creds', type: 's3', credential });
    await deployment.putSecret('kept-there', credential, 's3', '--manager', 'ours');
    deployment.s3.put('docs', 'a.txt', 'text');
    await call('collections.create', { name: 'handbook' });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await vault[Symbol.asyncDispose]();
  });

  test('are seen, used for a source, and removed', async () => {
    await using browser = await Browser.open();
    const { page } = browser;
    await browser.signIn(service.url, service.token);
    await page.goto(`${service.url}/secrets`);
    await page.getByRole('link', { name: 'my-creds' }).waitFor();
    await page.getByLabel('Secret manager').selectOption('ours');
    await page.getByRole('link', { name: 'kept-there' }).waitFor();
    expect(await page.getByRole('link', { name: 'my-creds' }).count()).toBe(0);
    expect(await browser.barriers()).toEqual([]);

    await page.goto(`${service.url}/collections/handbook/add`);
    await page.getByLabel('Secret manager').selectOption('ours');
    await page.getByLabel('Credential ID').selectOption('kept-there');
    await page.getByLabel('Path').fill('s3://docs');
    await page.getByRole('button', { name: /^Add/ }).click();
    await page.getByText('What it did').waitFor();
    await page.goto(`${service.url}/collections/handbook`);
    await page.getByText('in ours').waitFor();
    await page.getByRole('link', { name: 'kept-there' }).click();
    await page.getByRole('link', { name: 'handbook' }).waitFor();
    // A new version of it does not go by way of the service.
    expect(await page.getByRole('button', { name: 'New version' }).count()).toBe(0);
    const { items } = await service.client().call('sources.list', {});
    expect(items.map(({ credentialManager, credentialId }) => [credentialManager, credentialId])).toEqual([
      ['ours', 'kept-there'],
    ]);
    await page.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('button', { name: 'Remove it all the same' }).click();
    await page.getByText('No credential in ours yet').waitFor();
    expect([...vault.entries.keys()].filter((key) => key.includes('kept-there'))).toEqual([]);
    expect(browser.complaints).toEqual([]);
  });
});
