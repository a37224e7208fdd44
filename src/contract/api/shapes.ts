import { z } from 'zod';
import { CONNECTOR_TYPES } from '../connector.ts';
import { SECRET_TYPES } from '../secret-manager.ts';

const time = z.iso.datetime({ offset: true });
const count = z.int().min(0);

export const ConnectorTypeShape = z.enum(CONNECTOR_TYPES);

export const ErrorShape = z.object({
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }),
});

export const ScopeShape = z.object({
  collections: z.array(z.string()).optional(),
  paths: z.array(z.string()).optional(),
});

export const SecretShape = z
  .object({
    id: z.string(),
    connectorType: z.enum(SECRET_TYPES),
    versions: z.array(z.object({ version: z.string(), createdAt: z.string().nullable() })).nullable(),
    expiresAt: z.string().nullable(),
    scope: ScopeShape.nullable(),
  })
  .meta({ id: 'Secret', description: 'What is known of a secret without reading its value.' });

export const CollectionShape = z
  .object({
    id: z.uuid(),
    name: z.string(),
    sources: count,
    documents: count,
    bytes: count,
    maxDocuments: count.nullable(),
    maxBytes: count.nullable(),
    lastChange: count,
    createdAt: time,
  })
  .meta({ id: 'Collection' });

export const ScheduleShape = z.union([
  z.strictObject({ cron: z.string().max(200), timezone: z.string().max(100).default('UTC') }),
  z.strictObject({ everySeconds: z.int().min(1) }),
  z.strictObject({ every: z.string().max(40).meta({ description: 'Such as 15m, 6h or 1d.' }) }),
]);

export const SourceShape = z
  .object({
    id: z.uuid(),
    workspace: z.string(),
    collectionId: z.uuid(),
    collection: z.string(),
    connectorType: ConnectorTypeShape,
    credentialManager: z.string(),
    credentialId: z.string(),
    credentialVersion: z.string().nullable(),
    credentialFields: z.record(z.string(), z.string()).nullable(),
    path: z.string(),
    settings: z.record(z.string(), z.unknown()),
    include: z.array(z.string()),
    exclude: z.array(z.string()),
    maxBytes: count.nullable(),
    autoSync: z.boolean(),
    schedule: z
      .union([z.object({ cron: z.string(), timezone: z.string() }), z.object({ everySeconds: z.number() })])
      .nullable(),
    guardDocuments: count,
    guardShare: z.number().min(0).max(1),
    jitterSeconds: count,
    pauseAfter: count.nullable(),
    workerLabel: z.string().nullable(),
    quota: z.string().nullable(),
    failures: count,
    pausedAt: time.nullable(),
    pausedReason: z.string().nullable(),
    documents: count,
    bytes: count,
    nextDueAt: time.nullable(),
    lastCompletedAt: time.nullable(),
    createdAt: time,
  })
  .meta({ id: 'Source' });

export const RUN_STATES = [
  'queued',
  'running',
  'needs_approval',
  'completed',
  'failed',
  'cancelled',
  'superseded',
] as const;

export const RunShape = z
  .object({
    id: z.uuid(),
    sourceId: z.uuid(),
    collection: z.string(),
    path: z.string(),
    trigger: z.enum(['manual', 'schedule']),
    state: z.enum(RUN_STATES),
    attempt: count,
    waitsFor: z.enum(['credential', 'quota', 'workspace', 'worker', 'secrets', 'source', 'content']).nullable(),
    retryAt: time.nullable(),
    pages: count,
    listed: count,
    excluded: count,
    unchanged: count,
    added: count,
    changed: count,
    moved: count,
    removed: count,
    failed: count,
    bytes: count,
    planned: count,
    plannedBytes: count,
    missing: count,
    requests: count,
    requestsThrottled: count,
    requestsFailed: count,
    secretWaits: count,
    listingComplete: z.boolean(),
    credentialVersion: z.string().nullable(),
    error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).nullable(),
    createdAt: time,
    startedAt: time.nullable(),
    finishedAt: time.nullable(),
  })
  .meta({ id: 'Run' });

export const FailureShape = z
  .object({
    sourceId: z.uuid(),
    key: z.string(),
    path: z.string(),
    version: z.string(),
    size: count,
    code: z.string(),
    message: z.string(),
    attempts: count,
    firstAt: time,
    lastAt: time,
    nextAt: time.nullable(),
    givenUpAt: time.nullable(),
  })
  .meta({
    id: 'Failure',
    description:
      'A document that could not be fetched. Scheduled runs try again after nextAt; one that was given up waits for another version, or for somebody to have it tried again.',
  });

export const LabelShape = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,40}$/)
  .meta({ description: 'A label of workers: lower-case letters, digits and hyphens.' });

export const WorkerShape = z
  .object({
    id: z.string(),
    labels: z.array(z.string()),
    onlyLabels: z.boolean(),
    concurrency: count,
    version: z.string(),
    startedAt: time,
    heartbeatAt: time,
    alive: z.boolean(),
    leads: count,
    helps: count,
  })
  .meta({ id: 'Worker' });

