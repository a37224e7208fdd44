import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fileAuditLog } from '../src/audit/file-log.ts';
import type { Clock, Entry, Source } from '../src/contract/connector.ts';
import { ConnectorError } from '../src/contract/errors.ts';
import { Secret } from '../src/contract/secret.ts';
import { withAudit } from '../src/layers/audited.ts';
import { createEgress } from '../src/layers/egress.ts';
import { AdaptiveLimit, withLimit } from '../src/layers/limit.ts';
import { withRenewal } from '../src/layers/renew.ts';
import { withRetry } from '../src/layers/retry.ts';
import { withTimeout } from '../src/layers/timeout.ts';

const signal = new AbortController().signal;
const entry: Entry = { key: 'k', path: 'k', version: 'v', size: 6, modifiedAt: 0 };
const failure = (code: ConnectorError['code'], retryable: boolean, retryAfterMs?: number) =>
  new ConnectorError(code, code, {
    operation: 'list',
    retryable,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });

function source(parts: Partial<Source>): Source {
  return {
    check: async () => ({ reachable: true, readable: true, warnings: [] }),
    listPage: async () => ({ entries: [], next: { kind: 'end' } }),
    read: async () => ({ checksums: {}, body: (async function* () {})() }),
    [Symbol.asyncDispose]: async () => undefined,
    ...parts,
  };
}

/** A clock that jumps to where it is told to sleep. */
function jumpingClock(): Clock & { slept: number[] } {
  const slept: number[] = [];
  let now = 0;
  const sleep = async (ms: number) => {
    slept.push(ms);
    now += ms;
  };
  return { now: () => now, sleep, slept };
}

const policy = { attempts: 4, throttledForMs: 60_000, baseDelayMs: 100, maxDelayMs: 300, maxRetryAfterMs: 10_000 };

describe('retry', () => {
  test('repeats what is retryable, a bounded number of times, with growing delays', async () => {
    const clock = jumpingClock();
    let calls = 0;
    const failing = source({
      listPage: async () => {
        calls++;
        throw failure('unavailable', true);
      },
    });
    await expect(withRetry(failing, true, clock, policy).listPage(null, signal)).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(calls).toBe(4);
    expect(clock.slept.length).toBe(3);
    for (const [i, ms] of clock.slept.entries()) expect(ms).toBeLessThanOrEqual([100, 200, 300][i] as number);
  });

  test('does not repeat what is final, and waits as long as it is asked to but not for ever', async () => {
    const clock = jumpingClock();
    const answers = [
      failure('throttled', true, 7000),
      failure('throttled', true, 20_000),
      failure('permission_denied', false),
    ];
    const failing = source({
      listPage: async () => {
        throw answers.shift();
      },
    });
    const retrying = withRetry(failing, true, clock, policy);
    await expect(retrying.listPage(null, signal)).rejects.toMatchObject({ retryAfterMs: 20_000 });
    await expect(retrying.listPage(null, signal)).rejects.toMatchObject({ code: 'permission_denied' });
    expect(clock.slept.length).toBe(1);
    expect(clock.slept[0]).toBeGreaterThanOrEqual(7000);
    expect(clock.slept[0]).toBeLessThanOrEqual(7100);
  });

  test('an hour of throttling is waited out, and more than the patience is not', async () => {
    const clock = jumpingClock();
    const throttling = (untilMs: number) =>
      source({
        listPage: async () => {
          if (clock.now() < untilMs) throw failure('throttled', true, 120_000);
          return { entries: [], next: { kind: 'end' } };
        },
      });
    const patient = { ...policy, throttledForMs: 2 * 3_600_000, maxRetryAfterMs: 600_000 };
    await withRetry(throttling(3_600_000), true, clock, patient).listPage(null, signal);
    expect(clock.now()).toBeGreaterThanOrEqual(3_600_000);
    const start = clock.now();
    const endless = withRetry(throttling(Number.POSITIVE_INFINITY), true, clock, patient);
    await expect(endless.listPage(null, signal)).rejects.toMatchObject({ code: 'throttled' });
    expect(clock.now() - start).toBeLessThanOrEqual(2 * 3_600_000);
  });

  test('a body goes on from the byte where it broke', async () => {
    const starts: number[] = [];
    const breaking = source({
      read: async (_, range) => {
        const start = range?.start ?? 0;
        starts.push(start);
        return {
          checksums: {},
          body: (async function* () {
            yield Buffer.from('abcdef').subarray(start, start + 2);
            if (start < 4) throw failure('unavailable', true);
          })(),
        };
      },
    });
    const content = await withRetry(breaking, true, jumpingClock(), policy).read(entry, undefined, signal);
    expect(Buffer.concat(await Array.fromAsync(content.body)).toString()).toBe('abcdef');
    expect(starts).toEqual([0, 2, 4]);
  });
});

