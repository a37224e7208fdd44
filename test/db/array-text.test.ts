import fc from 'fast-check';
import { expect, test } from 'vitest';
import { arrayText } from '../../src/db/array-text.ts';
import { freshDatabase } from '../database.ts';

test('PostgreSQL reads from the text of an array what was in it', async () => {
  await using db = await freshDatabase();
  const texts = fc.array(
    fc.option(fc.string({ unit: fc.constantFrom(...'ab"\\{},\' \n\u00e9\u{1F600}NUL'), maxLength: 8 }), { nil: null }),
  );
  await fc.assert(
    fc.asyncProperty(texts, fc.array(fc.maxSafeInteger()), fc.array(fc.boolean()), async (words, numbers, truths) => {
      const [row] = await db.query(
        'select $1::text[] as words, $2::bigint[]::text[] as numbers, $3::boolean[] as truths',
        [words, numbers, truths],
      );
      expect(row).toEqual({ words, numbers: numbers.map(String), truths });
    }),
    { numRuns: 300 },
  );
});

test('an array with something else in it is left to the driver', async () => {
  expect(arrayText([Buffer.from('a')])).toBeNull();
  expect(arrayText([['a']])).toBeNull();
  for (const time of [Date.UTC(10_000, 0), -1e14, Number.NaN]) expect(arrayText([new Date(time)])).toBeNull();
  await using db = await freshDatabase();
  const [row] = await db.query('select $1::bytea[] as bytes, $2::timestamptz[] as times', [
    [Buffer.from('a\\b')],
    [new Date(86_400_000)],
  ]);
  expect(row).toEqual({ bytes: [Buffer.from('a\\b')], times: [new Date(86_400_000)] });
});
