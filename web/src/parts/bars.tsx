import { Group } from '@mantine/core';

interface Bar {
  readonly label: string;
  readonly value: number;
  /** In words, for the pointer and for those who do not see it. */
  readonly words: string;
  readonly failed?: boolean;
}

const WIDTH = 600;
const HEIGHT = 120;

/** Figures side by side. What it shows can be read as a table as well. */
export function Bars({ title, bars, mostWords }: { title: string; bars: readonly Bar[]; mostWords: string }) {
  const most = Math.max(1, ...bars.map(({ value }) => value));
  const step = WIDTH / Math.max(1, bars.length);
  return (
    <>
      <svg
        className="bars"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        width="100%"
        height={HEIGHT}
        preserveAspectRatio="none"
        role="img"
        aria-label={title}
      >
        <title>{title}</title>
        {bars.map(({ label, value, words, failed }, at) => {
          const height = value === 0 ? 1 : Math.max(2, (value / most) * HEIGHT);
          const box = { x: at * step + step * 0.1, y: HEIGHT - height, width: step * 0.8, height };
          return (
            <rect key={label} {...box} {...(failed ? { className: 'failed' } : {})}>
              <title>{words}</title>
            </rect>
          );
        })}
      </svg>
      <Group justify="space-between" fz="xs" c="dimmed">
        <span>{bars[0]?.label}</span>
        <span>at most {mostWords}</span>
        <span>{bars.at(-1)?.label}</span>
      </Group>
    </>
  );
}
