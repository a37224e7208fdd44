import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Database, Queryable } from '../contract/database.ts';
import { InputError } from '../contract/errors.ts';

const FORMAT = 'lockgate-securestore-backup/1';
/** In the order in which they can be restored. */
const TABLES = ['store', 'secret', 'version', 'used_version', 'token', 'key_check'] as const;
const AT_ONCE = 500;

/**
 * Everything, as of one moment, as JSON lines. Values stay sealed: a backup is worth nothing without the key, which is not in it.
 */
export async function* backup(db: Database): AsyncIterable<string> {
  // One statement sees one moment.
  const parts = TABLES.map(
    (table, order) =>
      `select ${order} as "order", '${table}' as "table", to_jsonb(t) as row from securestore.${table} t`,
  );
  yield JSON.stringify({ format: FORMAT });
  const rows = await db.query<{ table: string; row: object }>(
    `select "table", row from (${parts.join(' union all ')}) everything order by "order"`,
  );
  for (const { table, row } of rows) yield JSON.stringify({ table, row });
  yield JSON.stringify({ end: rows.length });
}

/** Into a store that has no secrets yet. Throws `invalid_backup` and `store_not_empty`, and then nothing has changed. */
export async function restore(db: Database, input: Readable): Promise<number> {
  return db.transaction(async (tx) => {
    const [used] = await tx.query('select 1 from securestore.secret union all select 1 from securestore.token limit 1');
    if (used) {
      throw new InputError(
        'store_not_empty',
        'There is something in this store already.',
        'Restore into a new database, and switch to it.',
      );
    }
    await tx.query(`truncate ${TABLES.map((table) => `securestore.${table}`).join(', ')} cascade`);
    let count = -1;
    let ended = false;
    let waiting: { table: string; rows: object[] } = { table: '', rows: [] };
    // Not opened before: lines that come while nobody listens are lost.
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const { format, table, row, end } = parsed(line);
      if (count < 0 && format !== FORMAT) throw invalid('It does not begin as a backup does.');
      if (end !== undefined) ended = end === count;
      if (count >= 0 && row) {
        if (table !== waiting.table || waiting.rows.length === AT_ONCE) {
          await insert(tx, waiting.table, waiting.rows);
          waiting = { table: table ?? '', rows: [] };
        }
        waiting.rows.push(row);
        count++;
      }
      if (count < 0) count = 0;
    }
    await insert(tx, waiting.table, waiting.rows);
    if (!ended) throw invalid('It is cut off.');
    return count;
  });
}

async function insert(tx: Queryable, table: string, rows: readonly object[]): Promise<void> {
  if (rows.length === 0) return;
  if (!(TABLES as readonly string[]).includes(table)) throw invalid('It names a table that there is not.');
  await tx.query(
    `insert into securestore.${table} select * from jsonb_populate_recordset(null::securestore.${table}, $1::jsonb)`,
    [JSON.stringify(rows)],
  );
}

function parsed(line: string): { format?: string; table?: string; row?: object; end?: number } {
  try {
    return JSON.parse(line);
  } catch {
    throw invalid('A line is no JSON.');
  }
}

function invalid(why: string): InputError {
  return new InputError('invalid_backup', `This is no backup of a SecureStore. ${why}`);
}
