import type { Queryable } from '../contract/database.ts';

/** Between which managers of a workspace. */
export interface MigrationRoute {
  readonly workspace: string;
  readonly from: string;
  readonly to: string;
}

/** Which version of a secret became which, in the order of copying. */
export async function copiedVersions(db: Queryable, route: MigrationRoute, id: string): Promise<Map<string, string>> {
  const rows = await db.query<{ from: string; to: string }>(
    `select from_version as "from", to_version as "to" from lockgate.secret_migration
      where workspace = $1 and from_manager = $2 and to_manager = $3 and secret_id = $4 order by copied_at, from_version`,
    [route.workspace, route.from, route.to, id],
  );
  return new Map(rows.map(({ from, to }) => [from, to]));
}

export async function noteCopied(
  db: Queryable,
  { workspace, from, to }: MigrationRoute,
  id: string,
  versions: { from: string; to: string },
): Promise<void> {
  await db.query(
    `insert into lockgate.secret_migration (workspace, from_manager, to_manager, secret_id, from_version, to_version, copied_at)
     values ($1, $2, $3, $4, $5, $6, clock_timestamp()) on conflict do nothing`,
    [workspace, from, to, id, versions.from, versions.to],
  );
}

/**
 * Has the sources of the workspace use the secrets in their new place, all at once; a version that a source stays at becomes
 * the one that was made of it. `aliases` are other names of the manager from which they come. Returns how many sources.
 */
export async function switchSources(
  db: Queryable,
  { workspace, from, to }: MigrationRoute,
  aliases: readonly string[],
  ids: readonly string[],
): Promise<number> {
  const switched = await db.query(
    `update lockgate.source s
        set credential_manager = $3,
            credential_version = (select m.to_version from lockgate.secret_migration m
                                   where m.workspace = $1 and m.from_manager = $2 and m.to_manager = $3
                                     and m.secret_id = s.credential_id and m.from_version = s.credential_version)
       from lockgate.collection c
      where c.id = s.collection_id and c.workspace = $1 and s.credential_manager = any($4) and s.credential_id = any($5)
        -- A version that could not be copied stays where it is, and so does the source that needs it.
        and (s.credential_version is null or exists (
              select 1 from lockgate.secret_migration m
               where m.workspace = $1 and m.from_manager = $2 and m.to_manager = $3
                 and m.secret_id = s.credential_id and m.from_version = s.credential_version))
      returning s.id`,
    [workspace, from, to, [from, ...aliases], ids],
  );
  return switched.length;
}
