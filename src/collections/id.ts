import { randomFillSync } from 'node:crypto';

/** Random bytes for many IDs at once: asking for sixteen costs as much as for thousands. */
const pool = Buffer.alloc(4096);
let used = pool.length;

/** A UUID version 7 (RFC 9562): its first 48 bits are the time, so new rows go to the end of an index. */
export function newId(now: number = Date.now()): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  pool.writeUIntBE(now, used, 6);
  pool[used + 6] = 0x70 | ((pool[used + 6] as number) & 0x0f);
  pool[used + 8] = 0x80 | ((pool[used + 8] as number) & 0x3f);
  const hex = pool.toString('hex', used, used + 16);
  used += 16;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function isId(text: string): boolean {
  return UUID.test(text);
}
