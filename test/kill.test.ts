import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Change } from '../src/collections/changes.ts';
import type { DocumentRecord } from '../src/collections/documents.ts';
import { Deployment } from './deployment.ts';
import { seeded } from './torment/torment.ts';

const OBJECTS = 2000;
const KILLS = 25;

function fill(deployment: Deployment): void {
  for (let i = 0; i < OBJECTS; i++) {
    // Some contents are the same, so that the content store is asked for what it has.
    deployment.s3.put('docs', `folder ${i % 13}/${i}.txt`, `content ${i % 1700} `.repeat((i % 300) + 1));
  }
}

interface Seen {
  readonly documents: [key: string, sha256: string, size: number][];
  readonly changes: Change[];
}

async function look(deployment: Deployment): Promise<Seen> {
  const documents: Seen['documents'] = [];
  let cursor: string | null = null;
  do {
    const more: string[] = cursor ? ['--cursor', cursor] : [];
    const page: { items: DocumentRecord[]; nextCursor: string | null } = await deployment.json(
      'documents',
      'list',
      'handbook',
      '--limit',
      '1000',
      ...more,
    );
    documents.push(...page.items.map(({ key, sha256, size }): [string, string, number] => [key, sha256, size]));
    cursor = page.nextCursor;
  } while (cursor);
  const { stdout } = await deployment.run('changes', 'handbook', '--json');
  const changes = stdout
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Change);
  return { documents, changes };
}

test(`${KILLS} times killed in a sync of ${OBJECTS} objects, the collection is as if nothing had happened`, async () => {
  const seed = Number(process.env.LOCKGATE_TEST_SEED ?? Date.now() % 2 ** 31);
  const next = seeded(seed);
  await using undisturbed = await Deployment.start();
  await using deployment = await Deployment.start();
  const asked: { key: string; at: number }[] = [];
  for (const each of [undisturbed, deployment]) {
    fill(each);
    await each.putSecret();
    await each.connect();
    // Slow enough that kills hit every stage of a run, and not so slow that a run gets nowhere.
    each.s3.fault = ({ operation, key }) => {
      if (operation !== 'GetObject') return undefined;
      if (each === deployment) asked.push({ key, at: Date.now() });
      return next() < 0.2 ? { kind: 'delay', ms: 30 } : undefined;
    };
  }
  const begun = Date.now();
  expect((await undisturbed.run('sync', 'handbook')).code).toBe(0);
  const usual = Date.now() - begun;

  let kills = 0;
  let collection = 1;
  while (kills < KILLS) {
    const command = deployment.start(['sync', 'handbook']);
    let isOver = false;
    const ended = command.ended.finally(() => {
      isOver = true;
    });
    // Some at any time; most once it has got somewhere, for a run whose every worker ends before that is given up.
    const reads = next() < 0.3 ? null : asked.length + Math.ceil(next() * 600);
    const until = Date.now() + usual * (reads === null ? next() : 5);
    while (!isOver && Date.now() < until && (reads === null || asked.length < reads)) await wait(5);
    if (reads !== null) await wait(next() * 200);
    command.child.kill('SIGKILL');
    const { code } = await ended;
    if (code === null) {
      kills++;
      continue;
    }
    // It was quicker than the kill. Begin again with an empty collection, until all kills are spent.
    expect(code, `seed ${seed}`).toBe(0);
    await compare(await look(deployment), await look(undisturbed), seed);
    deployment.environment = {
      ...deployment.environment,
      LOCKGATE_DATA_DIR: `${deployment.folder}/data${collection++}`,
    };
    asked.length = 0;
    await deployment.putSecret();
    await deployment.connect();
  }
  const last = await deployment.run('sync', 'handbook');
  expect(last.code, `seed ${seed}: ${last.stderr}${last.stdout}`).toBe(0);
  await compare(await look(deployment), await look(undisturbed), seed);

  // It went on from where it was: a kill costs what was fetched and not yet committed, and nothing that was committed is fetched again.
  const { items } = await deployment.json<{ items: { state: string }[] }>('runs', 'list', '--collection', 'handbook');
  expect(items[0]?.state).toBe('completed');
  const { changes } = await look(deployment);
  const committedAt = new Map(changes.map((change) => [change.key, new Date(change.at).getTime()]));
  const again = asked.filter(({ key, at }) => at > (committedAt.get(key) ?? 0));
  expect(asked.length, `seed ${seed}`).toBeGreaterThanOrEqual(OBJECTS);
  expect(again, `seed ${seed}`).toEqual([]);
  expect((await deployment.run('doctor')).code).toBe(0);
}, 400_000);

async function compare(seen: Seen, expected: Seen, seed: number): Promise<void> {
  expect(seen.documents, `seed ${seed}`).toEqual(expected.documents);
  const facts = (changes: Change[]) =>
    changes.map(({ kind, key, sha256, size }) => `${kind} ${key} ${sha256} ${size}`).sort();
  expect(facts(seen.changes), `seed ${seed}`).toEqual(facts(expected.changes));
  expect(seen.changes.map((change) => change.number)).toEqual(seen.changes.map((_, i) => i + 1));
}
