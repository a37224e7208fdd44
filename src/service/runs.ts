import { resolveCollection } from '../collections/collections.ts';
import { listRemovals } from '../collections/documents.ts';
import { explainPath } from '../collections/explain.ts';
import { listFailures } from '../collections/failures.ts';
import { approveRun, cancelRun, findRun, listRuns, requestRun } from '../collections/runs.ts';
import { findSource } from '../collections/sources.ts';
import { listWorkers } from '../collections/workers.ts';
import { explainSelection } from './explain.ts';
import type { ServiceParts, Some } from './parts.ts';

const FAILURES_SHOWN = 100;

export function runOperations(
  parts: ServiceParts,
): Some<
  | 'runs.list'
  | 'runs.get'
  | 'runs.cancel'
  | 'runs.approve'
  | 'runs.retry'
  | 'runs.removals'
  | 'workers.list'
  | 'sources.explain'
> {
  const { db, queue } = parts;
  return {
    'runs.list': async ({ workspace }, { collection, source, state, limit }) => {
      const filter = {
        ...(collection ? { collection: (await resolveCollection(db, workspace, collection)).name } : {}),
        ...(source ? { sourceId: (await findSource(db, workspace, source)).id } : {}),
        ...(state ? { state } : {}),
      };
      return { items: await listRuns(db, workspace, filter, limit) };
    },
    'runs.get': async ({ workspace }, { id }) => {
      const run = await findRun(db, workspace, id);
      return { ...run, failures: await listFailures(db, run.sourceId, FAILURES_SHOWN) };
    },
    'runs.cancel': async ({ workspace }, { id }) => {
      await cancelRun(db, await findRun(db, workspace, id));
      return findRun(db, workspace, id);
    },
    'runs.approve': async ({ workspace }, { id }) => {
      await approveRun(db, await findRun(db, workspace, id));
      await (await queue()).send(id);
      return findRun(db, workspace, id);
    },
    'runs.retry': async ({ workspace }, { id }) => {
      const run = await findRun(db, workspace, id);
      const next = await requestRun(db, run.sourceId, 'manual');
      await (await queue()).send(next);
      return findRun(db, workspace, next);
    },
    'runs.removals': async ({ workspace }, { id, limit, cursor }) => {
      const run = await findRun(db, workspace, id);
      return listRemovals(db, run, limit, cursor ?? null) as never;
    },
    'workers.list': async () => ({ items: await listWorkers(db) }),
    'sources.explain': async ({ workspace }, { id, path }) => {
      const source = await findSource(db, workspace, id);
      return explainSelection(source, await explainPath(db, source.id, path)) as never;
    },
  };
}
