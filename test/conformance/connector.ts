import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AnyConnector } from '../../connectors/index.ts';
import { systemClock } from '../../src/clock.ts';
import type { Content, Entry, Outline, Page, Runtime, Source } from '../../src/contract/connector.ts';
import { ConnectorError, InputError } from '../../src/contract/errors.ts';
import { Secret } from '../../src/contract/secret.ts';
import { AdaptiveLimit, withLimit } from '../../src/layers/limit.ts';
import { withRenewal } from '../../src/layers/renew.ts';
import { withRetry } from '../../src/layers/retry.ts';
import { withTimeout } from '../../src/layers/timeout.ts';
import { withVerification } from '../../src/layers/verify.ts';
import { compareKeys } from '../../src/sync/key-order.ts';
import { followChanges, memoryMirror, withMirror } from '../../src/sync/mirror.ts';

/** What a connector's test supplies: a server with one bucket, and the ways to break it. */
export interface ConnectorHarness {
  readonly connector: AnyConnector;
  readonly runtime: Runtime;
  readonly credential: Record<string, unknown>;
  readonly rejectedCredential: Record<string, unknown>;
  /** The fields that a credential cannot do without. */
  readonly requiredFields: readonly string[];
  readonly secretValues: readonly string[];
  readonly badPaths: readonly string[];
  path(prefix: string): string;
  put(key: string, body: Buffer | string): void | Promise<void>;
  /** Many small objects at once. */
  putMany?(keys: readonly string[]): Promise<void>;
  remove(key: string): void | Promise<void>;
  /** Keys of `ODD_KEYS` that the source cannot have. */
  readonly impossibleKeys?: readonly string[];
  /** False where a listing always has the whole place. */
  readonly narrows?: false;
  /** False where the source does not say in which order it lists. */
  readonly ordered?: false;
  /** Set where the pages of the source are outlines. */
  readonly outlined?: true;
  setPageSize(keys: number): void;
  /** Null where the source cannot fail in these ways; then those cases are skipped and say so. */
  readonly faults: FaultHarness | null;
  close(): Promise<void>;
}

export interface FaultHarness {
  /** Makes the next `count` requests of the kind fail. */
  fail(
    kind: 'cut' | 'corrupt' | 'short' | 'reset' | 'error500' | 'throttled' | 'denied' | 'stall',
    count: number,
    on: 'list' | 'read',
  ): void;
  clear(): void;
}

export const ODD_KEYS = [
  ' leading and trailing ',
  'a+b',
  'a%2Bb',
  'a b/c d.txt',
  'a//b',
  'a/./b',
  'a/../b',
  '&<>"\'',
  'ümläut',
  'e\u0301',
  'é',
  '日本語/資料.pdf',
  '😀.txt',
  '\uE000private',
  '\uFFFDlast',
  'tab\tkey',
  'new\nline',
  '#hash?query=1',
  "quote'",
  '(paren)!*',
  '~',
  'a'.repeat(900),
  'trailing/',
  'CON',
  'UPPER',
  'upper',
  '*',
  '%',
  '%zz',
  ';',
  '=',
  '\u0001control',
];

const signal = new AbortController().signal;

