import { parseArgs } from 'node:util';
import { torment } from './torment.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    seconds: { type: 'string', default: '180' },
    workers: { type: 'string', default: '4' },
    collections: { type: 'string', default: '8' },
    sources: { type: 'string', default: '40' },
    objects: { type: 'string', default: '100000' },
    faults: { type: 'string', default: '0.05' },
  },
});
const numbers = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)])) as Record<
  keyof typeof values,
  number
>;
const figures = await torment({ ...numbers, say: (text) => process.stdout.write(`${text}\n`) });
process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`);
process.exitCode = figures.wrong.length === 0 ? 0 : 1;
