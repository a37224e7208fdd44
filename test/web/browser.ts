import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** Null: there is none, and tests of the pages cannot run. Where that must not be, it is an error. */
export const EXECUTABLE = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);
if (!EXECUTABLE && process.env.CI) throw new Error('There is no Chromium: sh scripts/install-browser.sh installs it.');

const SWITCHES = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser as somebody has it who opens Lockgate for the first time, and all that it saw. */
export class Browser implements AsyncDisposable {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What the page complained of: a policy that was broken, a script that failed. */
  readonly complaints: string[] = [];
  /** All that it sent and got, bodies included. */
  readonly asked: { readonly method: string; readonly path: string; readonly body: string }[] = [];
  readonly answered: string[] = [];
  readonly #folder: string;

  private constructor(context: BrowserContext, page: Page, folder: string) {
    this.context = context;
    this.page = page;
    this.#folder = folder;
    page.on('console', (message) => {
      // A refusal is an answer like any other.
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) this.complaints.push(message.text());
    });
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    context.on('requestfinished', async (request) => {
      this.asked.push({ method: request.method(), path: request.url(), body: request.postData() ?? '' });
      const response = await request.response().catch(() => null);
      const headers = JSON.stringify((await response?.allHeaders().catch(() => null)) ?? {});
      const isStream = headers.includes('text/event-stream');
      this.answered.push(`${headers}\n${isStream ? '' : await response?.text().catch(() => '')}`);
    });
  }

  static async open(options: BrowserContextOptions = {}): Promise<Browser> {
    if (!EXECUTABLE) throw new Error('no Chromium');
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-browser-'));
    const context = await chromium.launchPersistentContext(folder, {
      executablePath: EXECUTABLE,
      args: SWITCHES,
      headless: true,
      viewport: { width: 1280, height: 900 },
      ...options,
    });
    context.setDefaultTimeout(20_000);
    return new Browser(context, context.pages()[0] ?? (await context.newPage()), folder);
  }

  /** Opens the service and signs in, as somebody with a token does. */
  async signIn(url: string, token: string): Promise<void> {
    await this.page.goto(url);
    await this.page.getByLabel('API token').fill(token);
    await this.page.getByRole('button', { name: 'Sign in with a token' }).click();
    await this.page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
  }

  /** All that a page keeps: what it shows, what it stores, and what it could store by its scripts. */
  async kept(): Promise<string> {
    const stored = await this.page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
    );
    return `${await this.page.content()}\n${stored}`;
  }

  /** What has a serious effect on people with a disability, by rule and place. */
  async barriers(): Promise<string[]> {
    // Nothing of what is in order is wanted, and there are no frames: both take twice as long.
    const builder = new AxeBuilder({ page: this.page as never }).options({ resultTypes: ['violations'] });
    const { violations } = await builder.setLegacyMode(true).analyze();
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(' ')} ${node.failureSummary ?? ''}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
