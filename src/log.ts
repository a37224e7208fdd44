import pino, { type Logger } from 'pino';

export type Log = Logger;

/** The only writer of logs: JSON lines on standard error, so that standard output stays the program's answer. */
export function createLog(level: string): Log {
  return pino({ level, base: { pid: process.pid } }, pino.destination({ dest: 2, sync: true }));
}
