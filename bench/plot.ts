export interface Bar {
  readonly title: string;
  /** Against the other, which is 1. */
  readonly wall: number;
  readonly cpu: number;
}

const LEFT = 260;
const WIDTH = 420;
const ROW = 46;

/** Ratios as bars, with a line where the two are alike. */
export function plot(bars: readonly Bar[]): string {
  const most = Math.max(1.2, ...bars.flatMap(({ wall, cpu }) => [wall, cpu]));
  const x = (ratio: number) => LEFT + (ratio / most) * WIDTH;
  const height = bars.length * ROW + 60;
  const rows = bars.map(({ title, wall, cpu }, i) => {
    const y = 40 + i * ROW;
    const bar = (at: number, ratio: number, colour: string) =>
      `<rect x="${LEFT}" y="${at}" width="${(x(ratio) - LEFT).toFixed(1)}" height="14" fill="${colour}"/><text x="${(x(ratio) + 6).toFixed(1)}" y="${at + 11}" font-size="11">${ratio.toFixed(2)}</text>`;
    return `<text x="${LEFT - 10}" y="${y + 19}" text-anchor="end">${title}</text>${bar(y, wall, '#2563eb')}${bar(y + 16, cpu, '#93c5fd')}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${LEFT + WIDTH + 70}" height="${height}" font-family="sans-serif" font-size="13" fill="#111">
<title>Lockgate against rclone: ratios of wall time and CPU</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="${LEFT}" y="22" font-size="12">Lockgate against rclone (1 = alike); dark: wall, light: CPU</text>
${rows.join('\n')}
<line x1="${x(1).toFixed(1)}" y1="32" x2="${x(1).toFixed(1)}" y2="${height - 18}" stroke="#dc2626" stroke-dasharray="4 3"/>
</svg>
`;
}
