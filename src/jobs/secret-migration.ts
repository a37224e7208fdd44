import { copiedVersions, type MigrationRoute, noteCopied, switchSources } from '../collections/migrations.ts';
import type { Database } from '../contract/database.ts';
import { CredentialNotFoundError, CredentialUnusableError, LockgateError } from '../contract/errors.ts';
import type {
  AccessedSecret,
  AuditLog,
  SecretDirectory,
  SecretInfo,
  SecretReader,
} from '../contract/secret-manager.ts';
import { noted } from '../layers/audited.ts';

export interface MigrationParts {
  readonly db: Database;
  readonly from: SecretDirectory;
  readonly to: SecretDirectory;
  readonly reader: SecretReader;
  readonly audit: AuditLog;
  readonly actor: string;
}

export interface MigrationPlan extends MigrationRoute {
  /** Other names under which sources know the manager from which secrets come. */
  readonly aliases: readonly string[];
  /** Absent: all. */
  readonly ids?: readonly string[];
}

export interface Migrated {
  readonly id: string;
  /** Versions that were copied now, and those that were there from an earlier attempt. */
  readonly copied: number;
  readonly known: number;
  /** Versions that cannot be read where they are, such as disabled ones; never the latest. */
  readonly unreadable: readonly string[];
}

/**
 * Copies secrets with their versions and labels, reads every copy back, and then switches the sources to them in one
 * transaction. What was there is never touched, so every source works at every instant. A migration that was cut off goes on
 * where it was. Throws `migration_conflict` when the other manager has something else under an ID.
 */
export async function migrateSecrets(
  parts: MigrationParts,
  plan: MigrationPlan,
  onSecret: (migrated: Migrated) => void,
): Promise<{ secrets: number; sources: number }> {
  const ids = plan.ids ?? (await Array.fromAsync(parts.from.list())).map(({ id }) => id);
  for (const id of ids) onSecret(await migrate(parts, plan, id));
  const sources = await parts.db.transaction((tx) => switchSources(tx, plan, plan.aliases, ids));
  // What was rotated after it was copied, and before its sources were switched.
  for (const id of ids) {
    const late = await migrate(parts, plan, id);
    if (late.copied > 0) onSecret(late);
  }
  return { secrets: ids.length, sources };
}

async function migrate(parts: MigrationParts, plan: MigrationPlan, id: string): Promise<Migrated> {
  const { audit, actor } = parts;
  const event = {
    action: 'secret.migrate' as const,
    actor,
    secret: { manager: plan.to, workspace: plan.workspace, secretId: id },
    reason: `from ${plan.from}`,
  };
  return noted(audit, event, async () => {
    const migrated = await copyAll(parts, plan, id);
    await verifyAll(parts, plan, id);
    return migrated;
  });
}

/** Until there is no version that was not copied: one may be added meanwhile. */
async function copyAll(parts: MigrationParts, plan: MigrationPlan, id: string): Promise<Migrated> {
  let copied = 0;
  let known = 0;
  for (;;) {
    const info = await parts.from.describe(id);
    const versions = (info.versions ?? []).map(({ version }) => version).toReversed();
    const done = await copiedVersions(parts.db, plan, id);
    if (copied === 0) known = done.size;
    const unreadable: string[] = [];
    let some = 0;
    for (const version of versions) {
      if (done.has(version)) continue;
      const value = await accessOf(parts, plan, plan.from, id, version).catch((error) => {
        if (!(error instanceof CredentialUnusableError) || version === versions.at(-1)) throw error;
        unreadable.push(version);
        return null;
      });
      if (!value) continue;
      done.set(version, await copy(parts, plan, info, version, value, done));
      some++;
    }
    copied += some;
    if (some === 0) return { id, copied, known, unreadable };
  }
}

async function copy(
  parts: MigrationParts,
  plan: MigrationPlan,
  info: SecretInfo,
  version: string,
  { value }: AccessedSecret,
  done: ReadonlyMap<string, string>,
): Promise<string> {
  const { id } = info;
  const there = await parts.to.describe(id).catch((error) => {
    if (error instanceof CredentialNotFoundError) return null;
    throw error;
  });
  const latest = there?.versions?.[0]?.version;
  let to: string | undefined;
  if (latest !== undefined && ![...done.values()].includes(latest)) {
    // Written by an attempt that was cut off before it could note it, or by somebody else.
    const found = await accessOf(parts, plan, plan.to, id, latest);
    if (!found.value.equals(value)) throw conflict(id, plan.to);
    to = latest;
  } else {
    const metadata = { scope: info.scope ?? {}, ...(info.expiresAt ? { expiresAt: info.expiresAt } : {}) };
    to = (await parts.to.put(id, info.connectorType, value, metadata)).versions?.[0]?.version ?? '';
  }
  await noteCopied(parts.db, plan, id, { from: version, to });
  return to;
}

/** Reads back what was copied. Where a manager keeps one version only, the last copy is what counts. */
async function verifyAll(parts: MigrationParts, plan: MigrationPlan, id: string): Promise<void> {
  const lastOf = new Map([...(await copiedVersions(parts.db, plan, id))].map(([from, to]) => [to, from]));
  for (const [to, from] of lastOf) {
    const [original, copied] = [
      await accessOf(parts, plan, plan.from, id, from),
      await accessOf(parts, plan, plan.to, id, to),
    ];
    if (!original.value.equals(copied.value)) throw conflict(id, plan.to);
  }
}

function accessOf(
  parts: MigrationParts,
  { workspace }: MigrationPlan,
  manager: string,
  secretId: string,
  version: string,
) {
  const purpose = { actor: parts.actor, reason: 'migrate' };
  return parts.reader.access({ manager, workspace, secretId, version }, purpose);
}

function conflict(id: string, manager: string): LockgateError {
  return new LockgateError(
    'migration_conflict',
    `"${manager}" already has something else under "${id}".`,
    'Nothing was switched. Remove it there, or leave the ID out: lockgate secrets migrate --secret <id>',
  );
}
