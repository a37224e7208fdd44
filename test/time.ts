import { vi } from 'vitest';

const later = globalThis.setTimeout;
/** How long a second lasts, in milliseconds. */
const SECOND_MS = 50;

/** Has the timers of this process run out twenty times as fast until the work ends. Servers on loopback answer within a second of these. */
export async function whileTimeFlies<T>(work: () => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  let hasEnded = false;
  try {
    const working = work().finally(() => {
      hasEnded = true;
    });
    working.catch(() => undefined);
    while (!hasEnded) {
      await new Promise((resolve) => later(resolve, SECOND_MS));
      await vi.advanceTimersByTimeAsync(1000);
    }
    return await working;
  } finally {
    vi.useRealTimers();
  }
}