test('reads one after the other share a signal of their own; what failed or was aborted has one to itself, and nobody gets that again', async () => {
  const outer = new AbortController();
  const given: AbortSignal[] = [];
  const answers: (() => Promise<never>)[] = [];
  const reading = withTimeout(
    source({
      read: async (_, __, inner) => {
        given.push(inner);
        const fail = answers.shift();
        if (fail) return fail();
        const whole = Buffer.from('abcdef');
        return { checksums: {}, body: (async function* () {})(), whole };
      },
    }),
    50,
  );
  const read = () => reading.read(entry, undefined, outer.signal);
  for (let n = 0; n < 10; n++) await read();
  expect(new Set(given).size).toBe(1);
  await Promise.all([read(), read(), read()]);
  expect(new Set(given.slice(-3)).size).toBe(3);
  answers.push(() => new Promise(() => undefined));
  await expect(read()).rejects.toMatchObject({ code: 'timeout' });
  const late = given.at(-1);
  expect(late?.aborted).toBe(true);
  for (let n = 0; n < 10; n++) await read();
  expect(given.slice(-10).every((inner) => inner !== late && !inner.aborted)).toBe(true);
  answers.push(() => new Promise(() => undefined));
  const stuck = read();
  const [active, ended] = [given.at(-1), given.at(-2)];
  outer.abort();
  await expect(stuck).rejects.toMatchObject({ code: 'timeout' });
  expect([active?.aborted, active === ended]).toEqual([true, true]);
  await read();
  expect(given.at(-1)?.aborted).toBe(true);
});

test('a timeout ends a call that ignores its signal, and frees its slot', async () => {
  const limit = new AdaptiveLimit(jumpingClock(), 1, 1);
  const stuck = source({
    listPage: () => new Promise(() => undefined),
    read: async () => ({
      checksums: {},
      body: (async function* () {
        await new Promise(() => undefined);
      })(),
    }),
  });
  const bounded = withLimit(withTimeout(stuck, 20), limit);
  await expect(bounded.listPage(null, signal)).rejects.toMatchObject({ code: 'timeout', retryable: true });
  const content = await bounded.read(entry, undefined, signal);
  await expect(Array.fromAsync(content.body)).rejects.toMatchObject({ code: 'timeout' });
  expect(limit.active).toBe(0);
});

describe('the adaptive limit', () => {
  test('halves when throttled, once for each window, and grows back by one', async () => {
    const limit = new AdaptiveLimit(jumpingClock(), 16, 64);
    const finish = async (outcome: 'ok' | 'throttled') => (await limit.acquire(signal))(outcome);
    await finish('throttled');
    expect(limit.allowed).toBe(8);
    await finish('throttled');
    expect(limit.allowed).toBe(8);
    for (let i = 0; i < 8; i++) await finish('ok');
    expect(limit.allowed).toBe(9);
    for (let i = 0; i < 2000; i++) await finish('ok');
    expect(limit.allowed).toBeGreaterThan(50);
    expect(limit.allowed).toBeLessThanOrEqual(64);
  });

  test('leaves the account alone for as long as one throttled call was asked to', async () => {
    const clock = jumpingClock();
    const limit = new AdaptiveLimit(clock, 4, 4);
    let calls = 0;
    const throttledOnce = source({
      listPage: async () => {
        if (calls++ === 0) throw failure('throttled', true, 30_000);
        return { entries: [], next: { kind: 'end' } };
      },
    });
    const limited = withLimit(throttledOnce, limit);
    await expect(limited.listPage(null, signal)).rejects.toMatchObject({ code: 'throttled' });
    expect(clock.slept).toEqual([]);
    await limited.listPage(null, signal);
    expect(clock.slept).toEqual([30_000]);
  });

  test('never lets more through than it allows, and an aborted waiter leaves the queue', async () => {
    const limit = new AdaptiveLimit(jumpingClock(), 3, 3);
    const held = await Promise.all([1, 2, 3].map(() => limit.acquire(signal)));
    const stop = new AbortController();
    const aborted = limit.acquire(stop.signal);
    const waiting = limit.acquire(signal);
    stop.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    expect(limit.active).toBe(3);
    held[0]?.('ok');
    held[0]?.('ok');
    (await waiting)('ok');
    expect(limit.active).toBe(2);
  });
});

