import { type FileHandle, open } from 'node:fs/promises';

const SYNC_BYTES = 32 * 1024 * 1024;

/**
 * Has what was written to a file go to the disk meanwhile, so that little is left to be synced by the commit. The kernel tells of a
 * write that failed once, to whoever asks first: what lies in a file of which that was said is never taken for synced.
 */
export class Syncing {
  readonly #file: FileHandle;
  #unsynced = 0;
  #running: Promise<void> | null = null;
  #failure: { readonly error: unknown } | null = null;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  wrote(bytes: number): void {
    this.#unsynced += bytes;
    if (this.#unsynced < SYNC_BYTES || this.#running || this.#failure) return;
    this.#unsynced = 0;
    this.#running = this.#datasync()
      // Whoever waits for it hears of it.
      .catch(() => undefined)
      .finally(() => {
        this.#running = null;
      });
  }

  /** Rejects when what was begun so far has failed. */
  async settled(): Promise<void> {
    await this.#running;
    if (this.#failure) throw this.#failure.error;
  }

  /** What was written is on the disk when it resolves. */
  async sync(): Promise<void> {
    await this.settled();
    await this.#datasync();
    // One that began meanwhile may have been told in place of this one.
    await this.settled();
  }

  async #datasync(): Promise<void> {
    try {
      await this.#file.datasync();
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    }
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
