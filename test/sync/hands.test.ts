import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { memory } from '../../connectors/memory/connector.ts';
import { systemClock } from '../../src/clock.ts';
import { type HandOfRun, openHandStore } from '../../src/collections/hand-store.ts';
import { joinRun, NO_CAPS, takeRun } from '../../src/collections/hands.ts';
import { requestRun } from '../../src/collections/runs.ts';
import { addSource } from '../../src/collections/sources.ts';
import type { Source } from '../../src/contract/connector.ts';
import { Secret } from '../../src/contract/secret.ts';
import { helpRun } from '../../src/sync/hand.ts';
import { runtimeFor } from '../runtime.ts';
import { SOURCE_SETTINGS } from '../source-settings.ts';
import { Rig, sorted } from './rig.ts';

const NEVER = new AbortController().signal;

/** A rig with objects to fetch, and how often each was read. */
async function filled(objects: number): Promise<{ rig: Rig; reads: Map<string, number> }> {
  const rig = await Rig.open();
  const reads = new Map<string, number>();
  for (let i = 0; i < objects; i++) rig.bucket.put(`k${String(i).padStart(4, '0')}`, `content ${i}`);
  rig.bucket.pageSize = 50;
  rig.limits = { ...rig.limits, offeredBatches: 50 };
  rig.breakSource = (source) => ({
    ...source,
    read: async (entry, range, signal) => {
      reads.set(entry.key, (reads.get(entry.key) ?? 0) + 1);
      await wait(2);
      return source.read(entry, range, signal);
    },
  });
  return { rig, reads };
}

function sourceOf(rig: Rig): Source {
  const secret = new Secret({ password: rig.bucket.password });
  return rig.breakSource(memory.open(secret, { bucket: rig.bucketName, prefix: '', listed: '' }, runtimeFor()));
}

/** Joins the rig's run as soon as it has something to do. */
async function join(rig: Rig, worker: string): Promise<HandOfRun> {
  for (;;) {
    const [run] = await rig.db.query<{ id: string }>(`select id from lockgate.run where state = 'running'`);
    const hand = run ? await joinRun(rig.db, run.id, worker, 9, NO_CAPS) : null;
    if (run && hand) return { id: run.id, hand, sourceId: rig.sourceId, collectionId: rig.collectionId };
    await wait(2);
  }
}

async function helps(rig: Rig, worker: string): Promise<number> {
  const hand = await join(rig, worker);
  let committed = 0;
  const store = openHandStore(rig.db, hand);
  const counted = {
    ...store,
    commit: async (...words: Parameters<typeof store.commit>) => {
      await store.commit(...words);
      committed += words[0].length;
    },
  };
  const parts = { source: sourceOf(rig), store: counted, content: rig.content, clock: systemClock, limits: rig.limits };
  // A run that ends while somebody helps has no need of the hand any more.
  await helpRun(parts, { isEnough: () => false }, NEVER).catch((error) =>
    expect(error).toMatchObject({ code: 'run_lost' }),
  );
  return committed;
}

async function expectExact(rig: Rig): Promise<void> {
  expect(sorted(await rig.documents())).toEqual(sorted(rig.wanted()));
  expect(sorted(await rig.replay())).toEqual(sorted(rig.wanted()));
}

test('hands share the fetches of a run, and none is done twice', async () => {
  const { rig, reads } = await filled(900);
  await using _ = rig;
  const [result, ...shares] = await Promise.all([rig.sync(), helps(rig, 'one'), helps(rig, 'two')]);
  expect(result).toMatchObject({ state: 'completed' });
  for (const share of shares) expect(share).toBeGreaterThan(60);
  expect(Math.max(...reads.values())).toBe(1);
  await expectExact(rig);
});

test('a hand that was given up for dead can commit nothing, and others do what it had', async () => {
  const { rig } = await filled(300);
  await using _ = rig;
  const running = rig.sync();
  const hand = await join(rig, 'late');
  const store = openHandStore(rig.db, hand);
  const batches = await store.takeBatches(3);
  expect(batches.length).toBeGreaterThan(0);
  const [entry] = batches[0]?.entries ?? [];
  if (!entry) throw new Error('an empty batch');
  // Nobody hears of it for a minute; the leader's next heartbeat gives it up.
  rig.limits = { ...rig.limits };
  await rig.db.query(`update lockgate.hand set heartbeat_at = now() - interval '1 minute' where id = $1`, [hand.hand]);
  await running;
  await expectExact(rig);
  const late = { sha256: 'ab'.repeat(32), size: 1, handle: '' };
  const outcome = { kind: 'stored', entry, content: late, contentType: null, warning: null, grants: null } as const;
  await expect(store.commit([outcome], [])).rejects.toMatchObject({ code: 'run_lost' });
  await expect(store.commit([], [batches[0]?.number ?? 0])).rejects.toMatchObject({ code: 'run_lost' });
  expect(await store.takeBatches(3)).toEqual([]);
  await expect(store.heartbeat()).rejects.toMatchObject({ code: 'run_lost' });
  await expectExact(rig);
});

test('a slow object holds nothing but itself', async () => {
  const { rig } = await filled(60);
  await using _ = rig;
  let release = () => undefined as undefined;
  const held = new Promise<undefined>((resolve) => {
    release = () => resolve(undefined) as undefined;
  });
  const before = rig.breakSource;
  rig.breakSource = (source) => {
    const inner = before(source);
    return {
      ...inner,
      read: async (entry, range, signal) => {
        if (entry.key === 'k0001') await held;
        return inner.read(entry, range, signal);
      },
    };
  };
  const running = rig.sync();
  const until = Date.now() + 20_000;
  while ((await rig.documents()).size < 59 && Date.now() < until) await wait(20);
  expect([...rig.wanted().keys()].filter((key) => key !== 'k0001').sort()).toEqual(
    [...(await rig.documents()).keys()].sort(),
  );
  release();
  await running;
  await expectExact(rig);
});

test('a run waits while its credential, its account or its workspace has as many hands as it may', async () => {
  await using rig = await Rig.open();
  const other = await addSource(rig.db, 'default', rig.collectionId, { ...SOURCE_SETTINGS, path: 's3://other' }, null);
  await rig.db.query(`update lockgate.source set quota = 's3 same'`);
  const first = await requestRun(rig.db, rig.sourceId, 'manual');
  const second = await requestRun(rig.db, other.id, 'manual');
  expect(await takeRun(rig.db, first, 'w')).toMatchObject({ kind: 'taken', attempt: 1 });
  for (const [caps, of] of [
    [{ perCredential: 1, perQuota: 0, perWorkspace: 0 }, 'credential'],
    [{ perCredential: 0, perQuota: 1, perWorkspace: 0 }, 'quota'],
    [{ perCredential: 2, perQuota: 2, perWorkspace: 1 }, 'workspace'],
  ] as const) {
    expect(await takeRun(rig.db, second, 'w', caps)).toEqual({ kind: 'full', of });
    // Its own hand does not keep a run from being taken over.
    expect(await takeRun(rig.db, first, 'w', caps)).toMatchObject({ kind: 'taken' });
  }
  expect(await takeRun(rig.db, second, 'w', { perCredential: 2, perQuota: 2, perWorkspace: 2 })).toMatchObject({
    kind: 'taken',
    attempt: 1,
  });
});
