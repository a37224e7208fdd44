import type { z } from 'zod';
import { readAuditLines } from '../audit/full-files.ts';
import { exposedDocuments, exposedRuns } from '../collections/exposure.ts';
import { AuditLineShape } from '../contract/api/shapes.ts';
import { InputError } from '../contract/errors.ts';
import type { Caller, ServiceParts } from './parts.ts';

type Line = z.output<typeof AuditLineShape>;

interface Use {
  accesses: number;
  first: string;
  last: string;
  readonly actors: Set<string>;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Who accessed which versions of a secret, for which runs, and what those runs brought: what to know when a key has leaked. */
export async function blast(
  { db, audit }: ServiceParts,
  { workspace }: Caller,
  { secret, since, limit }: { secret: string; since?: string | undefined; limit: number },
) {
  const from = since === undefined ? 0 : Date.parse(since);
  if (Number.isNaN(from))
    throw new InputError('invalid_input', '--since is no time.', 'Such as 2026-11-20 or 2026-11-20T14:00Z.');
  const versions = new Map<string, Use>();
  const runs = new Set<string>();
  const others: Line[] = [];
  let refused = 0;
  for await (const text of readAuditLines(audit.file)) {
    const line = lineIn(text, secret);
    if (!line || line.secret.workspace !== workspace || Date.parse(line.at) < from) continue;
    if (line.outcome === 'refused') refused++;
    if (line.outcome !== 'ok') continue;
    note(versions, line);
    if (line.runId && UUID.test(line.runId)) runs.add(line.runId);
    else others.push(line);
    if (others.length > limit) others.shift();
  }
  const ids = [...runs];
  const found = await exposedRuns(db, workspace, ids);
  return {
    secret,
    since: since === undefined ? null : new Date(from).toISOString(),
    accesses: [...versions.values()].reduce((sum, { accesses }) => sum + accesses, 0),
    refused,
    versions: [...versions].map(([version, { actors, ...use }]) => ({ version, ...use, actors: [...actors].sort() })),
    runs: found.slice(0, limit),
    forgottenRuns: ids.length - found.length,
    sources: [...new Map(found.map(({ sourceId: id, path, collection }) => [id, { id, path, collection }])).values()],
    collections: [...new Set(found.map(({ collection }) => collection))].sort(),
    documents: await exposedDocuments(db, workspace, ids, limit),
    otherAccesses: others.map(({ at, actor, reason, secret: { version } }) => ({
      at,
      actor,
      reason: reason ?? null,
      version: version ?? null,
    })),
  };
}

function note(versions: Map<string, Use>, { secret: { version = 'latest' }, at, actor }: Line): void {
  const known = versions.get(version) ?? { accesses: 0, first: at, last: at, actors: new Set<string>() };
  known.accesses++;
  known.last = at;
  known.actors.add(actor);
  versions.set(version, known);
}

function lineIn(text: string, secret: string): Line | null {
  // Most lines are of other secrets: they need not be parsed.
  if (!text.includes('"secret.access"') || !text.includes(JSON.stringify(secret))) return null;
  try {
    const line = AuditLineShape.parse(JSON.parse(text));
    return line.action === 'secret.access' && line.secret.secretId === secret ? line : null;
  } catch {
    return null;
  }
}
