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
  'managers.register': endpoint(
    'POST',
    '/v1/secret-managers',
    'admin',
    "Bring a workspace's own Vault along; what opens it is kept like a credential, and no answer ever has it",
    z.strictObject({
      name: z.string().min(1).max(40),
      url: z.url({ protocol: /^https?$/ }).max(2000),
      namespace: z.string().max(256).optional(),
      mount: z.string().max(256).optional(),
      kv: z.union([z.literal(1), z.literal(2)]).optional(),
      ca: z.string().max(65_536).optional().meta({ description: 'The certificate of its authority, in PEM.' }),
      auth: z.enum(['token', 'approle']).optional(),
      authPath: z.string().max(256).optional(),
      roleId: z.string().max(256).optional(),
      prefix: z.string().max(40).optional(),
      opener: z.string().min(1).max(4096).meta({ writeOnly: true, description: 'The token, or the secret ID.' }),
    }),
    z.object({ name: z.string(), backend: z.string() }),
  ),
  'managers.unregister': endpoint(
    'DELETE',
    '/v1/secret-managers/{name}',
    'admin',
    'Forget a registered secret manager and what opens it; the secrets in it stay where they are',
    z.object({ name: z.string().min(1).max(40) }),
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
