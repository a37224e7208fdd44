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
  const seconds = found ? Number(found[1]) * (UNITS[found[2] as string] as number) : 0;
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
