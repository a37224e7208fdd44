import { type FileHandle, open } from 'node:fs/promises';

const SYNC_BYTES = 32 * 1024 * 1024;

/** Has what was written to a file go to the disk meanwhile, so that little is left to be synced by the commit. */
export class Syncing {
  readonly #file: FileHandle;
  #unsynced = 0;
  #running: Promise<void> | null = null;
  #last: Promise<void> = Promise.resolve();

  constructor(file: FileHandle) {
    this.#file = file;
  }

  wrote(bytes: number): void {
    this.#unsynced += bytes;
    if (this.#unsynced < SYNC_BYTES || this.#running) return;
    this.#unsynced = 0;
    this.#running = this.#file.datasync().then(() => {
      this.#running = null;
    });
    this.#last = this.#running;
    // A failure is told once, so it must be heard here.
    this.#last.catch(() => undefined);
  }

  /** Rejects when what was begun so far has failed. */
  settled(): Promise<void> {
    return this.#last;
  }
}

/** Of a file its bytes, of a folder the names in it, are on the disk when it resolves. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
