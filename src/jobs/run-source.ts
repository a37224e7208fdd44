import { noteCredentialVersion, noteRequests } from '../collections/runs.ts';
import { noteQuota, type SourceRecord } from '../collections/sources.ts';
import type { Database } from '../contract/database.ts';
import { ConnectorError } from '../contract/errors.ts';
import { RequestCounts } from '../layers/metered.ts';
import { setUpEngine } from './engine.ts';
import { type OpenedSource, openSource, requestFor, type SourceParts } from './open-source.ts';

export interface RunSourceParts {
  readonly db: Database;
  /** What opens a source of a workspace. */
  readonly sourceParts: (workspace: string) => SourceParts;
  /** Names this process in the run's record. */
  readonly worker: string;
}

/** Has the source opened for a run, and writes down what it took. */
export async function withSource<T>(
  { db, sourceParts, worker }: RunSourceParts,
  record: SourceRecord,
  runId: string,
  work: (opened: OpenedSource) => Promise<T>,
): Promise<T> {
  const meter = new RequestCounts();
  const purpose = { actor: `worker ${worker}`, reason: 'sync', runId, sourceId: record.id };
  const opened = await openSource(requestFor(record, purpose), { ...sourceParts(record.workspace), meter });
  await using _closing = opened.source;
  // The connector is loaded.
  setUpEngine();
  const first = opened.credentialVersion();
  await noteCredentialVersion(db, runId, first);
  if (record.quota !== opened.quota) await noteQuota(db, record.id, opened.quota);
  try {
    return await work(opened);
  } catch (error) {
    throw withVersion(error, record.credentialId, opened.credentialVersion());
  } finally {
    const used = opened.credentialVersion();
    if (used !== first) await noteCredentialVersion(db, runId, used).catch(() => undefined);
    // How the run ended matters more than that these were lost.
    await noteRequests(db, runId, meter).catch(() => undefined);
  }
}

/** A source that does not take the credential: which version that was. */
function withVersion(error: unknown, id: string, version: string): unknown {
  if (!(error instanceof ConnectorError) || !REJECTIONS.includes(error.code)) return error;
  const { code, message, operation, status, requestId, hint } = error;
  return new ConnectorError(code, `${message} The credential was "${id}", version ${version}.`, {
    operation,
    retryable: false,
    ...(status ? { status } : {}),
    ...(requestId ? { requestId } : {}),
    ...(hint ? { hint } : {}),
  });
}

const REJECTIONS: readonly string[] = ['credential_rejected', 'permission_denied'];
