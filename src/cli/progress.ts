import prettyMilliseconds from 'pretty-ms';
import type { Answer } from '../contract/api/index.ts';
import { bytes } from './present.ts';

type RunRecord = Omit<Answer<'runs.get'>, 'failures'>;

const BAR = 16;
/** How often a line is printed where there is no terminal, in milliseconds. */
const LINE_EVERY_MS = 5000;

/** Shows how runs get on: a bar that is redrawn on a terminal, a line now and then elsewhere. Writes to standard error. */
export function showProgress(silent: boolean): { update(runs: readonly RunRecord[]): void; end(): void } {
  const out = process.stderr;
  const startedAt = Date.now();
  let lastLine = startedAt;
  if (silent) return { update: () => undefined, end: () => undefined };
  return {
    update: (runs) => {
      if (out.isTTY) out.write(`\r\x1b[2K${barOf(runs, Date.now() - startedAt).slice(0, (out.columns || 80) - 1)}`);
      else if (Date.now() - lastLine >= LINE_EVERY_MS) {
        lastLine = Date.now();
        out.write(`${textOf(runs, lastLine - startedAt)}\n`);
      }
    },
    end: () => {
      if (out.isTTY) out.write('\r\x1b[2K');
    },
  };
}

function totals(runs: readonly RunRecord[]) {
  const sum = (of: (run: RunRecord) => number) => runs.reduce((total, run) => total + of(run), 0);
  return {
    listed: sum((run) => run.listed),
    done: sum((run) => run.added + run.changed + run.failed),
    planned: sum((run) => run.planned),
    bytes: sum((run) => run.bytes),
    plannedBytes: sum((run) => run.plannedBytes),
    failed: sum((run) => run.failed),
    listing: runs.some((run) => !run.listingComplete),
  };
}

function barOf(runs: readonly RunRecord[], elapsedMs: number): string {
  const { done, planned } = totals(runs);
  const filled = planned === 0 ? 0 : Math.min(BAR, Math.floor((done / planned) * BAR));
  return `${'█'.repeat(filled)}${'░'.repeat(BAR - filled)} ${textOf(runs, elapsedMs)}`;
}

function textOf(runs: readonly RunRecord[], elapsedMs: number): string {
  const now = totals(runs);
  const perSecond = now.bytes / Math.max(elapsedMs / 1000, 0.001);
  const left = perSecond > 0 && !now.listing ? ((now.plannedBytes - now.bytes) / perSecond) * 1000 : null;
  const parts = [`${now.done}/${now.planned} documents`, bytes(now.bytes), `${bytes(Math.round(perSecond))}/s`];
  if (left !== null && left > 0) parts.push(`${prettyMilliseconds(left, { secondsDecimalDigits: 0 })} left`);
  if (now.failed > 0) parts.push(`${now.failed} failed`);
  if (now.listing || now.planned === 0) parts.push(`${now.listed} listed${now.listing ? ' so far' : ''}`);
  return parts.join(' · ');
}