export function connectorConformance(name: string, makeHarness: () => Promise<ConnectorHarness>): void {
  describe(`connector ${name}`, () => {
    let harness: ConnectorHarness;
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness.close());

    const bare = (prefix = '', credential = harness.credential): Source => {
      const { connector, runtime, path } = harness;
      const opened = connector.open(
        new Secret(credential).map(connector.parseCredential),
        connector.parseLocation(path(prefix)),
        runtime,
      );
      return connector.capabilities.listing === 'delta' ? withEverything(opened) : opened;
    };
    const layered = (prefix: string, timeoutMs = 5000): Source => {
      const policy = { attempts: 4, throttledForMs: 60_000, baseDelayMs: 1, maxDelayMs: 5, maxRetryAfterMs: 60_000 };
      const limited = withLimit(withTimeout(bare(prefix), timeoutMs), new AdaptiveLimit(systemClock));
      return withVerification(withRetry(limited, harness.connector.capabilities.ranges, systemClock, policy));
    };

    test('an empty listing is one page that ends', async () => {
      await using source = bare('nothing-here/');
      const { entries, next } = await source.listPage(null, signal);
      expect({ entries, next }).toEqual({ entries: [], next: { kind: 'end' } });
    });

    test('odd keys are listed, in byte order where there is one, and read back', async () => {
      const possible = ODD_KEYS.filter((key) => !harness.impossibleKeys?.includes(key));
      for (const key of possible) await harness.put(`odd/${key}`, `body of ${key}`);
      harness.setPageSize(5);
      await using source = bare('odd/');
      const entries = await listAll(source);
      expect(entries.map(({ path }) => path).sort(compareKeys)).toEqual(possible.sort(compareKeys));
      if (harness.ordered !== false)
        expect(entries.map(({ key }) => key)).toEqual(entries.map(({ key }) => key).sort(compareKeys));
      for (const entry of entries)
        expect((await bytesOf(await source.read(entry, undefined, signal))).toString()).toBe(`body of ${entry.path}`);
      harness.setPageSize(1000);
    });

    test('10,000 keys are listed once each', async () => {
      const many = Array.from({ length: 10_000 }, (_, i) => `many/${i}`);
      if (harness.putMany) await harness.putMany(many);
      else for (const key of many) await harness.put(key, 'x');
      await using source = bare('many/');
      const keys = (await listAll(source)).map(({ key }) => key);
      expect(keys.length).toBe(10_000);
      expect(new Set(keys).size).toBe(10_000);
      if (!harness.putMany) for (const key of many) await harness.remove(key);
    });

    test('every page can be asked for again, and taken up by another process', async () => {
      for (let i = 0; i < 23; i++) await harness.put(`resume/${String(i).padStart(3, '0')}`, 'x');
      harness.setPageSize(4);
      await using source = bare('resume/');
      const whole = (await listAll(source)).map(({ key }) => key);
      let position: string | null = null;
      let before = 0;
      for (;;) {
        const page: Page = await source.listPage(position, signal);
        const again = await source.listPage(position, signal);
        expect([again.entries, again.next]).toEqual([page.entries, page.next]);
        expect(page.outline !== undefined).toBe(harness.outlined === true);
        if (page.outline && again.outline) expectOutline(page, again.outline);
        await using other = bare('resume/');
        expect((await listAll(other, position)).map(({ key }) => key)).toEqual(whole.slice(before));
        before += page.entries.length;
        if (page.next.kind === 'end') break;
        position = page.next.pageToken;
      }
      expect(before).toBe(23);
      harness.setPageSize(1000);
    });

    test('a prefix is a folder: reports does not match reports-old', async () => {
      for (const key of ['reports/a', 'reports-old/b', 'reports.txt', 'report/c'])
        await harness.put(`edge/${key}`, key);
      for (const prefix of ['edge/reports', 'edge/reports/']) {
        await using source = bare(prefix);
        expect((await listAll(source)).map(({ path }) => path)).toEqual(['a']);
      }
    });

    test('a listing is narrowed to what begins with a text, and paths stay as they were', async (context) => {
      if (harness.narrows === false) return context.skip('a listing of changes has the whole place');
      for (const key of ['2025/a', '2026/b', '2026-old/c', '2027/d']) await harness.put(`narrow/${key}`, key);
      const { connector, runtime, credential, path } = harness;
      const location = connector.parseLocation(path('narrow'), '2026');
      await using source = connector.open(new Secret(credential).map(connector.parseCredential), location, runtime);
      expect((await listAll(source)).map((entry) => entry.path)).toEqual(['2026-old/c', '2026/b']);
    });

    test('bodies of many sizes arrive whole and verified', async () => {
      const sizes = [0, 1, 65_535, 65_536, 65_537, 3_000_000];
      for (const size of sizes) await harness.put(`sizes/${size}`, randomBytes(size));
      await using source = layered('sizes/');
      for (const entry of await listAll(source)) {
        expect((await bytesOf(await source.read(entry, undefined, signal))).length).toBe(entry.size);
        expect(entry.size).toBe(Number(entry.path));
      }
    });

    test('ranges', async () => {
      await harness.put('range/a', '0123456789');
      await using source = bare('range/');
      const [entry] = await listAll(source);
      if (!entry) throw new Error('nothing listed');
      const read = async (start: number, end?: number) =>
        (await bytesOf(await source.read(entry, end === undefined ? { start } : { start, end }, signal))).toString();
      expect(await read(0, 1)).toBe('0');
      expect(await read(3, 7)).toBe('3456');
      expect(await read(8)).toBe('89');
    });

    test('an object that changed after it was listed is not read', async () => {
      await harness.put('changing/a', 'first');
      await using source = bare('changing/');
      const [entry] = await listAll(source);
      if (!entry) throw new Error('nothing listed');
      await harness.put('changing/a', 'other');
      await expectCode(source.read(entry, undefined, signal), 'changed_during_fetch');
      await harness.remove('changing/a');
      // A source that looks at the condition first says the same of both.
      await expectCode(source.read(entry, undefined, signal), 'not_found', 'changed_during_fetch');
    });

    test('a rejected credential is told from everything else', async () => {
      await harness.put('locked/a', 'x');
      const [entry] = await listAll(bare('locked/'));
      await using source = bare('locked/', harness.rejectedCredential);
      await expectCode(source.listPage(null, signal), 'credential_rejected');
      await expectCode(source.read(entry as Entry, undefined, signal), 'credential_rejected');
      const report = await source.check(signal);
      expect(report).toMatchObject({ readable: false, problem: { code: 'credential_rejected' } });
    });

    test('check says that all is well', async () => {
      await harness.put('well/a', 'x');
      await using source = bare('well/');
      expect(await source.check(signal)).toEqual({ reachable: true, readable: true, warnings: [] });
    });

    test('an aborted call ends with the reason of its signal', async () => {
      await harness.put('abort/a', randomBytes(1_000_000));
      await using source = layered('abort/');
      const [entry] = await listAll(source);
      const reason = new Error('enough');
      await expect(source.listPage(null, AbortSignal.abort(reason))).rejects.toBe(reason);
      await expect(source.read(entry as Entry, undefined, AbortSignal.abort(reason))).rejects.toBe(reason);
    });

    test('a call that is cancelled in the middle of a body ends, and the source goes on', async () => {
      await harness.put('cancel/a', randomBytes(3_000_000));
      await using source = layered('cancel/');
      const [entry] = await listAll(source);
      const stop = new AbortController();
      const reason = new Error('enough');
      const reading = (async () => {
        for await (const _ of (await source.read(entry as Entry, undefined, stop.signal)).body) stop.abort(reason);
      })();
      await expect(reading).rejects.toBe(reason);
      expect((await bytesOf(await source.read(entry as Entry, undefined, signal))).length).toBe(3_000_000);
    });

    test('a credential that is rotated is taken up in the middle', async () => {
      await harness.put('rotated/a', 'x');
      let reopened = 0;
      await using source = withRenewal(bare('rotated/', harness.rejectedCredential), async () => {
        reopened++;
        return bare('rotated/');
      });
      const entries = await listAll(source);
      expect((await bytesOf(await source.read(entries[0] as Entry, undefined, signal))).toString()).toBe('x');
      expect(reopened).toBe(1);
    });

    test('a bad credential is refused with the names of its fields and without their values', () => {
      const { connector, credential } = harness;
      for (const bad of [
        null,
        'text',
        7,
        [],
        {},
        { ...credential, unknown_field: 'hunter2hunter2' },
        ...without(credential, harness.requiredFields),
      ]) {
        const error = thrown(() => connector.parseCredential(bad));
        expect(error).toBeInstanceOf(InputError);
        for (const value of [...harness.secretValues, 'hunter2hunter2'])
          expect(String((error as Error).message)).not.toContain(value);
      }
      expect((thrown(() => connector.parseCredential({ ...credential, unknown_field: 1 })) as Error).message).toContain(
        'unknown_field',
      );
    });

    test('a bad path is refused with a hint', () => {
      for (const path of harness.badPaths) {
        const error = thrown(() => harness.connector.parseLocation(path));
        expect(error, path).toBeInstanceOf(InputError);
        expect((error as InputError).hint).toBeTruthy();
      }
    });

    describe('faults', () => {
      const faulty = async (
        kind: Parameters<FaultHarness['fail']>[0],
        count: number,
        on: 'list' | 'read',
        work: (source: Source, entry: Entry) => Promise<void>,
      ) => {
        const body = randomBytes(300_000);
        await harness.put('faults/a', body);
        // Short where nothing else ends the call: a busy machine takes longer for an answer now and then.
        await using source = kind === 'stall' ? layered('faults/', 4000) : layered('faults/');
        const [entry] = await listAll(source);
        harness.faults?.fail(kind, count, on);
        try {
          await work(source, entry as Entry);
        } finally {
          harness.faults?.clear();
        }
      };
      const cases = [
        ['a body that breaks off goes on where it was', 'cut', 2],
        ['a connection that is reset is tried again', 'reset', 2],
        ['an internal error is tried again', 'error500', 2],
        ['a throttled call is tried again', 'throttled', 2],
        ['a call that stalls is ended and tried again', 'stall', 1],
      ] as const;
      for (const [title, kind, count] of cases) {
        test(title, async (context) => {
          if (!harness.faults) return context.skip('this source cannot be broken from outside');
          await faulty(kind, count, 'read', async (source, entry) => {
            expect((await bytesOf(await source.read(entry, undefined, signal))).length).toBe(300_000);
          });
          if (kind === 'cut') return;
          await faulty(kind, count, 'list', async (source) => {
            expect((await listAll(source)).length).toBe(1);
          });
        });
      }

      test('a storm of throttled answers is waited out', async (context) => {
        if (!harness.faults) return context.skip('this source cannot be broken from outside');
        await faulty('throttled', 30, 'read', async (source, entry) => {
          expect((await bytesOf(await source.read(entry, undefined, signal))).length).toBe(300_000);
        });
        await faulty('throttled', 30, 'list', async (source) => {
          expect((await listAll(source)).length).toBe(1);
        });
      });

      const fatal = [
        ['a wrong body is not accepted', 'corrupt', 'checksum_mismatch'],
        ['a body that is shorter than listed is not accepted', 'short', 'truncated'],
        ['what fails for ever fails in the end', 'error500', 'unavailable'],
        ['what is forbidden is told from what is rejected', 'denied', 'permission_denied'],
      ] as const;
      for (const [title, kind, code] of fatal) {
        test(title, async (context) => {
          if (!harness.faults) return context.skip('this source cannot be broken from outside');
          await faulty(kind, 1000, 'read', async (source, entry) => {
            await expectCode(bytesOf(source.read(entry, undefined, signal)), code);
          });
        });
      }
    });
  });
}

