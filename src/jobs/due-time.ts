import { Cron } from 'croner';
import type { Schedule } from '../collections/sources.ts';
import { InputError } from '../contract/errors.ts';

export const MIN_INTERVAL_SECONDS = 10;
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** The first time after `after` at which the schedule is due, or null when it never is again. */
export function nextDueTime(schedule: Schedule, after: Date): Date | null {
  if ('everySeconds' in schedule) return new Date(after.getTime() + schedule.everySeconds * 1000);
  return compile(schedule.cron, schedule.timezone).nextRun(after);
}

/** Failures that are taken for a passing weakness of the source. */
const FAILURES_FORGIVEN = 2;
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 6 * 3_600_000;

/**
 * The next due time of a source that has failed so many times in a row: after a third failure it waits, twice as long with each,
 * up to six hours. `random` (0 to 1) puts it off by that part of the jitter.
 */
export function nextAttempt(
  schedule: Schedule,
  after: Date,
  { failures, jitterSeconds }: { readonly failures: number; readonly jitterSeconds: number },
  random: number,
): Date | null {
  const over = failures - FAILURES_FORGIVEN;
  const pause = over > 0 ? Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (over - 1)) : 0;
  const next = nextDueTime(schedule, after);
  const earliest = after.getTime() + pause;
  const due = next && next.getTime() < earliest ? nextDueTime(schedule, new Date(earliest - 1)) : next;
  return due && new Date(due.getTime() + Math.floor(random * jitterSeconds * 1000));
}

/** Throws `InputError` that says what is wrong with the expression or the time zone. */
export function parseCron(cron: string, timezone: string): Schedule {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
  } catch {
    throw new InputError(
      'invalid_timezone',
      `"${timezone}" is no time zone.`,
      'Use a name such as Europe/Paris or UTC.',
    );
  }
  try {
    if (compile(cron, timezone).nextRun() === null) throw new Error('never');
  } catch {
    throw new InputError(
      'invalid_cron',
      `"${cron}" is no cron expression that is ever due.`,
      "Use five or six fields, such as '*/15 * * * *' for every quarter of an hour.",
    );
  }
  return { cron, timezone };
}

/** Such as `90s`, `15m`, `6h`, `1d`. Throws `InputError`. */
export function parseInterval(text: string): Schedule {
  const found = /^(\d{1,6})([smhd])$/.exec(text);
  return intervalOf(found ? Number(found[1]) * (UNITS[found[2] as string] as number) : 0, text);
}

/** Throws `InputError` for one that is too short. */
export function intervalOf(seconds: number, text = `${seconds}s`): Schedule {
  if (seconds >= MIN_INTERVAL_SECONDS) return { everySeconds: seconds };
  throw new InputError(
    'invalid_interval',
    `"${text}" is no interval of ${MIN_INTERVAL_SECONDS} seconds or more.`,
    'Use a number and s, m, h or d, such as 15m.',
  );
}

function compile(cron: string, timezone: string): Cron {
  return new Cron(cron, { timezone, paused: true });
}
