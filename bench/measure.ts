import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface Figures {
  /** Seconds. */
  readonly wall: number;
  /** Seconds of the whole machine while it ran, without those of the endpoint: databases and kernel threads are in it. */
  readonly cpu: number;
  /** MB, of all processes whose command line has one of `names`, at the highest. */
  readonly memory: number;
  /** Seconds until what was written is on the disk, where the command does not wait for that. */
  readonly durable?: number;
}

const TICKS = 100;
const PAGE = 4096;

/** Runs a command to its end and says what it took. The machine must have nothing else to do. */
export async function measure(
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
  names: readonly string[],
): Promise<Figures> {
  const [program = '', ...words] = command;
  const machine = machineCpu();
  const endpoint = cpuOf('nginx');
  const started = performance.now();
  let memory = 0;
  const watch = setInterval(() => {
    memory = Math.max(memory, memoryOf(names));
  }, 100);
  const child = spawn(program, words, { env: { ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  clearInterval(watch);
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${said.slice(-2000)}`);
  const wall = (performance.now() - started) / 1000;
  return { wall, cpu: machineCpu() - machine - (cpuOf('nginx') - endpoint), memory: memory / 1e6 };
}

const TOUCHED = 3072;
const PIECE = Buffer.alloc(1024 * 1024);

/**
 * Has the machine hold 3 GiB of memory for files, and lets go of it at once. A virtual machine gives memory that nobody uses back to its host and takes it
 * again page by page, at a second and more for each gigabyte: who is measured first after a while would pay for that, and who comes after it would not.
 */
export async function touchMemory(folder: string): Promise<void> {
  const path = join(folder, 'touched');
  const file = await open(path, 'w');
  for (let n = 0; n < TOUCHED; n++) await file.write(PIECE);
  await file.close();
  await rm(path);
}

/** User, nice, system, and what interrupts take; in seconds. */
function machineCpu(): number {
  const [, user, nice, system, , , irq, softirq] =
    readFileSync('/proc/stat', 'utf8').split('\n')[0]?.split(/\s+/) ?? [];
  return [user, nice, system, irq, softirq].reduce((sum, each) => sum + Number(each), 0) / TICKS;
}

function* processes(): Iterable<{ pid: string; name: string; fields: string[] }> {
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const end = text.lastIndexOf(')');
      yield { pid, name: text.slice(text.indexOf('(') + 1, end), fields: text.slice(end + 2).split(' ') };
    } catch {
      // It has just ended.
    }
  }
}

function cpuOf(name: string): number {
  let ticks = 0;
  for (const each of processes()) if (each.name === name) ticks += Number(each.fields[11]) + Number(each.fields[12]);
  return ticks / TICKS;
}

function memoryOf(names: readonly string[]): number {
  let bytes = 0;
  for (const { pid, fields } of processes()) {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      if (names.some((name) => line.includes(name))) bytes += Number(fields[21]) * PAGE;
    } catch {
      // It has just ended.
    }
  }
  return bytes;
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
