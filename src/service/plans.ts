import { createPlan, executePlan, findPlan, listPlanItems } from '../collections/plans.ts';
import { findRun } from '../collections/runs.ts';
import { findSource } from '../collections/sources.ts';
import type { ServiceParts, Some } from './parts.ts';

/** What a run would do, and having just that done. */
export function planOperations(
  parts: ServiceParts,
): Some<'sources.plan' | 'plans.get' | 'plans.items' | 'plans.execute'> {
  const { db, queue } = parts;
  return {
    'sources.plan': async ({ workspace }, { id }) => {
      const source = await findSource(db, workspace, id);
      const planId = await createPlan(db, source.id);
      await parts.plan(planId);
      return findPlan(db, workspace, planId);
    },
    'plans.get': ({ workspace }, { id }) => findPlan(db, workspace, id),
    'plans.items': async ({ workspace }, { id, action, limit, cursor }) => {
      const plan = await findPlan(db, workspace, id);
      return listPlanItems(db, plan.id, action ?? null, limit, cursor ?? null);
    },
    'plans.execute': async ({ workspace }, { id }) => {
      const plan = await findPlan(db, workspace, id);
      const crawls = await queue();
      const runId = await db.transaction(async (tx) => {
        const run = await executePlan(tx, plan);
        await crawls.send(run, tx);
        return run;
      });
      return findRun(db, workspace, runId);
    },
  };
}