/** A source that lists changes, as one that lists what it has: each listing follows all changes first. */
export function withEverything(source: Source): Source {
  let mirror = memoryMirror();
  return {
    ...source,
    listPage: async (position, each) => {
      if (position === null) mirror = memoryMirror();
      if (position === null || (await mirror.position()) === null) await followChanges(source, mirror, each);
      return withMirror(source, mirror).listPage(position, each);
    },
  };
}

/** What an answer with this status and this word is in our errors. */
export type Refusal = readonly [status: number, word: string, code: string, retryable: boolean];

/** Has the server refuse a listing and a read of the source's one entry with each of them. */
export async function expectRefusals(
  source: Source,
  refuse: (status: number, word: string) => void,
  refusals: readonly Refusal[],
): Promise<void> {
  const [entry] = await listAll(source);
  if (!entry) throw new Error('nothing listed');
  for (const [status, word, code, retryable] of refusals) {
    refuse(status, word);
    await expect(source.listPage(null, signal), word).rejects.toMatchObject({ code, retryable });
    await expect(source.read(entry, undefined, signal), word).rejects.toMatchObject({ code, retryable });
  }
}

export async function listAll(source: Source, from: string | null = null): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let position = from; ; ) {
    const page = await source.listPage(position, signal);
    entries.push(...page.entries);
    if (page.next.kind === 'end') return entries;
    position = page.next.pageToken;
  }
}

