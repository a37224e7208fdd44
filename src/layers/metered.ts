import type { Source } from '../contract/connector.ts';
import { ConnectorError, type ConnectorErrorCode } from '../contract/errors.ts';
import { traced } from './traced.ts';

/** Hears of every request to a source, each attempt of its own. */
export interface Meter {
  /** How it ended and how long it took until its answer began, in milliseconds. */
  request(operation: 'list' | 'read', outcome: 'ok' | 'other' | ConnectorErrorCode, ms: number): void;
}

/** Counts of one run. */
export class RequestCounts implements Meter {
  requests = 0;
  throttled = 0;
  failed = 0;

  request(_operation: 'list' | 'read', outcome: string): void {
    this.requests++;
    if (outcome === 'throttled') this.throttled++;
    else if (outcome !== 'ok') this.failed++;
  }
}

const SPANS = {
  list: { name: 'source list', kind: 'client', attributes: {} },
  read: { name: 'source read', kind: 'client', attributes: {} },
} as const;

/** Tells the meter of every call. Stands inside the retry layer, so that each attempt is told. */
export function withMeter(source: Source, meter: Meter, now: () => number): Source {
  const told = <T>(operation: 'list' | 'read', call: () => Promise<T>): Promise<T> => {
    const start = now();
    return traced(SPANS[operation], call).then(
      (answer) => {
        meter.request(operation, 'ok', now() - start);
        return answer;
      },
      (error) => {
        meter.request(operation, error instanceof ConnectorError ? error.code : 'other', now() - start);
        throw error;
      },
    );
  };
  return {
    check: (signal) => source.check(signal),
    listPage: (position, signal) => told('list', () => source.listPage(position, signal)),
    read: (entry, range, signal) => told('read', () => source.read(entry, range, signal)),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
