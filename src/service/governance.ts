import type { z } from 'zod';
import { createToken, listTokens, revokeToken } from '../access/tokens.ts';
import { givenHead } from '../audit/chain.ts';
import { verifyAuditLog } from '../audit/file-log.ts';
import { readAuditLines } from '../audit/full-files.ts';
import { createWorkspace, listWorkspaces } from '../collections/workspaces.ts';
import { AuditLineShape } from '../contract/api/shapes.ts';
import { LockgateError } from '../contract/errors.ts';
import { blast } from './blast.ts';
import type { Caller, ServiceParts, Some } from './parts.ts';

const DAY_MS = 24 * 3_600_000;

export function governanceOperations(
  parts: ServiceParts,
): Some<
  | 'audit.list'
  | 'audit.verify'
  | 'audit.blast'
  | 'members.list'
  | 'tokens.list'
  | 'tokens.create'
  | 'tokens.revoke'
  | 'workspaces.list'
  | 'workspaces.create'
> {
  const { db, audit } = parts;
  return {
    'audit.list': async ({ workspace }, { limit, secret }) => {
      const items: z.output<typeof AuditLineShape>[] = [];
      for await (const text of readAuditLines(audit.file)) {
        const line = parsed(text);
        if (line?.secret.workspace !== workspace || (secret && line.secret.secretId !== secret)) continue;
        items.push(line);
        if (items.length > limit) items.shift();
      }
      return { items };
    },
    'audit.verify': async (_caller, { head: given, behind }) => {
      const noted = given === undefined ? [] : [givenHead(given)];
      const start = behind === undefined ? undefined : givenHead(behind);
      const { lines, head, torn, problems } = await verifyAuditLog(audit, noted, start);
      return { ok: problems.length === 0, lines, torn, head: `${head.seq}:${head.mac}`, problems: [...problems] };
    },
    'audit.blast': (caller, given) => blast(parts, caller, given),
    'members.list': async ({ workspace, everywhere }) => ({
      oidc: parts.about.oidc,
      items: parts.oidcRules.filter((rule) => everywhere || rule.workspace === '*' || rule.workspace === workspace),
    }),
    'tokens.list': async ({ workspace, everywhere }) => ({ items: await listTokens(db, workspace, everywhere) }),
    'tokens.create': ({ workspace, actor }, { name, role, expiresInDays }) => {
      const expiresAt = new Date(Date.now() + expiresInDays * DAY_MS);
      return createToken(db, { name, role, workspace, createdBy: actor, expiresAt });
    },
    'tokens.revoke': async ({ workspace, everywhere }, { id }) => {
      await revokeToken(db, workspace, everywhere, id);
      return { removed: id };
    },
    'workspaces.list': async ({ workspaces }) => ({ items: await listWorkspaces(db, workspaces) }),
    'workspaces.create': async (caller, { id }) => {
      assertEverywhere(caller);
      return createWorkspace(db, id);
    },
  };
}

function assertEverywhere({ everywhere }: Caller): void {
  if (everywhere) return;
  throw new LockgateError('forbidden', 'This needs a token of the whole deployment.', 'Such as the bootstrap token.');
}

function parsed(text: string): z.output<typeof AuditLineShape> | null {
  try {
    return AuditLineShape.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
