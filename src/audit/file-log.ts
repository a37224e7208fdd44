import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LockgateError } from '../contract/errors.ts';
import type { AuditLog } from '../contract/secret-manager.ts';

/** How long one line may take to become durable, in milliseconds: a sink that hangs must not freeze every sync. */
const APPEND_TIMEOUT_MS = 10_000;

/** An append-only file of JSON lines, synced to disk line by line. Several processes may append to one file. */
export function fileAuditLog(path: string, now: () => number): AuditLog {
  return {
    append: async (event) => {
      const line = `${JSON.stringify({ at: new Date(now()).toISOString(), pid: process.pid, ...event })}\n`;
      try {
        await Promise.race([appendDurably(path, line), expiry()]);
      } catch {
        throw new LockgateError(
          'audit_unavailable',
          `The audit log ${path} cannot be written, so no credential is released.`,
          'Check that the disk has room and that this user may write the file.',
        );
      }
    },
  };
}

async function appendDurably(path: string, line: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, 'a', 0o600);
  try {
    await file.write(line);
    await file.datasync();
  } finally {
    await file.close();
  }
}

function expiry(): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error('timeout')), APPEND_TIMEOUT_MS).unref();
  });
}
