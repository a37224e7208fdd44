import { Alert, Button, Card, Group, Progress, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useLocation } from 'wouter';
import { type Answer, tellDone, useAnswer, useOperation } from '../api.ts';
import { FailureRows } from '../collections/failures.tsx';
import { useMay } from '../me.tsx';
import { bytes, count, dateTime, duration } from '../parts/amounts.tsx';
import { RunState } from '../parts/badges.tsx';
import { Page, To } from '../parts/page.tsx';
import { collectionPath } from '../parts/paths.ts';
import { Facts } from '../parts/rows.tsx';
import { Asked } from '../parts/states.tsx';
import { type LiveRun, useLiveRun } from './events.ts';
import { Removals } from './removals.tsx';
import { didWhat, took } from './words.ts';

type Run = Answer<'runs.get'>;
const ABOVE = [{ title: 'Runs', href: '/runs' }];
const WAITS: Readonly<Record<NonNullable<Run['waitsFor']>, string>> = {
  credential: 'As many workers use this credential as may.',
  quota: 'As many workers draw on this account as may.',
  workspace: 'As many workers are at this workspace as may.',
  secrets: 'The secret manager is away.',
  source: 'The source is away.',
  content: 'The content store is away.',
  worker: 'No worker with the label of the source is there. See "lockgate workers list".',
};

export function RunPage({ id }: { id: string }) {
  const run = useAnswer('runs.get', { id });
  const active = run.data?.state === 'queued' || run.data?.state === 'running';
  const live = useLiveRun(id, active);
  return (
    <Page title="Run" above={ABOVE} actions={run.data && <Actions run={{ ...run.data, ...live }} />}>
      <Asked of={run}>{(found) => <Told run={{ ...found, ...live }} live={live} />}</Asked>
    </Page>
  );
}

function Actions({ run }: { run: Run }) {
  const may = useMay('edit');
  const cancel = useOperation('runs.cancel');
  const retry = useOperation('runs.retry');
  const [, go] = useLocation();
  if (!may) return null;
  if (run.state === 'queued' || run.state === 'running') {
    return (
      <Button variant="default" loading={cancel.isPending} onClick={() => cancel.mutate({ id: run.id })}>
        Cancel
      </Button>
    );
  }
  const again = async () => go(`/runs/${(await retry.mutateAsync({ id: run.id })).id}`);
  return (
    <Button variant="default" loading={retry.isPending} onClick={() => again().catch(() => undefined)}>
      Run again
    </Button>
  );
}

function Told({ run, live }: { run: Run; live: LiveRun | null }) {
  return (
    <Stack gap="lg">
      <Group>
        <RunState state={run.state} />
        <Text className="path">
          <To href={collectionPath(run.collection)}>{run.collection}</To>: {run.path}
        </Text>
      </Group>
      {run.error && (
        <Alert color="red" variant="outline" role="alert" title={run.error.message}>
          {run.error.hint}
        </Alert>
      )}
      {run.waitsFor && (
        <Alert color="orange" variant="outline" role="status" title="It waits">
          {WAITS[run.waitsFor]}
          {run.retryAt && ` It is asked again at ${dateTime(run.retryAt)}.`}
        </Alert>
      )}
      {(run.state === 'running' || run.state === 'queued') && <Live run={run} live={live} />}
      {run.state === 'needs_approval' && <Approval run={run} />}
      <Figures run={run} />
      {run.failures.length > 0 && (
        <>
          <Title order={2} size="h4">
            Could not be fetched
          </Title>
          <FailureRows items={run.failures} />
        </>
      )}
    </Stack>
  );
}

function Live({ run, live }: { run: Run; live: LiveRun | null }) {
  const done = run.plannedBytes > 0 ? Math.min(100, (run.bytes / run.plannedBytes) * 100) : 0;
  const rate = live ? `${bytes(live.bytesPerSecond)} each second` : '';
  const left = live?.secondsLeft == null ? '' : `, ${duration(live.secondsLeft * 1000)} left`;
  return (
    <Card withBorder>
      <Stack gap="xs">
        <Text role="status">
          {run.listingComplete ? 'Listed all' : 'Listing:'} {count(run.listed)} objects; fetched{' '}
          {count(run.added + run.changed)} of {count(run.planned)}, {bytes(run.bytes)} of {bytes(run.plannedBytes)}
        </Text>
        <Progress value={done} animated aria-label="Fetched of what is to be fetched" />
        <Text size="sm" c="dimmed">
          {rate}
          {left}
          {run.requestsThrottled > 0 && ` · the source slowed us down ${count(run.requestsThrottled)} times`}
        </Text>
      </Stack>
    </Card>
  );
}

function Approval({ run }: { run: Run }) {
  const may = useMay('edit');
  const approve = useOperation('runs.approve');
  const cancel = useOperation('runs.cancel');
  const remove = async () => {
    await approve.mutateAsync({ id: run.id });
    tellDone('Approved: the documents are being removed.');
  };
  return (
    <Card withBorder>
      <Stack gap="sm">
        <Title order={2} size="h4">
          {count(run.missing)} documents would be removed
        </Title>
        <Text size="sm">
          The source does not list them any more. That is more than it may remove by itself, so somebody has to look at
          them: is the path still right, and does the credential still see everything?
        </Text>
        <Removals id={run.id} />
        {may && (
          <Group>
            <Button color="red.9" loading={approve.isPending} onClick={() => remove().catch(() => undefined)}>
              Remove them
            </Button>
            <Button variant="default" onClick={() => cancel.mutate({ id: run.id })}>
              Keep them
            </Button>
          </Group>
        )}
      </Stack>
    </Card>
  );
}

function Figures({ run }: { run: Run }) {
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }}>
      <Facts
        facts={[
          ['What it did', didWhat(run)],
          ['Begun by', run.trigger === 'schedule' ? 'its schedule' : 'somebody'],
          ['Asked for', dateTime(run.createdAt)],
          ['Started', run.startedAt ? dateTime(run.startedAt) : 'not yet'],
          ['Ended', run.finishedAt ? dateTime(run.finishedAt) : 'not yet'],
          ['Took', took(run)],
          ['Credential version', run.credentialVersion ?? 'none yet'],
        ]}
      />
      <Facts
        facts={[
          ['Listed', count(run.listed)],
          ['Left out by filters', count(run.excluded)],
          ['Unchanged', count(run.unchanged)],
          ['Added', count(run.added)],
          ['Changed', count(run.changed)],
          ['Moved', count(run.moved)],
          ['Removed', count(run.removed)],
          ['Failed', count(run.failed)],
          ['Fetched', bytes(run.bytes)],
          [
            'Requests',
            `${count(run.requests)}, ${count(run.requestsThrottled)} throttled, ${count(run.requestsFailed)} failed`,
          ],
        ]}
      />
    </SimpleGrid>
  );
}
