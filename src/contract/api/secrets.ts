import { z } from 'zod';
import { SECRET_TYPES } from '../secret-manager.ts';
import { endpoint } from './endpoint.ts';
import { flag, id, manager, removed } from './inputs.ts';
import { ConnectorTypeShape, listOf, ScopeShape, SecretShape } from './shapes.ts';

/** Credentials and what they are for. */
export const SECRET_API = {
  'connectors.list': endpoint(
    'GET',
    '/v1/connectors',
    'read',
    'The connector types, each with the JSON Schema of its credential',
    z.object({}),
    listOf(z.object({ type: ConnectorTypeShape, credential: z.record(z.string(), z.unknown()) })),
  ),
  'secrets.list': endpoint(
    'GET',
    '/v1/secrets',
    'read',
    'Credential IDs, never values',
    z.object({ type: z.enum(SECRET_TYPES).optional(), manager }),
    listOf(SecretShape),
  ),
  'secrets.put': endpoint(
    'POST',
    '/v1/secrets',
    'secrets',
    'Add a credential or a new version of it; no answer ever has a value',
    z.strictObject({
      id: z.string().min(1).max(128),
      type: ConnectorTypeShape,
      credential: z.record(z.string(), z.unknown()).meta({ writeOnly: true }),
      manager,
      scope: ScopeShape.optional(),
      expiresAt: z.iso.datetime({ offset: true }).optional(),
    }),
    SecretShape,
  ),
  'secrets.describe': endpoint(
    'GET',
    '/v1/secrets/{id}',
    'read',
    'A credential: versions, age, end, and the sources that use it',
    id.extend({ manager }),
    SecretShape.extend({ sources: z.array(z.object({ id: z.uuid(), collection: z.string(), path: z.string() })) }),
  ),
  'secrets.remove': endpoint(
    'DELETE',
    '/v1/secrets/{id}',
    'secrets',
    'Remove a credential with all its versions',
    id.extend({ manager, force: flag.default(false) }),
    removed,
  ),
  'managers.list': endpoint(
    'GET',
    '/v1/secret-managers',
    'read',
    'The secret managers that the workspace can use',
    z.object({}),
    listOf(
      z.object({
        name: z.string(),
        backend: z.string(),
        of: z.enum(['deployment', 'workspace']),
        default: z.boolean(),
        paths: z.array(z.string()),
      }),
    ),
  ),
} as const;
