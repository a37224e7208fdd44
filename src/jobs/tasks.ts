import { findSource, type Place, type SourceRecord } from '../collections/sources.ts';
import type { CheckReport } from '../contract/connector.ts';
import type { Database } from '../contract/database.ts';
import type { SecretDirectory } from '../contract/secret-manager.ts';
import { openSource, requestFor, type SourceParts } from './open-source.ts';
import { makePlan } from './plan-run.ts';
import { preview } from './preview.ts';
import type { SecretsTask, Task } from './queue.ts';

export interface TaskParts {
  readonly db: Database;
  readonly sourceParts: (workspace: string) => SourceParts;
  readonly worker: string;
  readonly directory: (manager: string, workspace: string, actor: string) => SecretDirectory;
}

/** Does what only a worker can do. */
export async function doTask(parts: TaskParts, task: Task, signal: AbortSignal): Promise<unknown> {
  if (task.kind === 'plan') {
    await makePlan({ ...parts, actor: `worker ${parts.worker}` }, task.planId, signal);
    return null;
  }
  if (task.kind === 'secrets')
    return doWithSecrets(parts.directory(task.manager, task.workspace, task.actor), task.wish);
  if (task.kind === 'preview') return preview(task.place, parts.sourceParts(task.place.workspace), task.actor, signal);
  const record = 'place' in task ? task.place : await findSource(parts.db, task.workspace, task.sourceId);
  return checkSource(record, parts.sourceParts(record.workspace), task.actor, signal);
}

async function doWithSecrets(directory: SecretDirectory, wish: SecretsTask['wish']): Promise<unknown> {
  if ('describe' in wish) return directory.describe(wish.describe);
  if ('list' in wish) return Array.fromAsync(directory.list(wish.list ? { connectorType: wish.list } : undefined));
  await directory.remove(wish.remove);
  return null;
}

/** Tries what a sync of the source does. */
export async function checkSource(
  record: SourceRecord | Place,
  parts: SourceParts,
  actor: string,
  signal: AbortSignal,
): Promise<CheckReport> {
  const purpose = { actor, reason: 'check', ...('id' in record ? { sourceId: record.id } : {}) };
  const { source } = await openSource(requestFor(record, purpose), parts);
  await using open = source;
  return await open.check(signal);
}
