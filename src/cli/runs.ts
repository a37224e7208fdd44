import type { Answer } from '../contract/api/index.ts';
import { bytes, type Globals, print, printFacts, printJson, printTable } from './present.ts';
import { withSession } from './session.ts';

type Run = Answer<'runs.list'>['items'][number];

export function list(
  globals: Globals,
  options: { collection?: string; state?: Run['state']; limit: number },
): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('runs.list', options);
    if (globals.json) return printJson({ items });
    printTable(
      ['id', 'collection', 'state', 'started', 'added', 'changed', 'moved', 'removed', 'failed', 'fetched'],
      items.map((run) => [
        run.id,
        run.collection,
        run.state,
        run.startedAt,
        run.added,
        run.changed,
        run.moved,
        run.removed,
        run.failed,
        bytes(run.bytes),
      ]),
      'There is no run yet. Start one: lockgate sync <collection>',
    );
  });
}

export function show(globals: Globals, id: string): Promise<void> {
  return withSession(async ({ call }) => {
    const { failures, ...run } = await call('runs.get', { id });
    if (globals.json) return printJson({ ...run, failures });
    printFacts(factsOf(run));
    if (run.error) print(`\n${run.error.message}${run.error.hint ? `\n${run.error.hint}` : ''}`);
    if (run.state === 'needs_approval') print(`\n${approvalText(run)}`);
    if (failures.length === 0) return;
    print('\nNot fetched:');
    printTable(
      ['path', 'reason', 'attempts', 'since', 'tried next'],
      failures.map((each) => [
        each.path,
        `${each.code}: ${each.message}`,
        each.attempts,
        each.firstAt,
        each.givenUpAt ? 'given up' : (each.nextAt ?? 'by the next run'),
      ]),
      '',
    );
  });
}

const WAITS: Readonly<Record<NonNullable<Run['waitsFor']>, string>> = {
  credential: 'as many workers use its credential as may at once',
  quota: 'as many workers are at its bucket or tenant as may at once',
  workspace: 'as many workers are at its workspace as may at once',
  worker: 'no worker has the label that its source asks for (lockgate workers list)',
  secrets: 'the secret manager is away',
  source: 'the source is away',
  content: 'the content store is away',
};

export function approvalText(run: Run): string {
  return `${run.missing} documents are no longer in the source. Nothing was removed. If that is right: lockgate runs approve ${run.id}`;
}

function factsOf(run: Run): [string, unknown][] {
  return [
    ['id', run.id],
    ['collection', run.collection],
    ['path', run.path],
    ['state', run.waitsFor ? `${run.state}: ${WAITS[run.waitsFor]}` : run.state],
    ['tried again', run.retryAt],
    ['trigger', run.trigger],
    ['started', run.startedAt],
    ['finished', run.finishedAt],
    ['attempts', run.attempt],
    ['credential version', run.credentialVersion],
    ['listed', run.listed],
    ['excluded', run.excluded],
    ['unchanged', run.unchanged],
    ['added', run.added],
    ['changed', run.changed],
    ['moved', run.moved],
    ['removed', run.removed],
    ['failed', run.failed],
    ['fetched', bytes(run.bytes)],
    ['secret manager asked again', run.secretWaits],
    ['requests', run.requests],
    ['throttled', run.requestsThrottled],
    ['requests failed', run.requestsFailed],
  ];
}

export function cancel(globals: Globals, id: string): Promise<void> {
  return withSession(async ({ call }) => {
    const run = await call('runs.cancel', { id });
    if (globals.json) return printJson(run);
    print(run.state === 'cancelled' ? 'Cancelled.' : 'The run stops within seconds; what it has fetched stays.');
  });
}
