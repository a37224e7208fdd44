import { z } from 'zod';
import { endpoint, PERMISSIONS } from './endpoint.ts';
import { limit } from './inputs.ts';
import { listOf, ScheduleShape } from './shapes.ts';

const count = z.int().min(0);
const time = z.iso.datetime({ offset: true });

/** What people see of the deployment before they look at anything in it. */
export const OVERVIEW_API = {
  'me.get': endpoint(
    'GET',
    '/v1/me',
    'read',
    'Who asks, in which workspace, and what they may do there',
    z.object({}),
    z.object({
      actor: z.string(),
      workspace: z.string(),
      permissions: z.array(z.enum(PERMISSIONS)),
      everywhere: z.boolean(),
    }),
  ),
  'about.get': endpoint(
    'GET',
    '/v1/about',
    'read',
    'What this deployment is made of',
    z.object({}),
    z.object({
      version: z.string(),
      node: z.string(),
      database: z.string(),
      contentStore: z.string(),
      secretManager: z.string().nullable(),
      oidc: z.boolean(),
      keepChangesDays: count,
      keepRunsDays: count,
    }),
  ),
  'overview.get': endpoint(
    'GET',
    '/v1/overview',
    'read',
    'The workspace at a glance: what it has, what each day brought, and what needs somebody',
    z.object({ days: limit(90, 30) }),
    z
      .object({
        collections: count,
        documents: count,
        bytes: count,
        sources: z.object({ total: count, autoSync: count, failing: count, paused: count, neverSynced: count }),
        running: count,
        waiting: count,
        failedDocuments: count,
        days: z.array(
          z.object({
            day: z.iso.date(),
            runs: count,
            failedRuns: count,
            added: count,
            changed: count,
            removed: count,
            bytes: count,
            documents: count,
          }),
        ),
        attention: z.array(
          z.object({
            kind: z.enum(['failing', 'paused', 'needs_approval', 'failed_documents']),
            sourceId: z.uuid(),
            runId: z.uuid().nullable(),
            collection: z.string(),
            path: z.string(),
            message: z.string(),
            since: time.nullable(),
          }),
        ),
      })
      .meta({ id: 'Overview' }),
  ),
  'schedules.explain': endpoint(
    'POST',
    '/v1/schedules/explain',
    'read',
    'A schedule in words, and the times when it is due next',
    z.strictObject({ schedule: ScheduleShape, times: limit(50, 5) }),
    z.object({ words: z.string(), next: listOf(time).shape.items }),
  ),
} as const;
