import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attachEmbedded, type EmbeddedServer } from '../src/db/embedded.ts';
import { openPool } from '../src/db/pool.ts';
import { makeDataFolder } from './database.ts';
import { S3Server } from './servers/s3.ts';

const BIN = fileURLToPath(new URL('../bin/lockgate', import.meta.url));

export interface Answer {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Lockgate as a user has it: the command line, with a data folder of its own and an S3 server beside it. */
export class Deployment implements AsyncDisposable {
  readonly folder: string;
  readonly s3: S3Server;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  environment: Record<string, string>;
  #database: EmbeddedServer | null = null;

  private constructor(folder: string, s3: S3Server, keys: { accessKeyId: string; secretAccessKey: string }) {
    this.folder = folder;
    this.s3 = s3;
    this.accessKeyId = keys.accessKeyId;
    this.secretAccessKey = keys.secretAccessKey;
    this.environment = {
      PATH: process.env.PATH ?? '',
      HOME: folder,
      LOCKGATE_DATA_DIR: join(folder, 'data'),
      LOCKGATE_ALLOWED_ENDPOINTS: s3.endpoint,
    };
  }

  /** With its database made before. */
  static async start(): Promise<Deployment> {
    const deployment = await Deployment.fromNothing();
    await makeDataFolder(deployment.dataDir);
    return deployment;
  }

  /** As it is before its first command. */
  static async fromNothing(): Promise<Deployment> {
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-deployment-'));
    const s3 = await new S3Server().listen();
    const random = () => Math.random().toString(36).slice(2, 12).padEnd(10, 'x');
    const accessKeyId = `AKIAFAKE${random().toUpperCase()}`;
    const secretAccessKey = `fake+secret/${random()}${random()}=`;
    s3.keys.set(accessKeyId, { secretAccessKey });
    s3.buckets.set('docs', new Map());
    return new Deployment(folder, s3, { accessKeyId, secretAccessKey });
  }

  /** The same with its database up all the time, as where a service runs: no command starts it and stops it again, which is a third of most of them. */
  static async startWithDatabase(): Promise<Deployment> {
    const deployment = await Deployment.start();
    deployment.#database = await attachEmbedded(deployment.#databaseFolder);
    return deployment;
  }

  get dataDir(): string {
    return this.environment.LOCKGATE_DATA_DIR as string;
  }

  get #databaseFolder(): string {
    return join(this.dataDir, 'postgres');
  }

  credential(more: Record<string, unknown> = {}): Record<string, unknown> {
    const { accessKeyId, secretAccessKey, s3 } = this;
    return { access_key_id: accessKeyId, secret_access_key: secretAccessKey, endpoint: s3.endpoint, ...more };
  }

  /** Starts a command; `ended` resolves with its answer. */
  start(words: readonly string[], input = '') {
    const child = spawn(BIN, words, { env: this.environment, stdio: ['pipe', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk) => out.push(chunk));
    child.stderr.on('data', (chunk) => err.push(chunk));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    const ended = new Promise<Answer>((resolve) => {
      child.on('close', (code) =>
        resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
      );
    });
    return { child, ended, pid: child.pid as number };
  }

  run(...words: string[]): Promise<Answer> {
    return this.start(words).ended;
  }

  /** Runs a command that must succeed, and parses what it prints as JSON. */
  async json<T = Record<string, unknown>>(...words: string[]): Promise<T> {
    const answer = await this.run(...words, '--json');
    if (answer.code !== 0)
      throw new Error(`${words.join(' ')} ended with ${answer.code}: ${answer.stderr}${answer.stdout}`);
    return JSON.parse(answer.stdout) as T;
  }

  async putSecret(
    id = 'my-creds',
    credential: unknown = this.credential(),
    type = 's3',
    ...more: string[]
  ): Promise<void> {
    const words = ['secrets', 'put', id, '--type', type, ...more];
    const answer = await this.start(words, JSON.stringify(credential)).ended;
    if (answer.code !== 0) throw new Error(answer.stderr);
  }

  /** A collection with one source; returns the source's ID. */
  async connect(collection = 'handbook', ...more: string[]): Promise<string> {
    await this.json('collections', 'create', collection);
    const words = ['--collection', collection, '--type', 's3', '--credential', 'my-creds', '--path', 's3://docs'];
    return (await this.json<{ id: string }>('sources', 'add', ...words, ...more)).id;
  }

  /** Every row of every table as text: in the database's files a long value may be compressed. Throws unless it has those that are named. */
  async everyRow(atLeast: readonly string[] = ['lockgate.document']): Promise<string> {
    const server = await attachEmbedded(this.#databaseFolder);
    await using db = openPool(server.target, 1, { onClose: server.leave });
    const tables = await db.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname like 'lockgate%'`,
    );
    const names = tables.map(({ name }) => name);
    for (const name of atLeast) if (!names.includes(name)) throw new Error(`no ${name}`);
    const rows: string[] = [];
    for (const name of names) {
      for (const { row } of await db.query<{ row: string }>(`select t::text as row from ${name} t`)) rows.push(row);
    }
    return rows.join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.s3[Symbol.asyncDispose]();
    // The last who leaves the embedded database stops it; one that was killed leaves it to the next.
    if (this.#database) await this.#database.leave();
    else if (!this.environment.DATABASE_URL) await this.run('collections', 'list');
    await rm(this.folder, { recursive: true, force: true });
  }
}