test('a credential rotated in mid-run is taken up once, and calls that fail together share one access', async () => {
  let reopened = 0;
  let closed = 0;
  const opened = (works: boolean) =>
    source({
      listPage: async () => {
        if (!works) throw failure('credential_rejected', false);
        return { entries: [], next: { kind: 'end' } };
      },
      [Symbol.asyncDispose]: async () => void closed++,
    });
  const renewing = withRenewal(opened(false), async () => {
    reopened++;
    return opened(true);
  });
  await Promise.all([1, 2, 3, 4].map(() => renewing.listPage(null, signal)));
  expect(reopened).toBe(1);
  await renewing[Symbol.asyncDispose]();
  expect(closed).toBe(2);
  const stale = withRenewal(opened(false), async () => null);
  await expect(stale.listPage(null, signal)).rejects.toMatchObject({ code: 'credential_rejected' });
});

test('egress: internal addresses in every spelling are refused unless listed', () => {
  const egress = createEgress(['http://127.0.0.1:9000']);
  expect(() => egress.assertEndpoint(new URL('http://127.0.0.1:9000'), 'public')).not.toThrow();
  const bad = [
    'http://127.0.0.1:9001',
    'https://127.0.0.1:9000',
    'https://127.1',
    'https://2130706433',
    'https://0x7f.1',
    'https://[::ffff:127.0.0.1]',
    'https://[::ffff:7f00:1]',
    'https://[fe80::1]',
    'https://192.168.1.1',
    'https://x.localhost',
    'https://100.64.0.1',
  ];
  for (const url of bad) expect(() => egress.assertEndpoint(new URL(url), 'public'), url).toThrow(ConnectorError);
  expect(() => egress.assertEndpoint(new URL('https://storage.example.com'), 'public')).not.toThrow();
  expect(() => egress.assertEndpoint(new URL('https://storage.example.com'), 'listed')).toThrow(ConnectorError);
});

describe('audit', () => {
  const reader = {
    access: async () => ({
      ref: { manager: 'm', workspace: 'w', secretId: 's', version: '7' },
      connectorType: 's3' as const,
      scope: null,
      value: new Secret({ k: 'canary' }),
    }),
  };
  const ref = { manager: 'm', workspace: 'w', secretId: 's' };

  test('an access is written down before the value is released', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-audit-'));
    const path = join(folder, 'deep', 'access.jsonl');
    const audited = withAudit(
      reader,
      fileAuditLog({ file: path, keyFile: join(folder, 'key') }, () => 0),
    );
    await audited.access(ref, { actor: 'worker 1', reason: 'sync', runId: 'r1' });
    const lines = (await readFile(path, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ outcome }) => outcome)).toEqual(['attempt', 'ok']);
    expect(lines[1]).toMatchObject({
      action: 'secret.access',
      actor: 'worker 1',
      reason: 'sync',
      runId: 'r1',
      secret: { secretId: 's', version: '7' },
    });
    expect(JSON.stringify(lines)).not.toContain('canary');
    await rm(folder, { recursive: true });
  });

  test('when the log cannot be written, the value is neither read nor released', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lockgate-audit-'));
    await appendFile(join(folder, 'file'), '');
    let read = 0;
    const counting = {
      access: async () => {
        read++;
        return reader.access();
      },
    };
    const audited = withAudit(
      counting,
      fileAuditLog({ file: join(folder, 'file', 'access.jsonl'), keyFile: join(folder, 'key') }, () => 0),
    );
    await expect(audited.access(ref, { actor: 'a', reason: 'r' })).rejects.toMatchObject({ code: 'audit_unavailable' });
    expect(read).toBe(0);
    await rm(folder, { recursive: true });
  });
});