export const DocumentShape = z
  .object({
    id: z.uuid(),
    sourceId: z.uuid(),
    key: z.string(),
    path: z.string(),
    version: z.string(),
    size: count,
    modifiedAt: time,
    contentType: z.string().nullable(),
    sha256: z.string(),
    storedAt: time,
    warning: z.string().nullable(),
    grants: z.array(z.record(z.string(), z.unknown())).nullable(),
  })
  .meta({ id: 'Document' });

export const ChangeShape = z
  .object({
    number: z.int().min(1),
    kind: z.enum(['added', 'changed', 'moved', 'removed']),
    documentId: z.uuid(),
    sourceId: z.uuid(),
    key: z.string(),
    path: z.string(),
    version: z.string(),
    size: count,
    sha256: z.string(),
    at: time,
  })
  .meta({ id: 'Change', description: 'One entry of the change feed. Its number is the cursor to go on from.' });

export const CheckShape = z
  .object({
    reachable: z.boolean(),
    readable: z.boolean(),
    problem: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).optional(),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'CheckReport' });

export const AuditLineShape = z
  .object({
    seq: z.int(),
    at: z.string(),
    actor: z.string(),
    action: z.string(),
    outcome: z.string(),
    secret: z.object({
      manager: z.string(),
      workspace: z.string(),
      secretId: z.string(),
      version: z.string().optional(),
      foreign: z.literal(true).optional(),
    }),
    reason: z.string().optional(),
    runId: z.string().optional(),
    sourceId: z.string().optional(),
  })
  .meta({ id: 'AuditLine' });

export const BlastShape = z
  .object({
    secret: z.string(),
    since: time.nullable(),
    accesses: z.int(),
    refused: z.int(),
    versions: z.array(
      z.object({
        version: z.string(),
        accesses: z.int(),
        first: z.string(),
        last: z.string(),
        actors: z.array(z.string()),
      }),
    ),
    runs: z.array(
      z.object({
        id: z.string(),
        sourceId: z.string(),
        collection: z.string(),
        path: z.string(),
        state: z.string(),
        credentialVersion: z.string().nullable(),
        startedAt: time.nullable(),
        documents: z.int(),
        bytes: z.int(),
      }),
    ),
    /** Runs that the log names and nobody remembers. */
    forgottenRuns: z.int(),
    sources: z.array(z.object({ id: z.string(), path: z.string(), collection: z.string() })),
    collections: z.array(z.string()),
    documents: z.object({
      total: z.int(),
      items: z.array(
        z.object({
          documentId: z.string(),
          collection: z.string(),
          path: z.string(),
          kind: z.string(),
          runId: z.string(),
          at: time,
        }),
      ),
    }),
    /** Outside of runs: checks and previews. */
    otherAccesses: z.array(
      z.object({ at: z.string(), actor: z.string(), reason: z.string().nullable(), version: z.string().nullable() }),
    ),
  })
  .meta({ id: 'BlastRadius' });

export const ROLES = ['viewer', 'editor', 'secret-admin', 'auditor', 'admin'] as const;

export const TokenShape = z
  .object({
    id: z.string(),
    name: z.string(),
    workspace: z.string().nullable(),
    role: z.enum(ROLES),
    createdAt: time,
    createdBy: z.string(),
    expiresAt: time.nullable(),
    revokedAt: time.nullable(),
    lastUsedAt: time.nullable(),
  })
  .meta({ id: 'Token' });

export const WebhookShape = z
  .object({
    id: z.uuid(),
    collectionId: z.uuid(),
    url: z.string(),
    secretId: z.string(),
    enabled: z.boolean(),
    after: count,
    attempts: count,
    error: z.string().nullable(),
    nextAt: time.nullable(),
    createdAt: time,
  })
  .meta({ id: 'Webhook' });

export const PlanItemShape = z.object({
  action: z.enum(['add', 'change', 'move', 'remove', 'skip']),
  path: z.string(),
  key: z.string(),
  version: z.string().nullable(),
  size: count.nullable(),
  reason: z.string(),
});
export const PlanShape = z
  .object({
    id: z.uuid(),
    sourceId: z.uuid(),
    state: z.enum(['planning', 'ready', 'failed', 'executed']),
    add: count,
    change: count,
    move: count,
    remove: count,
    skip: count,
    unchanged: count,
    bytes: count,
    error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).nullable(),
    createdAt: time,
  })
  .meta({ id: 'Plan' });

export const ExplanationShape = z
  .object({
    path: z.string(),
    verdict: z.enum(['document', 'failed', 'excluded', 'never_seen', 'removed']),
    message: z.string(),
    hint: z.string().nullable(),
    document: DocumentShape.nullable(),
    failure: FailureShape.nullable(),
    lastSeenAt: time.nullable(),
    nextTryAt: time.nullable(),
  })
  .meta({ id: 'Explanation' });

export function listOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item) });
}

export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ total: count, items: z.array(item), nextCursor: z.string().nullable() });
}
