import { expect, test } from 'vitest';
import type { Source } from '../../src/contract/connector.ts';
import { Rig, sorted } from './rig.ts';

class InjectedFailure extends Error {}

/** Every call of every part counts as one I/O, chunks of bodies too; the n-th throws. */
function failingAt(rig: Rig, n: number): { calls: () => number; repair: () => void } {
  let calls = 0;
  const step = () => {
    if (++calls === n) throw new InjectedFailure(`I/O ${n}`);
  };
  const breaking = <T extends object>(part: T): T =>
    new Proxy(part, {
      get: (target, name) => {
        const member = Reflect.get(target, name);
        if (typeof member !== 'function' || typeof name === 'symbol' || name === 'heartbeat') return member;
        return async (...words: unknown[]) => {
          step();
          return member.apply(target, words);
        };
      },
    });
  const breakingBodies = (source: Source): Source => ({
    ...breaking(source),
    read: async (...words) => {
      step();
      const content = await source.read(...words);
      return {
        ...content,
        body: (async function* () {
          for await (const chunk of content.body) {
            step();
            yield chunk;
          }
        })(),
      };
    },
    listPage: breaking(source).listPage,
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  });
  rig.breakSource = breakingBodies;
  rig.breakStore = breaking;
  rig.breakContent = breaking;
  return {
    calls: () => calls,
    repair: () => {
      rig.breakSource = (source) => source;
      rig.breakStore = (store) => store;
      rig.breakContent = (content) => content;
    },
  };
}

/** A collection that has seen a first sync, and a bucket that has since gained, changed and lost objects. */
async function prepared(): Promise<Rig> {
  const rig = await Rig.open();
  // Whether a listing could be split is asked in vain without harm.
  rig.limits = { ...rig.limits, listingParts: 1 };
  for (let i = 0; i < 14; i++) rig.bucket.put(`k${String(i).padStart(2, '0')}`, `first ${i}`);
  await rig.sync();
  for (const i of [0, 3, 9]) rig.bucket.delete(`k${String(i).padStart(2, '0')}`);
  for (const i of [1, 2, 12]) rig.bucket.put(`k${String(i).padStart(2, '0')}`, `second ${i}`);
  for (const i of [20, 21, 22]) rig.bucket.put(`k${i}`, `new ${i}`);
  return rig;
}

test('whichever I/O call fails, nothing is removed without proof and the next run makes it right', async () => {
  for (const how of ['new run', 'resumed run'] as const) {
    let failed = 0;
    for (let n = 1; ; n++) {
      await using rig = await prepared();
      const inTheBucket = new Set(rig.bucket.objects.keys());
      const injection = failingAt(rig, n);
      const outcome = await rig.sync().catch((error) => error);
      const untouched = injection.calls() < n;
      if (!untouched) {
        failed++;
        expect(outcome, `I/O ${n}`).toBeInstanceOf(InjectedFailure);
      }
      // Whatever the bucket has and the collection had is still there, with bytes that can be read.
      const between = await rig.documents();
      for (let i = 0; i < 14; i++) {
        const key = `k${String(i).padStart(2, '0')}`;
        if (inTheBucket.has(key)) expect(between.has(key), `${key} after I/O ${n}`).toBe(true);
      }
      injection.repair();
      if (!untouched) {
        if (how === 'new run') await rig.abandon();
        await rig.sync();
      }
      expect(sorted(await rig.documents())).toEqual(sorted(rig.wanted()));
      expect(sorted(await rig.replay())).toEqual(sorted(rig.wanted()));
      if (untouched) break;
    }
    expect(failed).toBeGreaterThan(30);
  }
}, 300_000);
