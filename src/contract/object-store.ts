import type { ByteRange, CheckReport, Source } from './connector.ts';
import { ConnectorError, describeError } from './errors.ts';

/**
 * What a check of an object store is: one page of the listing, and one byte of the first object in it that can be read.
 * It needs the rights that a sync needs and no others.
 */
export async function checkByUse(source: Source, signal: AbortSignal): Promise<CheckReport> {
  let reachable = false;
  try {
    const page = await source.listPage(null, signal);
    reachable = true;
    const sample = page.entries.find((entry) => !entry.unreadable && entry.size > 0);
    if (!sample) return { reachable, readable: true, warnings: ['There is no object to try reading under this path.'] };
    const { body } = await source.read(sample, { start: 0, end: 1 }, signal);
    for await (const _ of body);
    return { reachable, readable: true, warnings: [] };
  } catch (error) {
    signal.throwIfAborted();
    const answered = error instanceof ConnectorError && error.status !== undefined;
    return { reachable: reachable || answered, readable: false, problem: describeError(error), warnings: [] };
  }
}

/** What a path's folder is called in an object store: empty, or with a slash at its end, so that `reports` is not `reports-old`. */
export function folderPrefix(path: string): string {
  return path === '' || path.endsWith('/') ? path : `${path}/`;
}

/** Destroys the body and throws `invalid_request` when an answer does not begin where the range was asked to. */
export function assertRange(range: ByteRange | undefined, contentRange: string | undefined, body: Body): void {
  if (!range || range.start === 0 || contentRange?.startsWith(`bytes ${range.start}-`)) return;
  body.destroy();
  throw new ConnectorError('invalid_request', 'The source does not answer with the range that was asked for.', {
    operation: 'read',
    retryable: false,
  });
}

/** A body that can be given up. */
export interface Body extends AsyncIterable<Uint8Array> {
  destroy(): unknown;
}

/** A stream as a body whose errors are the connector's own; a reader that leaves early frees the connection. */
export async function* bodyOf(stream: Body, toError: (error: unknown) => unknown): AsyncIterable<Uint8Array> {
  try {
    yield* stream;
  } catch (error) {
    throw toError(error);
  } finally {
    stream.destroy();
  }
}
