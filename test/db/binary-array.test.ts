import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Column, type ColumnType } from '../../src/contract/database.ts';
import { freshDatabase } from '../database.ts';

const HEX = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('hex'));
/** From PostgreSQL's first time, in 4713 BC, to the language's last. */
const TIMES = fc.integer({ min: -210_866_803_200_000, max: 8_640_000_000_000_000 });

/** Values of each type, and PostgreSQL's own way from what is sent back to the same. */
const TYPES: readonly [ColumnType, fc.Arbitrary<unknown>, string][] = [
  ['text', fc.string({ unit: fc.constantFrom(...'ab"\\{},\' \n\u00e9\u20ac\u{1F600}NUL'), maxLength: 8 }), '$1'],
  ['bytea', HEX, `array(select encode(v, 'hex') from unnest($1) with ordinality as u (v, n) order by n)`],
  ['uuid', fc.uuid(), '$1'],
  ['boolean', fc.boolean(), '$1'],
  ['int', fc.integer(), '$1'],
  ['bigint', fc.maxSafeInteger(), '$1'],
  [
    'timestamptz',
    TIMES,
    `array(select extract(epoch from v) * 1000 from unnest($1) with ordinality as u (v, n) order by n)`,
  ],
];

test.each(TYPES)('PostgreSQL reads from a column of %s what was in it', async (type, values, back) => {
  await using db = await freshDatabase();
  const sql = `select to_json(${back.replaceAll('$1', `$1::${type}[]`)}) as found`;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.option(values, { nil: null })), async (some) => {
      const [row] = await db.query(sql, [new Column(type, some as never)]);
      expect(row?.found).toEqual(some);
    }),
    { numRuns: 300 },
  );
});

test('a time or a number that is none is refused, and the connection lives on', async () => {
  await using db = await freshDatabase();
  for (const type of ['timestamptz', 'bigint', 'int'] as const) {
    await expect(db.query(`select $1::${type}[]`, [new Column(type, [Number.NaN])])).rejects.toThrow();
  }
  const uuid = 'AAAAAAAA-bbbb-4ccc-8ddd-0123456789ef';
  expect(await db.query('select ($1::uuid[])[1] as id', [new Column('uuid', [uuid])])).toEqual([
    { id: uuid.toLowerCase() },
  ]);
  for (const other of [
    'x',
    '',
    uuid.slice(1),
    `${uuid}0`,
    uuid.replace('-', '0'),
    uuid.replace('b', 'g'),
    `${uuid.slice(1)}é`,
  ])
    await expect(db.query('select $1::uuid[]', [new Column('uuid', [other])])).rejects.toThrow('something else');
  await expect(db.query('select $1::text[]', [new Column('text', ['a\0b'])])).rejects.toMatchObject({ code: '22021' });
  expect(await db.query('select $1::text[] as one', [new Column('text', [])])).toEqual([{ one: [] }]);
});
