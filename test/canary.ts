import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';

/** All the forms in which a value could hide in bytes. */
export function encodingsOf(value: string): Map<string, Buffer> {
  const bytes = Buffer.from(value);
  const forms = new Map<string, Buffer>([
    ['plain', bytes],
    ['hex', Buffer.from(bytes.toString('hex'))],
    ['HEX', Buffer.from(bytes.toString('hex').toUpperCase())],
    ['url', Buffer.from(encodeURIComponent(value))],
    ['json', Buffer.from(JSON.stringify(value).slice(1, -1))],
    ['utf16', Buffer.from(value, 'utf16le')],
  ]);
  // In base64 a value inside a text looks different at each of three offsets; the ends depend on the neighbours.
  for (const offset of [0, 1, 2]) {
    const shifted = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    const inner = shifted.slice(offset === 0 ? 0 : 4, Math.floor(((offset + bytes.length) * 8) / 6) - 1);
    forms.set(`base64+${offset}`, Buffer.from(inner));
    forms.set(`base64url+${offset}`, Buffer.from(inner.replaceAll('+', '-').replaceAll('/', '_')));
  }
  return forms;
}

export function findIn(haystack: Buffer, values: readonly string[]): string[] {
  const hits: string[] = [];
  for (const [index, value] of values.entries()) {
    for (const [form, needle] of encodingsOf(value))
      if (haystack.includes(needle)) hits.push(`value ${index} as ${form}`);
  }
  return hits;
}

/** Searches every file below a folder, also across the borders of chunks. */
export async function findInFiles(folder: string, values: readonly string[]): Promise<string[]> {
  const hits: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    let tail = Buffer.alloc(0);
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      const window = Buffer.concat([tail, chunk as Buffer]);
      for (const hit of findIn(window, values)) hits.push(`${path}: ${hit}`);
      tail = window.subarray(-8192);
    }
  }
  return [...new Set(hits)];
}

/** What any printer could show of a value: JSON, inspect, and every own property of every object in it. */
export function everything(value: unknown, seen = new Set<unknown>()): string {
  if (typeof value === 'string') return value;
  if (value === null || typeof value !== 'object') return String(value);
  if (seen.has(value)) return '';
  seen.add(value);
  const parts = [inspect(value, { depth: 20, showHidden: true }), tryJson(value)];
  for (const name of Reflect.ownKeys(value)) parts.push(String(name), everything(Reflect.get(value, name), seen));
  return parts.join('\n');
}

function tryJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? '';
  } catch {
    return '';
  }
}
