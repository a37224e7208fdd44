import { z } from 'zod';
import { endpoint } from './endpoint.ts';
import { cursor, id, limit } from './inputs.ts';
import {
  DocumentShape,
  FailureShape,
  listOf,
  PlanItemShape,
  PlanShape,
  pageOf,
  RUN_STATES,
  RunShape,
  WorkerShape,
} from './shapes.ts';

/** What syncs did and would do. */
export const RUN_API = {
  'plans.get': endpoint('GET', '/v1/plans/{id}', 'read', 'A plan with its figures', id, PlanShape),
  'plans.items': endpoint(
    'GET',
    '/v1/plans/{id}/items',
    'read',
    'What a plan would do, each object with the reason',
    id.extend({ action: PlanItemShape.shape.action.optional(), limit: limit(1000, 100), cursor }),
    pageOf(PlanItemShape),
  ),
  'plans.execute': endpoint(
    'POST',
    '/v1/plans/{id}/execute',
    'edit',
    'Do exactly what a plan says, and nothing that has changed since',
    id,
    RunShape,
  ),
  'runs.list': endpoint(
    'GET',
    '/v1/runs',
    'read',
    'The latest runs',
    z.object({
      collection: z.string().max(200).optional(),
      source: z.string().max(100).optional(),
      state: z.enum(RUN_STATES).optional(),
      limit: limit(1000, 20),
    }),
    listOf(RunShape),
  ),
  'runs.get': endpoint(
    'GET',
    '/v1/runs/{id}',
    'read',
    'A run with its figures and what failed',
    id,
    RunShape.extend({ failures: z.array(FailureShape) }),
  ),
  'runs.cancel': endpoint('POST', '/v1/runs/{id}/cancel', 'edit', 'Stop a run', id, RunShape),
  'runs.approve': endpoint(
    'POST',
    '/v1/runs/{id}/approve',
    'edit',
    'Let a run that waits for approval remove what its source no longer has',
    id,
    RunShape,
  ),
  'runs.removals': endpoint(
    'GET',
    '/v1/runs/{id}/removals',
    'read',
    'The documents that a run which waits for approval would remove',
    id.extend({ limit: limit(1000, 100), cursor }),
    pageOf(DocumentShape),
  ),
  'workers.list': endpoint(
    'GET',
    '/v1/workers',
    'read',
    'The workers of the deployment, and how many runs they are at',
    z.object({}),
    listOf(WorkerShape),
  ),
  'runs.retry': endpoint(
    'POST',
    '/v1/runs/{id}/retry',
    'edit',
    'Sync the source of a run again, what failed included',
    id,
    RunShape,
  ),
} as const;
