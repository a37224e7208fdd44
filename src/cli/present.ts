import prettyBytes from 'pretty-bytes';

export interface Globals {
  readonly json: boolean;
}

/** The longest cell of a table; what is longer is cut in its middle. */
const MAX_CELL = 72;

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined));
}

/** Rows under headings, numbers to the right. `empty` is what to say, and do, when there is nothing. */
export function printTable(headings: readonly string[], rows: readonly (readonly unknown[])[], empty: string): void {
  if (rows.length === 0) return print(empty);
  const cells = rows.map((row) => row.map(show));
  const widths = headings.map((heading, i) => Math.max(heading.length, ...cells.map((row) => (row[i] ?? '').length)));
  const right = headings.map((_, i) => rows.every((row) => typeof row[i] === 'number'));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (right[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  print(line(headings.map((heading) => heading.toUpperCase())));
  for (const row of cells) print(line(row));
}

/** Names and values, one a line. */
export function printFacts(facts: readonly (readonly [name: string, value: unknown])[]): void {
  const width = Math.max(...facts.map(([name]) => name.length));
  for (const [name, value] of facts) print(`${name.padEnd(width)}  ${show(value)}`);
}

/** A time as JSON has it. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

function show(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (value instanceof Date) return show(value.toISOString());
  if (typeof value === 'string' && TIME.test(value)) return value.replace('T', ' ').slice(0, 19);
  // Control characters of a hostile key must not reach the terminal.
  const text = String(value).replace(
    /\p{Cc}/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return text.length <= MAX_CELL ? text : `${text.slice(0, MAX_CELL / 2 - 1)}…${text.slice(-MAX_CELL / 2)}`;
}

export function bytes(count: number): string {
  return prettyBytes(count, { binary: true });
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
