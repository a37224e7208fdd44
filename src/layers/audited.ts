import type { AuditEvent, AuditLog, SecretDirectory, SecretReader } from '../contract/secret-manager.ts';

/**
 * Writes every access down before the value is released, and how it went afterwards. When the log cannot be written,
 * the value is not released.
 */
export function withAudit(reader: SecretReader, audit: AuditLog): SecretReader {
  return {
    access: async (ref, purpose) => {
      const event = { action: 'secret.access' as const, ...purpose };
      await audit.append({ ...event, secret: ref, outcome: 'attempt' });
      try {
        const accessed = await reader.access(ref, purpose);
        await audit.append({ ...event, secret: accessed.ref, outcome: 'ok' });
        return accessed;
      } catch (error) {
        await audit.append({ ...event, secret: ref, outcome: 'refused' });
        throw error;
      }
    },
  };
}

/** The same for what adds, lists and removes: nothing happens that is not written down first. */
export function withDirectoryAudit(
  directory: SecretDirectory,
  audit: AuditLog,
  who: { readonly manager: string; readonly workspace: string; readonly actor: string },
): SecretDirectory {
  const { manager, workspace, actor } = who;
  const audited = <T>(action: AuditEvent['action'], secretId: string, work: () => Promise<T>): Promise<T> =>
    noted(audit, { action, actor, secret: { manager, workspace, secretId } }, work);
  return {
    list: async function* (filter) {
      yield* await audited('secret.list', '*', () => Array.fromAsync(directory.list(filter)));
    },
    describe: (id) => audited('secret.describe', id, () => directory.describe(id)),
    put: (id, type, credential, metadata) =>
      audited('secret.put', id, () => directory.put(id, type, credential, metadata)),
    remove: (id) => audited('secret.remove', id, () => directory.remove(id)),
  };
}

/** The same for what is done with a whole secret manager. */
export function notesOfManagers(audit: AuditLog) {
  return <T>(
    { actor, workspace }: { readonly actor: string; readonly workspace: string },
    action: AuditEvent['action'],
    manager: string,
    work: () => Promise<T>,
  ): Promise<T> => noted(audit, { action, actor, secret: { manager, workspace, secretId: '*' } }, work);
}

/** Does what is written down first, and writes down how it went. */
export async function noted<T>(
  audit: AuditLog,
  event: Omit<AuditEvent, 'outcome'>,
  work: () => Promise<T>,
): Promise<T> {
  await audit.append({ ...event, outcome: 'attempt' });
  try {
    const result = await work();
    await audit.append({ ...event, outcome: 'ok' });
    return result;
  } catch (error) {
    await audit.append({ ...event, outcome: 'refused' });
    throw error;
  }
}
