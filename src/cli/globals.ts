import type { Command } from 'commander';
import type { Globals } from './present.ts';

/** The options that stand before or behind every command. */
export function globalsOf(command: Command): Globals {
  let root = command;
  while (root.parent) root = root.parent;
  return { json: root.opts().json === true };
}
