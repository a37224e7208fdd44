import type { Run } from '../answers.ts';
import { dateTime } from '../parts/amounts.tsx';
import { took } from './words.ts';

const WIDTH = 800;
const LABELS = 220;
const ROW = 20;
const MOST_ROWS = 12;
const COLOURS: Readonly<Record<Run['state'], string>> = {
  completed: 'var(--mantine-color-teal-6)',
  running: 'var(--mantine-color-blue-6)',
  queued: 'var(--mantine-color-gray-5)',
  needs_approval: 'var(--mantine-color-orange-6)',
  failed: 'var(--mantine-color-red-6)',
  cancelled: 'var(--mantine-color-gray-6)',
  superseded: 'var(--mantine-color-gray-6)',
};

/** Runs over time, one line for each source. The same stands in the table below it. */
export function Timeline({ runs }: { runs: readonly Run[] }) {
  const begun = runs.filter(({ startedAt }) => startedAt !== null);
  const from = Math.min(...begun.map(({ startedAt }) => Date.parse(startedAt ?? '')));
  const span = Math.max(60_000, Date.now() - from);
  const rows = [...Map.groupBy(begun, ({ collection, path }) => `${collection}: ${path}`)].slice(0, MOST_ROWS);
  const at = (time: string | null) =>
    LABELS + (((time ? Date.parse(time) : Date.now()) - from) / span) * (WIDTH - LABELS - 4);
  if (begun.length === 0) return null;
  return (
    <svg
      className="bars"
      viewBox={`0 0 ${WIDTH} ${rows.length * ROW + 18}`}
      width="100%"
      role="img"
      aria-label="Runs over time"
    >
      <title>Runs over time</title>
      {rows.map(([source, some], row) => (
        <g key={source}>
          <text x={0} y={row * ROW + 14}>
            {source.length > 36 ? `…${source.slice(-35)}` : source}
          </text>
          {some.map((run) => {
            const x = at(run.startedAt);
            return (
              <rect
                key={run.id}
                x={x}
                y={row * ROW + 4}
                width={Math.max(3, at(run.finishedAt) - x)}
                height={ROW - 8}
                rx={2}
                style={{ fill: COLOURS[run.state] }}
              >
                <title>{`${run.state}, ${dateTime(run.startedAt ?? run.createdAt)}, ${took(run)}`}</title>
              </rect>
            );
          })}
        </g>
      ))}
      <text x={LABELS} y={rows.length * ROW + 14}>
        {dateTime(new Date(from).toISOString())}
      </text>
      <text x={WIDTH - 2} y={rows.length * ROW + 14} textAnchor="end">
        now
      </text>
    </svg>
  );
}
