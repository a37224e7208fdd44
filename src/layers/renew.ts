import type { Source } from '../contract/connector.ts';
import { ConnectorError } from '../contract/errors.ts';

/** Opens the source anew with the latest version of its credential; null when that would be the same as before. */
export type Reopen = () => Promise<Source | null>;

/**
 * Survives a rotation in mid-run, and the loss of what was made of the credential: when the source rejects it, the latest version is accessed once
 * more, and the call is repeated with a source that was opened with it. Calls that fail together share one access.
 */
export function withRenewal(first: Source, reopen: Reopen): Source {
  let current = first;
  let opened: Source[] = [first];
  let renewal: Promise<boolean> | null = null;

  const renew = (failed: Source): Promise<boolean> => {
    if (failed !== current) return Promise.resolve(true);
    renewal ??= reopen()
      .then((next) => {
        if (!next) return false;
        opened.push(next);
        current = next;
        return true;
      })
      .finally(() => {
        renewal = null;
      });
    return renewal;
  };
  const call = <T>(work: (source: Source) => Promise<T>): Promise<T> => {
    const used = current;
    return work(used).catch(async (error) => {
      if (!(error instanceof ConnectorError) || error.code !== 'credential_rejected') throw error;
      if (!(await renew(used))) throw error;
      return work(current);
    });
  };
  return {
    check: (signal) => call((source) => source.check(signal)),
    listPage: (position, signal) => call((source) => source.listPage(position, signal)),
    read: (entry, range, signal) => call((source) => source.read(entry, range, signal)),
    [Symbol.asyncDispose]: async () => {
      const all = opened;
      opened = [];
      for (const source of all) await source[Symbol.asyncDispose]();
    },
  };
}
