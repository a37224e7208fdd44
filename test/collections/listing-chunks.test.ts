import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { forgetChunksAt, readChunks, replaceChunks, settleChunks } from '../../src/collections/listing-chunks.ts';
import { Rig } from '../sync/rig.ts';

const HASH = 'ab'.repeat(32);
const RULES = 'cd'.repeat(32);

test('what a run has left that did not end hides no chunk: neither that of a failure nor that of a cut', async () => {
  await using rig = await Rig.open();
  const { db, sourceId } = rig;
  const [ended, left] = [randomUUID(), randomUUID()];
  const own = (id: string) => ({ id, sourceId, rules: RULES });
  const chunk = (from: string) => ({ from, entries: 1, excluded: 0, hash: HASH });
  const write = (run: string, from: string) =>
    replaceChunks(db, own(run), { stale: [], chunks: [chunk(from)] } as never);
  const valid = async () => (await readChunks(db, own(ended), '', 10)).map(({ from }) => from);
  // A failure at "d" lies in the chunk that begins with "a".
  await write(left, 'c');
  await write(ended, 'a');
  await write(ended, 'x');
  await db.query(
    `insert into lockgate.document_failure (source_id, key, path, version, size, code, message, run_id)
     values ($1, 'd', 'd', '1', 1, 'x', 'x', $2)`,
    [sourceId, ended],
  );
  await settleChunks(db, sourceId, ended);
  expect(await valid()).toEqual(['x']);
  await db.query('delete from lockgate.document_failure');
  // A cut at "d" as well.
  await write(ended, 'a');
  await settleChunks(db, sourceId, ended);
  await write(left, 'c');
  expect(await valid()).toEqual(['a', 'x']);
  await forgetChunksAt(db, sourceId, ['d']);
  expect(await valid()).toEqual(['x']);
});
