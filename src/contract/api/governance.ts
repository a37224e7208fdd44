import { z } from 'zod';
import { endpoint } from './endpoint.ts';
import { id, limit, removed } from './inputs.ts';
import { AuditLineShape, BlastShape, listOf, ROLES, TokenShape } from './shapes.ts';

/** Who may do what, and who did. */
export const GOVERNANCE_API = {
  'audit.list': endpoint(
    'GET',
    '/v1/audit',
    'audit',
    'The latest events of the audit log, the newest last',
    z.object({ limit: limit(1000, 100), secret: z.string().max(128).optional() }),
    listOf(AuditLineShape),
  ),
  'audit.verify': endpoint(
    'GET',
    '/v1/audit/verify',
    'audit',
    'Whether the audit log is whole',
    z.object({ head: z.string().max(500).optional(), behind: z.string().max(500).optional() }),
    z.object({
      ok: z.boolean(),
      lines: z.number().int(),
      torn: z.number().int(),
      head: z.string(),
      problems: z.array(z.object({ line: z.number().int().nullable(), kind: z.string(), message: z.string() })),
    }),
  ),
  'audit.blast': endpoint(
    'GET',
    '/v1/audit/blast',
    'audit',
    'Who accessed which versions of a credential, for which runs, and what those brought',
    z.object({ secret: z.string().min(1).max(512), since: z.string().max(50).optional(), limit: limit(1000, 100) }),
    BlastShape,
  ),
  'members.list': endpoint(
    'GET',
    '/v1/members',
    'admin',
    'The rules by which what the identity provider says of people becomes a role',
    z.object({}),
    z.object({
      oidc: z.boolean(),
      items: z.array(z.object({ claim: z.string(), value: z.string(), role: z.enum(ROLES), workspace: z.string() })),
    }),
  ),
  'tokens.list': endpoint(
    'GET',
    '/v1/tokens',
    'admin',
    'API tokens, never themselves',
    z.object({}),
    listOf(TokenShape),
  ),
  'tokens.create': endpoint(
    'POST',
    '/v1/tokens',
    'admin',
    'Make an API token; it is given out here once',
    z.strictObject({
      name: z.string().min(1).max(100),
      role: z.enum(ROLES),
      expiresInDays: z.number().min(0.001).max(3650).default(90),
    }),
    TokenShape.extend({ token: z.string() }),
  ),
  'tokens.revoke': endpoint('DELETE', '/v1/tokens/{id}', 'admin', 'Make a token worthless', id, removed),
  'workspaces.list': endpoint(
    'GET',
    '/v1/workspaces',
    'read',
    'The workspaces that the caller may use',
    z.object({}),
    listOf(z.object({ id: z.string(), createdAt: z.string().nullable() })),
  ),
  'workspaces.create': endpoint(
    'POST',
    '/v1/workspaces',
    'admin',
    'Make a workspace; needs a token of the whole deployment',
    z.strictObject({ id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/) }),
    z.object({ id: z.string(), createdAt: z.string().nullable() }),
  ),
} as const;
