import { expect, test } from 'vitest';
import { parseHead } from '../../connectors/http/framing.ts';
import { seeded } from '../torment/torment.ts';

const NAMES = [
  'Server',
  'server',
  'Date',
  'ETag',
  'Content-Length',
  'Content-Type',
  'x-amz-id',
  'Connection',
  'bad name',
];
const VALUES = ['', ' 1', ' 22', ' a b ', 'x', ' "é"', ' close', ' 333'];
const BEGINS = ['HTTP/1.1 200 OK', 'HTTP/1.1 206', 'HTTP/1.1 404 Not Found', 'HTTP/1.0 200 OK', 'HTTP/1.1 20', ''];
const ONCE = ['content-length', 'transfer-encoding'];

/** The same, of one head and with nothing of those before. */
function parsed(text: string) {
  const [begin = '', ...lines] = text.split('\r\n');
  const status = /^HTTP\/1\.1 ([2-5]\d\d)(?: [^\r\n]*)?$/.exec(begin)?.[1];
  if (!status) return null;
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [, name = '', value = ''] = /^([\w-]+):([^\r\n]*)$/.exec(line) ?? [];
    const key = name.toLowerCase();
    if (key === '' || (key in headers && ONCE.includes(key))) return null;
    headers[key] = key in headers ? `${headers[key]}, ${value.trim()}` : value.trim();
  }
  return { status: Number(status), headers };
}

test('a head is what it says, whatever those before it were', () => {
  const seed = Date.now() % 2 ** 31;
  const next = seeded(seed);
  const one = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)] as T;
  let lines: string[] = [];
  let seen = 0;
  for (let i = 0; i < 50_000; i++) {
    // Mostly like the one before, as servers do: a value changes, a line comes or goes.
    if (lines.length === 0 || next() < 0.05) {
      lines = Array.from({ length: Math.floor(next() * 8) }, () => `${one(NAMES.slice(0, -1))}:${one(VALUES)}`);
    } else if (next() < 0.5) {
      const at = Math.floor(next() * lines.length);
      lines[at] = `${lines[at]?.split(':')[0]}:${one(VALUES)}`;
    } else if (next() < 0.2) lines.splice(Math.floor(next() * lines.length), next() < 0.5 ? 1 : 0, `${one(NAMES)}:y`);
    const text = [next() < 0.9 ? BEGINS[0] : one(BEGINS), ...lines].join('\r\n');
    const head = parseHead(text);
    expect(head, `seed ${seed}: ${JSON.stringify(text)}`).toEqual(parsed(text));
    if (head) seen++;
  }
  expect(seen).toBeGreaterThan(10_000);
});
