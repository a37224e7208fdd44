import pino, { type Logger } from 'pino';

export type Log = Logger;

/**
 * The only writer of logs: JSON lines on standard error, so that standard output stays the program's answer. Each line
 * passes `scrub`.
 */
export function createLog(level: string, scrub: (line: string) => string): Log {
  const destination = pino.destination({ dest: 2, sync: true });
  return pino({ level, base: { pid: process.pid } }, { write: (line) => void destination.write(scrub(line)) });
}
