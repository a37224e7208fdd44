import cronstrue from 'cronstrue';
import { overview } from '../collections/overview.ts';
import type { Schedule } from '../collections/sources.ts';
import { nextDueTime } from '../jobs/due-time.ts';
import type { ServiceParts, Some } from './parts.ts';
import { scheduleOf } from './sources.ts';

/** What people see of the deployment before they look at anything in it. */
export function overviewOperations(
  parts: ServiceParts,
): Some<'me.get' | 'about.get' | 'overview.get' | 'schedules.explain'> {
  const { db, about } = parts;
  return {
    'me.get': async ({ actor, workspace, permissions, everywhere }) => ({
      actor,
      workspace,
      permissions: [...permissions],
      everywhere,
    }),
    'about.get': async () => {
      const [{ version = '' } = {}] = await db.query<{ version: string }>(
        `select current_setting('server_version') as version`,
      );
      return { ...about, database: `PostgreSQL ${version}`, node: process.version };
    },
    'overview.get': ({ workspace }, { days }) => overview(db, workspace, days),
    'schedules.explain': async (_caller, { schedule: given, times }) => {
      const { schedule } = scheduleOf(given);
      if (!schedule) return { words: 'Only when somebody asks for it', next: [] };
      const next: Date[] = [];
      for (let after = new Date(); next.length < times; ) {
        const due = nextDueTime(schedule, after);
        if (!due) break;
        next.push(due);
        after = due;
      }
      return { words: inWords(schedule), next };
    },
  };
}

function inWords(schedule: Schedule): string {
  if ('everySeconds' in schedule) return `Every ${intervalInWords(schedule.everySeconds)}`;
  return `${cronstrue.toString(schedule.cron, { use24HourTimeFormat: true })} (${schedule.timezone})`;
}

function intervalInWords(seconds: number): string {
  const [amount, unit] =
    seconds % 86_400 === 0
      ? [seconds / 86_400, 'day']
      : seconds % 3600 === 0
        ? [seconds / 3600, 'hour']
        : seconds % 60 === 0
          ? [seconds / 60, 'minute']
          : [seconds, 'second'];
  return amount === 1 ? String(unit) : `${amount} ${unit}s`;
}
