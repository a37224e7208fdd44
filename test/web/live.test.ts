import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Issuer } from '../servers/issuer.ts';
import { Service } from '../service.ts';
import { Browser, EXECUTABLE } from './browser.ts';

describe.skipIf(!EXECUTABLE)('a service as an organisation has it', () => {
  let issuer: Issuer;
  let service: Service;
  let folder: string;
  beforeAll(async () => {
    issuer = await new Issuer().listen();
    folder = await mkdtemp(join(tmpdir(), 'lockgate-live-'));
    await writeFile(
      join(folder, 'rules.yaml'),
      `- { claim: groups, value: data-team, workspace: default, role: admin }
- { claim: groups, value: data-team, workspace: finance, role: viewer }
`,
    );
    service = await Service.start();
    await service.client().call('workspaces.create', { id: 'finance' });
    await service.again({
      LOCKGATE_PUBLIC_URL: service.url,
      LOCKGATE_OIDC_ISSUER: issuer.endpoint,
      LOCKGATE_OIDC_AUDIENCE: 'lockgate',
      LOCKGATE_OIDC_RULES: join(folder, 'rules.yaml'),
      LOCKGATE_OIDC_CLIENT_ID: 'lockgate-pages',
    });
    const { s3 } = service.deployment;
    for (let i = 0; i < 60; i++) s3.put('docs', `doc ${i}.txt`, 'x'.repeat(2000), { contentType: 'text/plain' });
    const { call } = service.client();
    await call('secrets.put', { id: 'my-creds', type: 's3', credential: service.deployment.credential() });
    await call('collections.create', { name: 'handbook' });
    const place = { connectorType: 's3' as const, credentialId: 'my-creds', path: 's3://docs' };
    await call('sources.create', { collection: 'handbook', ...place });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await issuer[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  test('people sign in by the identity provider, choose a workspace, and see who they are', async () => {
    await using browser = await Browser.open();
    const { page } = browser;
    issuer.signsIn = { subject: 'mallory', claims: { groups: [] } };
    await page.goto(service.url);
    await page.getByRole('link', { name: 'Sign in with your organisation' }).click();
    await page.getByText('no rule gives you a role').waitFor();
    issuer.signsIn = { subject: 'ada', claims: { groups: ['data-team'] } };
    await page.getByRole('link', { name: 'Sign in with your organisation' }).click();
    // Of two workspaces she chooses one.
    await page.getByText('Which workspace?').waitFor();
    await page.getByRole('button', { name: 'default' }).click();
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    await page.getByRole('button', { name: 'Account' }).click();
    await page.getByText('oidc ada').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('combobox', { name: 'Workspace' }).selectOption('finance');
    await page.getByText('Three steps to the first documents').waitFor();
    await page.goto(`${service.url}/settings/members`);
    await page.getByText('Only administrators see this.').waitFor();
    await page.getByRole('combobox', { name: 'Workspace' }).selectOption('default');
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    await page.goto(`${service.url}/settings/members`);
    await page.getByText('groups: data-team').first().waitFor();
    expect(browser.complaints).toEqual([]);
  });

  test('a run is seen as it goes, and can be stopped', async () => {
    await using browser = await Browser.open();
    const { page } = browser;
    await browser.signIn(service.url, service.token);
    // Half of them come soon, the others never: a run that is stopped has always something left to do.
    service.deployment.s3.fault = ({ key }) => {
      if (!key.startsWith('doc')) return undefined;
      return /[02468]\.txt$/.test(key) ? { kind: 'delay', ms: 700 } : { kind: 'stall' };
    };
    await page.goto(`${service.url}/collections/handbook`);
    await page.getByRole('button', { name: 'Run now' }).click();
    await page.getByText(/^Listed all 60 objects; fetched [1-9]\d* of 60/).waitFor();
    const shown = page.getByRole('progressbar', { name: 'Fetched of what is to be fetched' });
    await expect.poll(async () => Number(await shown.getAttribute('aria-valuenow'))).toBeGreaterThan(0);
    await page.getByText(/each second/).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('cancelled', { exact: true }).waitFor();
    service.deployment.s3.fault = () => undefined;
    await page.getByRole('button', { name: 'Run again' }).click();
    await page.getByText('completed', { exact: true }).waitFor();
    expect((await service.client().call('collections.get', { collection: 'handbook' })).documents).toBe(60);
    expect(browser.complaints).toEqual([]);
  });

  test('a service that comes back is not missed: the page asks again', async () => {
    await using browser = await Browser.open();
    const { page } = browser;
    await browser.signIn(service.url, service.token);
    await page.goto(`${service.url}/collections/handbook/documents`);
    await page.getByText('60 documents', { exact: true }).waitFor();
    await service.down('SIGKILL');
    await page.getByRole('link', { name: 'Runs' }).click();
    await page.getByText('Lockgate does not answer').waitFor({ timeout: 30_000 });
    await service.up();
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('When they ran').waitFor();
  });
});
