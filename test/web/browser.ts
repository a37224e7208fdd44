import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const EXECUTABLE = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);

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
  /** All requests and answers, bodies included. */
  readonly traffic: string[] = [];
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
      const response = await request.response().catch(() => null);
      const body = /event-stream/.test((await response?.headerValue('content-type')) ?? '')
        ? ''
        : await response?.text().catch(() => '');
      this.traffic.push(`${request.method()} ${request.url()}\n${request.postData() ?? ''}\n${body ?? ''}`);
    });
  }

  static async open(options: BrowserContextOptions = {}): Promise<Browser> {
    if (!EXECUTABLE) throw new Error('There is no Chromium: sh scripts/install-browser.sh installs it.');
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

  /** What has a serious effect on people with a disability, by rule and place. */
  async barriers(): Promise<string[]> {
    const { violations } = await new AxeBuilder({ page: this.page as never }).analyze();
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(' ')} ${node.failureSummary ?? ''}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
