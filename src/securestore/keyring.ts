import type { Database } from '../contract/database.ts';
import { describeError, LockgateError } from '../contract/errors.ts';
import { type KeySource, openKey } from './keys.ts';
import type { KeyEncryptionKey } from './seal.ts';

/** What each key must be able to open: nothing secret. */
const KNOWN = Buffer.from('lockgate-securestore key check!!');

export interface KeySettings {
  /** Wraps what is new. */
  readonly active: KeySource;
  /** Open what was wrapped before the last rotation. */
  readonly retained: readonly KeySource[];
}

function checkOf({ id }: KeyEncryptionKey): string {
  return `check ${id}`;
}

/** The keys of a store, once they could be had and are the right ones; until then the store is sealed. */
export class Keyring {
  readonly #db: Database;
  readonly #settings: KeySettings;
  #open: { readonly active: KeyEncryptionKey; readonly byId: ReadonlyMap<string, KeyEncryptionKey> } | null = null;
  #why = 'The key was not looked for yet.';

  constructor(db: Database, settings: KeySettings) {
    this.#db = db;
    this.#settings = settings;
  }

  get isSealed(): boolean {
    return this.#open === null;
  }

  /** Why it is sealed. */
  get reason(): string {
    return this.#why;
  }

  /** Wraps what is new. Throws `store_sealed`. */
  get active(): KeyEncryptionKey {
    return this.#opened().active;
  }

  /** Throws `store_sealed`, and `key_missing` for a key that is neither the active one nor retained. */
  byId(id: string): KeyEncryptionKey {
    const found = this.#opened().byId.get(id);
    if (found) return found;
    throw new LockgateError(
      'key_missing',
      `The value was wrapped by the key ${id}, which this server has not.`,
      'Name it in LOCKGATE_SECURESTORE_OLD_KEYS until everything is wrapped anew.',
    );
  }

  /** Tries to get the keys and checks them against what is stored. False: it stays sealed. */
  async unseal(): Promise<boolean> {
    try {
      const { active: first, retained } = this.#settings;
      const active = await openKey(first);
      const byId = new Map([[active.id, active]]);
      for (const source of retained) {
        const key = await openKey(source);
        byId.set(key.id, key);
      }
      for (const key of byId.values()) await this.#check(key);
      await this.#assertAllKnown(byId);
      this.#open = { active, byId };
      return true;
    } catch (error) {
      this.#open = null;
      const { message, hint } = describeError(error);
      this.#why = hint ? `${message} ${hint}` : message;
      return false;
    }
  }

  #opened() {
    if (this.#open) return this.#open;
    throw new LockgateError(
      'store_sealed',
      'SecureStore is sealed: it has not the key that opens its values.',
      this.#why,
    );
  }

  /** A key that has been used here before must open what it wrapped then. */
  async #check(key: KeyEncryptionKey): Promise<void> {
    const context = checkOf(key);
    const [known] = await this.#db.query<{ wrapped: Buffer }>(
      'select wrapped from securestore.key_check where kek = $1',
      [key.id],
    );
    const wrapped = known?.wrapped ?? (await key.wrap(KNOWN, context));
    const opened = await key.unwrap(wrapped, context).catch((error: unknown) => {
      // A service that is away, or that refuses, says nothing of which key it has.
      if ((error as LockgateError).code === 'value_tampered') return null;
      throw error;
    });
    if (!opened?.equals(KNOWN)) {
      throw new LockgateError(
        'key_wrong',
        `The key ${key.id} does not open what it once wrapped.`,
        'Give the one that this store was made with.',
      );
    }
    if (!known) {
      await this.#db.query('insert into securestore.key_check (kek, wrapped) values ($1, $2) on conflict do nothing', [
        key.id,
        wrapped,
      ]);
    }
  }

  /** What the active key must be able to open is wrapped by the version that it has now. */
  async renewCheck(): Promise<void> {
    const { active } = this;
    const wrapped = await active.wrap(KNOWN, checkOf(active));
    await this.#db.query('update securestore.key_check set wrapped = $2 where kek = $1', [active.id, wrapped]);
  }

  async #assertAllKnown(byId: ReadonlyMap<string, KeyEncryptionKey>): Promise<void> {
    const used = await this.#db.query<{ kek: string }>(
      'select distinct kek from securestore.version where kek is not null',
    );
    const missing = used.map(({ kek }) => kek).filter((kek) => !byId.has(kek));
    if (missing.length === 0) return;
    throw new LockgateError(
      'key_missing',
      `Values are wrapped by ${missing.join(', ')}, which this server has not.`,
      'Give the key that this store was made with, or name it in LOCKGATE_SECURESTORE_OLD_KEYS.',
    );
  }
}
