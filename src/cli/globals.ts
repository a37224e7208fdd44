import type { Command } from 'commander';
import type { Globals } from './present.ts';

/** For options that may be repeated. */
export const collect = (value: string, all: string[] | undefined): string[] => [...(all ?? []), value];

/** The options that stand before or behind every command. */
export function globalsOf(command: Command): Globals {
  let root = command;
  while (root.parent) root = root.parent;
  return { json: root.opts().json === true };
}

export const BEHIND = 'where the oldest files were taken away: number and mac of their last line, as 4711:0a1b...';
