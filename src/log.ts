import { createRequire } from 'node:module';

/** Writes a line: what it is about, and a message; or a message alone. */
type Write = (about: object | string, message?: string) => void;

export interface Log {
  /** From which on lines are written. */
  readonly level: string;
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  /** The same, with more in each line. */
  child(about: object): Log;
}

const nothing = () => undefined;
const SILENT: Log = {
  level: 'silent',
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => SILENT,
};

/**
 * The only writer of logs: JSON lines on standard error, so that standard output stays the program's answer. Each line
 * passes `scrub`. The library is loaded where something is written: most commands write nothing.
 */
export function createLog(level: string, scrub: (line: string) => string): Log {
  if (level === 'silent') return SILENT;
  const pino = createRequire(import.meta.url)('pino') as typeof import('pino').default;
  const destination = pino.destination({ dest: 2, sync: true });
  return pino({ level, base: { pid: process.pid } }, { write: (line) => void destination.write(scrub(line)) });
}
