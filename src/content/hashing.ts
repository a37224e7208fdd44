import { createHash, type Hash, hash } from 'node:crypto';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { isShared } from '../contract/chunk-pool.ts';

/** What the thread is asked: to hash the next bytes of a body, to say the hash of what it has of one, or to forget it. */
export interface Asked {
  readonly body: number;
  readonly chunk?: Uint8Array;
  readonly ask?: 'digest' | 'forget';
}

interface Waiting {
  resolve(sha256: string): void;
  reject(error: unknown): void;
}

/**
 * One thread for the hashes of a process: where bytes come in memory that threads share, one core hashes them while another receives what
 * comes next. It has no environment and sees nothing but contents. Started when it is first needed; it keeps no process alive.
 */
class HashThread {
  readonly #worker: Worker;
  /** It answers in the order in which it is asked. */
  readonly #waiting: Waiting[] = [];
  #bodies = 0;
  #isOver = false;

  constructor() {
    const file = new URL(`./hashing-thread${extname(import.meta.url)}`, import.meta.url);
    this.#worker = new Worker(file, { env: {}, execArgv: [] });
    this.#worker.unref();
    this.#worker.on('message', (sha256: string) => {
      this.#waiting.shift()?.resolve(sha256);
      if (this.#waiting.length === 0) this.#worker.unref();
    });
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', () => this.#end(ended()));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  newBody(): number {
    return this.#bodies++;
  }

  ask(asked: Asked): Promise<string> {
    if (this.#isOver) return Promise.reject(ended());
    if (this.#waiting.length === 0) this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(asked);
    });
  }

  forget(body: number): void {
    if (!this.#isOver) this.#worker.postMessage({ body, ask: 'forget' } satisfies Asked);
  }

  #end(error: Error): void {
    this.#isOver = true;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

function ended(): Error {
  return new Error('the thread that hashes has ended');
}

let running: HashThread | null = null;

function thread(): HashThread {
  if (!running || running.isOver) running = new HashThread();
  return running;
}

/** SHA-256 of bytes that must stay as they are until it resolves, in hexadecimal digits. */
export function sha256Of(bytes: Uint8Array): Promise<string> | string {
  if (!isShared(bytes)) return hash('sha256', bytes);
  const there = thread();
  return there.ask({ body: there.newBody(), chunk: bytes, ask: 'digest' });
}

/** SHA-256 of a body that comes in chunks. */
export class BodyHash {
  #here: Hash | null = null;
  #there: HashThread | null = null;
  #body = 0;

  /** The bytes must stay as they are until it resolves. */
  update(chunk: Uint8Array): Promise<unknown> | undefined {
    if (!this.#here && !this.#there) {
      if (isShared(chunk)) {
        this.#there = thread();
        this.#body = this.#there.newBody();
      } else this.#here = createHash('sha256');
    }
    if (this.#there) return this.#there.ask({ body: this.#body, chunk });
    this.#here?.update(chunk);
    return undefined;
  }

  async digest(): Promise<string> {
    if (this.#there) return this.#there.ask({ body: this.#body, ask: 'digest' });
    return (this.#here ?? createHash('sha256')).digest('hex');
  }

  /** Its body will not come to its end. */
  forget(): void {
    this.#there?.forget(this.#body);
  }
}
