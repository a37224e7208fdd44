import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import type { Asked } from './hashing.ts';

/** The other side of `hashing.ts`. */
const hashes = new Map<number, Hash>();

parentPort?.on('message', ({ body, chunk, ask }: Asked) => {
  const hash = hashes.get(body) ?? createHash('sha256');
  if (ask) hashes.delete(body);
  else hashes.set(body, hash);
  if (chunk) hash.update(chunk);
  if (ask !== 'forget') parentPort?.postMessage(ask === 'digest' ? hash.digest('hex') : '');
});
