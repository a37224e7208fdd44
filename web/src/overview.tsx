import { Button, Card, Group, List, SegmentedControl, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'wouter';
import { type Answer, useAnswer } from './api.ts';
import { useMay } from './me.tsx';
import { bytes, count, plural, When } from './parts/amounts.tsx';
import { Ends } from './parts/badges.tsx';
import { Bars } from './parts/bars.tsx';
import { Page, To } from './parts/page.tsx';
import { collectionPath, secretPath } from './parts/paths.ts';
import { Rows } from './parts/rows.tsx';
import { Asked, Empty } from './parts/states.tsx';

type Glance = Answer<'overview.get'>;

const REFRESH_MS = 10_000;
const SOON_MS = 30 * 86_400_000;

export function Overview() {
  const overview = useAnswer('overview.get', { days: 30 }, { every: REFRESH_MS });
  return (
    <Page title="Overview">
      <Asked of={overview}>
        {(glance) => (
          <>
            {glance.sources.total === 0 ? <FirstSteps glance={glance} /> : null}
            <Figures glance={glance} />
            <Days glance={glance} />
            <SimpleGrid cols={{ base: 1, md: 2 }}>
              <Attention glance={glance} />
              <Expiring />
            </SimpleGrid>
          </>
        )}
      </Asked>
    </Page>
  );
}

function FirstSteps({ glance }: { glance: Glance }) {
  const secrets = useAnswer('secrets.list', {});
  const hasSecret = (secrets.data?.items.length ?? 0) > 0;
  return (
    <Card withBorder>
      <Stack gap="xs">
        <Title order={2} size="h4">
          Three steps to the first documents
        </Title>
        <List type="ordered" spacing="xs">
          <List.Item>
            {hasSecret ? 'There is a credential. ' : 'Give the secret manager a credential: '}
            <To href="/secrets?new">New secret</To>
          </List.Item>
          <List.Item>
            {glance.collections > 0 ? 'There is a collection. ' : 'Make a collection for the documents: '}
            <To href="/collections">Collections</To>
          </List.Item>
          <List.Item>
            In the collection, add documents: choose the credential and the path, and switch auto-sync on.
          </List.Item>
        </List>
      </Stack>
    </Card>
  );
}

function Figures({ glance }: { glance: Glance }) {
  const { sources } = glance;
  const figures = [
    ['Documents', count(glance.documents), bytes(glance.bytes), '/collections'],
    ['Collections', count(glance.collections), plural(sources.total, 'source'), '/collections'],
    ['Auto-sync', count(sources.autoSync), `${sources.paused} paused, ${sources.failing} failing`, '/collections'],
    ['Runs', count(glance.running), `under way, ${glance.waiting} waiting for approval`, '/runs'],
  ] as const;
  return (
    <SimpleGrid cols={{ base: 2, md: 4 }}>
      {figures.map(([name, value, more, href]) => (
        <Card key={name} withBorder component={Link} href={href}>
          <Text size="sm" c="dimmed">
            {name}
          </Text>
          <Text fz={28} fw={650}>
            {value}
          </Text>
          <Text size="xs" c="dimmed">
            {more}
          </Text>
        </Card>
      ))}
    </SimpleGrid>
  );
}

const SERIES = {
  documents: 'Documents',
  bytes: 'Bytes fetched',
  runs: 'Runs',
} as const;

function Days({ glance }: { glance: Glance }) {
  const [series, setSeries] = useState<keyof typeof SERIES>('documents');
  const bars = glance.days.map((day) => ({
    label: day.day,
    value: day[series],
    words: `${day.day}: ${series === 'bytes' ? bytes(day.bytes) : count(day[series])}; ${day.added} added, ${day.changed} changed, ${day.removed} removed, ${plural(day.failedRuns, 'failed run')}`,
    failed: series === 'runs' && day.failedRuns > 0,
  }));
  const most = Math.max(...bars.map(({ value }) => value));
  return (
    <Card withBorder>
      <Group justify="space-between" mb="sm">
        <Title order={2} size="h4">
          The last 30 days
        </Title>
        <SegmentedControl
          size="xs"
          aria-label="What is shown"
          value={series}
          onChange={(value) => setSeries(value as keyof typeof SERIES)}
          data={Object.entries(SERIES).map(([value, label]) => ({ value, label }))}
        />
      </Group>
      <Bars
        title={`${SERIES[series]}, by day`}
        bars={bars}
        mostWords={series === 'bytes' ? bytes(most) : count(most)}
      />
    </Card>
  );
}

const DO: Readonly<Record<Glance['attention'][number]['kind'], string>> = {
  needs_approval: 'Look at the deletions',
  paused: 'See the source',
  failing: 'See the last run',
  failed_documents: 'See the documents',
};

function Attention({ glance }: { glance: Glance }) {
  const where = ({ kind, runId, collection }: Glance['attention'][number]) => {
    if (runId) return `/runs/${runId}`;
    return collectionPath(collection, kind === 'failed_documents' ? 'failures' : 'sources');
  };
  return (
    <Card withBorder>
      <Title order={2} size="h4" mb="sm">
        Needs somebody
      </Title>
      {glance.attention.length === 0 ? (
        <Text c="dimmed" size="sm">
          Nothing: no source fails, and no deletion waits for approval.
        </Text>
      ) : (
        <Stack gap="sm">
          {glance.attention.slice(0, 8).map((item) => (
            <div key={`${item.kind} ${item.sourceId}`}>
              <Text fw={500} className="path">
                {item.collection}: {item.path}
              </Text>
              <Text size="sm" className="path">
                {item.message} <When time={item.since} none="" />
              </Text>
              <To href={where(item)}>{DO[item.kind]}</To>
            </div>
          ))}
        </Stack>
      )}
    </Card>
  );
}

function Expiring() {
  const secrets = useAnswer('secrets.list', {});
  const may = useMay('secrets');
  return (
    <Card withBorder>
      <Title order={2} size="h4" mb="sm">
        Ends soon
      </Title>
      <Asked of={secrets}>
        {({ items }) => {
          const soon = items.filter(({ expiresAt }) => expiresAt && Date.parse(expiresAt) < Date.now() + SOON_MS);
          if (soon.length === 0 && items.length === 0)
            return (
              <Empty
                title="No credential yet"
                action={
                  may && (
                    <Button component={Link} href="/secrets?new" variant="default">
                      New secret
                    </Button>
                  )
                }
              >
                Sources take their credentials from the secret manager.
              </Empty>
            );
          if (soon.length === 0)
            return (
              <Text c="dimmed" size="sm">
                No credential says that it ends within 30 days.
              </Text>
            );
          return (
            <Rows
              label="Credentials that end soon"
              rows={soon}
              keyOf={({ id }) => id}
              columns={[
                { title: 'Credential', cell: ({ id }) => <To href={secretPath(id)}>{id}</To> },
                {
                  title: 'Ends',
                  cell: ({ expiresAt }) => <Ends at={expiresAt} words={expiresAt?.slice(0, 10) ?? ''} />,
                },
              ]}
            />
          );
        }}
      </Asked>
    </Card>
  );
}
