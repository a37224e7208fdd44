import { createHmac, timingSafeEqual } from 'node:crypto';
import { InputError } from '../contract/errors.ts';

/** Where a chain stands: the number of its last line and the code that the next line must name. */
export interface Head {
  readonly seq: number;
  readonly mac: string;
}

/** As `audit verify` prints it; null: it is none. */
export function headIn(text: string): Head | null {
  const [, seq, mac] = /^(\d+):([0-9a-f]{64})\s*$/.exec(text) ?? [];
  return seq && mac ? { seq: Number(seq), mac } : null;
}

/** The head that somebody gives. Throws `invalid_head`. */
export function givenHead(text: string): Head {
  const head = headIn(text);
  if (head) return head;
  throw new InputError(
    'invalid_head',
    'This is no head of an audit log.',
    'Use what "lockgate audit verify" printed before, or the number and the "mac" of a line: 4711:0a1b...',
  );
}

export const GENESIS: Head = { seq: 0, mac: '0'.repeat(64) };
const MAC = /,"mac":"([0-9a-f]{64})"\}$/;

/**
 * A line of the log: JSON that names its number and the line before it, closed with an HMAC-SHA-256 over its own text.
 * Whoever has not the key can neither change a line nor write one that fits.
 */
export function sealLine(event: object, after: Head, key: Buffer): { line: string; head: Head } {
  const body = JSON.stringify({ seq: after.seq + 1, prev: after.mac, ...event });
  const mac = macOf(body, key);
  return { line: `${body.slice(0, -1)},"mac":"${mac}"}`, head: { seq: after.seq + 1, mac } };
}

/** What a line says of its place, or null when it is no line of a chain. Says nothing of whether it is genuine. */
export function placeOf(line: string): { seq: number; prev: string; mac: string } | null {
  const mac = MAC.exec(line)?.[1];
  if (!mac) return null;
  try {
    const { seq, prev } = JSON.parse(line) as { seq: unknown; prev: unknown };
    return Number.isSafeInteger(seq) && typeof prev === 'string' ? { seq: seq as number, prev, mac } : null;
  } catch {
    return null;
  }
}

export interface Problem {
  /** Counted from 1, through all files; null: at the end. */
  readonly line: number | null;
  readonly kind: 'edited' | 'missing' | 'truncated';
  readonly message: string;
}

export interface Verification {
  readonly lines: number;
  readonly head: Head;
  /** Lines that a killed process left half-written: nothing was released for them. */
  readonly torn: number;
  readonly problems: readonly Problem[];
}

/** Checks every line and its place. `heads` are what was noted of the chain before: it must still have them. `behind` is the last line of what was taken away. */
export async function verifyChain(
  lines: AsyncIterable<string>,
  key: Buffer,
  heads: readonly Head[],
  behind: Head = GENESIS,
): Promise<Verification> {
  const problems: Problem[] = [];
  const expected = new Map(heads.map(({ seq, mac }) => [seq, mac]));
  let head = behind;
  let number = 0;
  let torn = 0;
  for await (const line of lines) {
    number++;
    const place = placeOf(line);
    if (!place) {
      torn++;
      continue;
    }
    if (!isGenuine(line, place.mac, key)) {
      problems.push({ line: number, kind: 'edited', message: `Line ${number} is not as it was written.` });
    } else if (place.seq !== head.seq + 1 || place.prev !== head.mac) {
      const message = `Line ${number} has number ${place.seq} and does not follow ${head.seq}: lines were removed, put in or moved.`;
      problems.push({ line: number, kind: 'missing', message });
    }
    head = { seq: place.seq, mac: place.mac };
    const noted = expected.get(place.seq);
    if (noted !== undefined && noted !== place.mac) {
      problems.push({
        line: number,
        kind: 'edited',
        message: `Line ${number} is not the one that was noted as number ${place.seq}.`,
      });
    }
  }
  for (const { seq } of heads) {
    if (seq > head.seq) {
      problems.push({
        line: null,
        kind: 'truncated',
        message: `The log ends with number ${head.seq}, and it once had ${seq}.`,
      });
    }
  }
  return { lines: number, head, torn, problems };
}

function isGenuine(line: string, mac: string, key: Buffer): boolean {
  const body = line.replace(MAC, '}');
  return timingSafeEqual(Buffer.from(macOf(body, key), 'hex'), Buffer.from(mac, 'hex'));
}

function macOf(body: string, key: Buffer): string {
  return createHmac('sha256', key).update(body).digest('hex');
}
