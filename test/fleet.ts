import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { attachEmbedded, type EmbeddedServer } from '../src/db/embedded.ts';
import { S3Server } from './servers/s3.ts';

const BIN = fileURLToPath(new URL('../bin/lockgate', import.meta.url));

/** Where a process of the fleet runs: this machine, or a part of it with a network of its own. */
export interface Place {
  /** Words before the command, such as those that enter a network namespace. */
  readonly enter: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const HERE: Place = { enter: [], environment: {} };

/**
 * Lockgate as several processes over one PostgreSQL and one S3 server, each of which can be killed, stopped and started again.
 */
export class Fleet implements AsyncDisposable {
  readonly folder: string;
  readonly s3: S3Server;
  readonly log: string;
  readonly #children = new Map<string, ChildProcess>();
  readonly #places = new Map<string, { words: readonly string[]; place: Place }>();
  #postgres: EmbeddedServer;
  environment: Record<string, string>;

  private constructor(folder: string, s3: S3Server, postgres: EmbeddedServer) {
    this.folder = folder;
    this.s3 = s3;
    this.#postgres = postgres;
    this.log = join(folder, 'fleet.log');
    const { host, user, database } = postgres.target;
    this.environment = {
      PATH: process.env.PATH ?? '',
      HOME: folder,
      LOCKGATE_DATA_DIR: join(folder, 'data'),
      LOCKGATE_ALLOWED_ENDPOINTS: s3.endpoint,
      LOCKGATE_LOG_LEVEL: 'info',
      DATABASE_URL: `postgres://${user}@localhost/${database}?host=${encodeURIComponent(host)}`,
    };
  }

  static async open(): Promise<Fleet> {
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-fleet-'));
    await mkdir(join(folder, 'data'));
    const s3 = await new S3Server().listen();
    s3.keys.set('AKIAFAKEFLEET', { secretAccessKey: 'fake+secret/fleet' });
    return new Fleet(folder, s3, await attachEmbedded(join(folder, 'postgres')));
  }

  get target(): EmbeddedServer['target'] {
    return this.#postgres.target;
  }

  /** Runs a command to its end; it must succeed. */
  async command(words: readonly string[], input = ''): Promise<string> {
    const child = spawn(BIN, words, { env: this.environment, stdio: ['pipe', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk) => out.push(chunk));
    child.stderr.on('data', (chunk) => err.push(chunk));
    child.stdin.end(input);
    const [code] = (await once(child, 'close')) as [number | null];
    if (code === 0) return Buffer.concat(out).toString();
    throw new Error(`${words.join(' ')} ended with ${code}: ${Buffer.concat(err)}${Buffer.concat(out)}`);
  }

  async putSecret(id: string, endpoint = this.s3.endpoint): Promise<void> {
    const credential = { access_key_id: 'AKIAFAKEFLEET', secret_access_key: 'fake+secret/fleet', endpoint };
    await this.command(['secrets', 'put', id, '--type', 's3'], JSON.stringify(credential));
  }

  /** Starts a process, or starts it again. */
  start(name: string, words: readonly string[] = this.#places.get(name)?.words ?? [], place?: Place): void {
    const where = place ?? this.#places.get(name)?.place ?? HERE;
    this.#places.set(name, { words, place: where });
    const [command = BIN, ...rest] = [...where.enter, BIN, ...words];
    const child = spawn(command, rest, {
      env: { ...this.environment, ...where.environment },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr?.on('data', (chunk) => appendFileSync(this.log, chunk));
    this.#children.set(name, child);
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.#children.get(name)?.kill(signal);
  }

  /** Kills a process so that it can do nothing more, and resolves when it is gone. */
  async kill(name: string): Promise<void> {
    const child = this.#children.get(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Of the process itself, also where it was entered by another command, which becomes it. */
  pidOf(name: string): number | undefined {
    return this.#children.get(name)?.pid;
  }

  isUp(name: string): boolean {
    const child = this.#children.get(name);
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Has PostgreSQL end as if the machine had lost power, and start again. */
  async restartPostgres(): Promise<void> {
    const file = await readFile(join(this.folder, 'postgres', 'postmaster.pid'), 'utf8');
    const pid = Number(file.split('\n')[0]);
    process.kill(pid, 'SIGQUIT');
    while (isAlive(pid)) await wait(20);
    await this.#postgres.leave();
    this.#postgres = await attachEmbedded(join(this.folder, 'postgres'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [name, child] of this.#children) {
      child.kill('SIGCONT');
      await this.kill(name);
    }
    await this.s3[Symbol.asyncDispose]();
    await this.#postgres.leave();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