export async function bytesOf(content: Content | Promise<Content>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await content).body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function expectCode(work: Promise<unknown>, ...codes: string[]): Promise<void> {
  const error = await work.then(
    () => null,
    (failure) => failure,
  );
  expect(error).toBeInstanceOf(ConnectorError);
  expect(codes).toContain((error as ConnectorError).code);
}

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
}

/** The credential without each of the fields in turn that it cannot do without. */
function without(credential: Record<string, unknown>, required: readonly string[]): Record<string, unknown>[] {
  return required.map((name) => Object.fromEntries(Object.entries(credential).filter(([each]) => each !== name)));
}

/** What a page says in short is what it says in full, and the same whenever it is asked for. */
function expectOutline({ entries, outline }: Page, again: Outline): void {
  if (!outline) throw new Error('there is no outline');
  expect(outline.keys).toEqual(entries.map(({ key }) => key));
  if (outline.ascii) expect(outline.keys.join('')).toMatch(/^[ -~]*$/);
  for (let from = 0; from <= entries.length; from++) {
    for (let to = from; to <= entries.length; to++) {
      expect(outline.entries(from, to)).toEqual(entries.slice(from, to));
      expect([again.form, again.words(from, to)]).toEqual([outline.form, outline.words(from, to)]);
      const pieces = entries.slice(from, to).map((_, i) => outline.words(from + i, from + i + 1));
      expect(pieces.join('')).toBe(outline.words(from, to));
    }
  }
}
