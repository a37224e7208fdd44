import type { Database } from '../contract/database.ts';
import type { Keyring } from './keyring.ts';
import { rewrap, type Sealed } from './seal.ts';

const AT_ONCE = 200;

interface Row extends Sealed {
  readonly workspace: string;
  readonly id: string;
  readonly version: number;
  readonly type: string;
}

/**
 * Has every version's key wrapped by the active key. Values are not touched. It may be stopped and begun again: each version says
 * which key wraps it. With `all`, also what the active key has wrapped: a key that a cloud keeps has versions, and its newest one wraps. Returns how many were
 * wrapped anew.
 */
export async function rotateKeys(
  db: Database,
  storeId: string,
  keys: Keyring,
  signal: AbortSignal,
  all = false,
): Promise<number> {
  if (all) await keys.renewCheck();
  let after: Pick<Row, 'workspace' | 'id' | 'version'> = { workspace: '', id: '', version: 0 };
  let done = 0;
  for (;;) {
    signal.throwIfAborted();
    const { active } = keys;
    const rows = await db.query<Row>(
      `select v.workspace, v.id, v.version, s.type, v.kek, v.wrapped, v.iv, v.data, v.commitment
         from securestore.version v join securestore.secret s using (workspace, id)
        where v.kek is not null and ($3 or v.kek <> $1) and (v.workspace, v.id, v.version) > ($4, $5, $6)
        order by v.workspace, v.id, v.version limit $2`,
      [active.id, AT_ONCE, all, after.workspace, after.id, after.version],
    );
    if (rows.length === 0) return done;
    // What is wrapped by another key no longer is when it was seen once; whoever adds such ones meanwhile may add them anywhere.
    if (all) after = rows.at(-1) ?? after;
    for (const row of rows) {
      signal.throwIfAborted();
      const { workspace, id, version, type, kek: old } = row;
      const name = { store: storeId, workspace, secretId: id, version, type };
      const { kek, wrapped } = await rewrap(row, name, keys.byId(old), active);
      // Unless it was destroyed meanwhile.
      await db.query(
        `update securestore.version set kek = $4, wrapped = $5
          where workspace = $1 and id = $2 and version = $3 and kek = $6`,
        [workspace, id, version, kek, wrapped, old],
      );
      done++;
    }
  }
}
