import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { signingKey } from '../../src/securestore/heads.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockgate-heads-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('a signing key is made once, and one that cannot be read is said so and neither looked for again nor replaced', async () => {
  const file = join(folder, 'keys', 'signing.pem');
  const made = await Promise.all(Array.from({ length: 5 }, () => signingKey(file)));
  expect(made.every((key) => key.equals(made[0] as (typeof made)[0]))).toBe(true);
  await writeFile(file, 'no key');
  await expect(signingKey(file)).rejects.toThrow('is no key in PEM');
  const closed = join(folder, 'closed');
  await mkdir(closed);
  await expect(signingKey(closed)).rejects.toThrow('cannot be read');
});
