import { parseArgs } from 'node:util';
import { tormentSchedules } from './schedules.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    seconds: { type: 'string', default: '60' },
    schedules: { type: 'string', default: '200' },
  },
});
const { seed, seconds, schedules } = values;
const figures = await tormentSchedules({ seed: Number(seed), seconds: Number(seconds), schedules: Number(schedules) });
process.stdout.write(`${JSON.stringify({ seed: Number(seed), ...figures }, null, 2)}\n`);
process.exitCode = figures.twice + figures.never === 0 ? 0 : 1;
