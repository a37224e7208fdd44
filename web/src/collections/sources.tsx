import { Button, Card, Group, Menu, SimpleGrid, Stack, Text } from '@mantine/core';
import { IconDots, IconPlayerPlay } from '@tabler/icons-react';
import { useState } from 'react';
import { Link, useLocation } from 'wouter';
import type { Source } from '../answers.ts';
import { type Answer, tellDone, tellRefusal, useAnswer, useOperation } from '../api.ts';
import { useMay } from '../me.tsx';
import { bytes, plural, When } from '../parts/amounts.tsx';
import { SourceState, typeName } from '../parts/badges.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { To } from '../parts/page.tsx';
import { collectionPath, secretPath } from '../parts/paths.ts';
import { Empty } from '../parts/states.tsx';
import { useManagers } from '../secrets/manager-choice.tsx';
import { Report } from '../secrets/secret-form.tsx';
import { EditSchedule } from './edit-schedule.tsx';

export function Sources({ collection, sources }: { collection: string; sources: readonly Source[] }) {
  const may = useMay('edit');
  if (sources.length === 0) {
    return (
      <Empty
        title="No source yet"
        action={
          may && (
            <Button component={Link} href={collectionPath(collection, 'add')}>
              Add documents
            </Button>
          )
        }
      >
        Say which credential to use and which path to follow; the documents come by themselves.
      </Empty>
    );
  }
  return (
    <Stack>
      {sources.map((source) => (
        <SourceCard key={source.id} source={source} />
      ))}
    </Stack>
  );
}

function SourceCard({ source }: { source: Source }) {
  const may = useMay('edit');
  const manager = useManagers().find((each) => each.name === source.credentialManager && !each.default)?.name ?? '';
  const [report, setReport] = useState<Answer<'sources.check'> | null>(null);
  return (
    <Card withBorder>
      <Stack gap="sm">
        <Group justify="space-between" align="flex-start">
          <Stack gap={2}>
            <Text fw={600} className="path">
              {source.path}
            </Text>
            <Text size="sm" c="dimmed">
              {typeName(source.connectorType)} with{' '}
              <To href={secretPath(source.credentialId, manager)}>{source.credentialId}</To>
              {manager && ` in ${manager}`}
            </Text>
          </Stack>
          <Group gap="xs">
            <SourceState source={source} />
            {may && <Todo source={source} onReport={setReport} />}
          </Group>
        </Group>
        <Figures source={source} />
        {source.pausedAt && (
          <Text size="sm">
            Paused <When time={source.pausedAt} />: {source.pausedReason}
          </Text>
        )}
        {report && <Report report={report} />}
      </Stack>
    </Card>
  );
}

function Figures({ source }: { source: Source }) {
  const words = useAnswer(
    'schedules.explain',
    { schedule: source.schedule as never },
    { enabled: source.schedule !== null },
  );
  const filters = [...source.include, ...source.exclude.map((glob) => `not ${glob}`)];
  const figures = [
    ['Documents', `${plural(source.documents, 'document')}, ${bytes(source.bytes)}`],
    ['Filters', filters.length > 0 ? filters.join(', ') : 'everything'],
    ['Schedule', source.schedule ? (words.data?.words ?? '…') : 'only when asked'],
    ['Last complete run', <When key="last" time={source.lastCompletedAt} />],
    [
      'Next run',
      source.autoSync && !source.pausedAt ? <When key="next" time={source.nextDueAt} none="none" /> : 'none',
    ],
  ] as const;
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, md: 5 }} spacing="xs">
      {figures.map(([name, value]) => (
        <div key={name}>
          <Text size="xs" c="dimmed">
            {name}
          </Text>
          <Text size="sm" className="path" component="div">
            {value}
          </Text>
        </div>
      ))}
    </SimpleGrid>
  );
}

function Todo({ source, onReport }: { source: Source; onReport: (report: Answer<'sources.check'>) => void }) {
  const { id } = source;
  const sync = useOperation('sources.sync');
  const check = useOperation('sources.check', { quiet: true });
  const pause = useOperation('sources.pause');
  const resume = useOperation('sources.resume');
  const remove = useOperation('sources.remove');
  const [, go] = useLocation();
  const [editing, setEditing] = useState(false);
  const run = async () => go(`/runs/${(await sync.mutateAsync({ id })).id}`);
  return (
    <>
      <Button
        size="xs"
        variant="default"
        leftSection={<IconPlayerPlay size={14} aria-hidden />}
        loading={sync.isPending}
        onClick={() => run().catch(() => undefined)}
      >
        Run now
      </Button>
      <EditSchedule source={source} opened={editing} onClose={() => setEditing(false)} />
      <Confirm
        title="Remove the source?"
        does="Remove it with its documents"
        onConfirm={async () => {
          await remove.mutateAsync({ id, documents: 'remove' });
          tellDone('The source is removed.');
        }}
        trigger={(ask) => (
          <Menu position="bottom-end">
            <Menu.Target>
              <Button size="xs" variant="default" aria-label={`More to do with ${source.path}`}>
                <IconDots size={16} aria-hidden />
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item onClick={() => check.mutateAsync({ id }).then(onReport, tellRefusal)}>Check it</Menu.Item>
              <Menu.Item onClick={() => setEditing(true)}>Schedule and filters</Menu.Item>
              {source.pausedAt ? (
                <Menu.Item onClick={() => resume.mutate({ id })}>Resume</Menu.Item>
              ) : (
                <Menu.Item onClick={() => pause.mutate({ id })}>Pause</Menu.Item>
              )}
              <Menu.Item onClick={ask}>Remove</Menu.Item>
            </Menu.Dropdown>
          </Menu>
        )}
      >
        <Text>
          {plural(source.documents, 'document')} leave the collection. What lies in the cloud storage stays. To keep the
          documents as they are: <code>lockgate sources remove {id} --keep-documents</code>
        </Text>
      </Confirm>
    </>
  );
}
