import type { Clock } from './connector.ts';

/** Does the same again and again, so many milliseconds after the time before, until the signal aborts. What fails is tried the next time. */
export async function every(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  work: () => Promise<unknown>,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(ms, signal).catch(() => undefined);
    if (!signal.aborted) await work().catch(() => undefined);
  }
}
