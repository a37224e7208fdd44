import type { CheckReport, Source } from './connector.ts';
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
