import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Agent, request } from 'undici';
import { makeDataFolder } from '../database.ts';

const BIN = fileURLToPath(new URL('../../bin/lockgate', import.meta.url));

export const POLICY = `rules:
  - { who: ["token:admin"], workspaces: ["*"], roles: [admin, writer, auditor] }
  - { who: ["token:api"], workspaces: ["*"], roles: [writer, admin] }
  - { who: ["token:worker"], workspaces: ["*"], roles: [lister, revealer] }
  - { who: ["token:lister"], workspaces: ["default"], prefixes: ["team-"], roles: [lister] }
`;

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came.
  readonly body: any;
  readonly text: string;
}

/** SecureStore as an operator has it: the command line, with a data folder of its own. */
export class Store implements AsyncDisposable {
  readonly folder: string;
  readonly environment: Record<string, string>;
  /** All that it wrote. */
  readonly said: string[] = [];
  readonly tokens: Record<string, string> = {};
  url = '';
  #child: ChildProcess | null = null;
  #agent = new Agent();

  private constructor(folder: string) {
    this.folder = folder;
    this.environment = {
      PATH: process.env.PATH ?? '',
      HOME: folder,
      LOCKGATE_SECURESTORE_DATA_DIR: join(folder, 'store'),
      LOCKGATE_SECURESTORE_PORT: '0',
    };
  }

  static async make(): Promise<Store> {
    const store = new Store(await mkdtemp(join(tmpdir(), 'lockgate-securestore-')));
    await makeDataFolder(store.dataDir);
    const { token } = await store.json<{ token: string }>('init');
    store.tokens.admin = token;
    await store.setPolicy(POLICY);
    for (const name of ['api', 'worker', 'lister'])
      store.tokens[name] = (await store.json<{ token: string }>('token', name)).token;
    return store;
  }

  static async start(): Promise<Store> {
    const store = await Store.make();
    await store.up();
    return store;
  }

  get dataDir(): string {
    return this.environment.LOCKGATE_SECURESTORE_DATA_DIR as string;
  }

  setPolicy(text: string): Promise<void> {
    return writeFile(join(this.dataDir, 'policy.yaml'), text);
  }

  async up(more: Record<string, string> = {}): Promise<void> {
    const env = { ...this.environment, ...more };
    const child = spawn(BIN, ['securestore'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let out = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        out += chunk.toString();
        this.said.push(chunk.toString());
      });
    }
    for (let tries = 0; !/serves (\S+) /.test(out); tries++) {
      if (tries > 300 || child.exitCode !== null) throw new Error(`not up: ${out}`);
      await wait(100);
    }
    this.url = /serves (\S+) /.exec(out)?.[1] ?? '';
  }

  async down(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (!child) return null;
    this.#child = null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    return ended;
  }

  /** Asks as the holder of a token of that name; null: as nobody. */
  async ask(
    as: string | null,
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    dispatcher: Agent = this.#agent,
  ): Promise<Answer> {
    const token = as === null ? null : (this.tokens[as] ?? as);
    const answer = await request(`${this.url}${path}`, {
      method,
      dispatcher,
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    let parsed: unknown = null;
    try {
      parsed = JSON.parse(text);
    } catch {
      // JSON lines, say.
    }
    return { status: answer.statusCode, body: parsed, text };
  }

  add(id: string, value: unknown, as = 'api', more: object = {}): Promise<Answer> {
    return this.ask(as, 'POST', `/v1/workspaces/default/secrets/${id}/versions`, { type: 's3', value, ...more });
  }

  reveal(id: string, version: number | string = 'latest', as = 'worker', body: object = {}): Promise<Answer> {
    return this.ask(as, 'POST', `/v1/workspaces/default/secrets/${id}/versions/${version}/reveal`, body);
  }

  /** A command of the store, and what it prints. */
  run(
    words: readonly string[],
    more: Record<string, string> = {},
  ): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const child = spawn(BIN, ['securestore', ...words], {
      env: { ...this.environment, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
  }

  async json<T>(...words: string[]): Promise<T> {
    const { code, stdout, stderr } = await this.run([...words, '--json']);
    if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${stderr}${stdout}`);
    return JSON.parse(stdout) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    await this.#agent.destroy();
    // The last command stops the embedded database; one that was killed leaves it to the next.
    await this.run(['backup']);
    await rm(this.folder, { recursive: true, force: true });
  }
}
