import { Card, Group, NativeSelect, Text, Title } from '@mantine/core';
import { useState } from 'react';
import type { Run } from '../answers.ts';
import { type Given, useAnswer } from '../api.ts';
import { bytes, When } from '../parts/amounts.tsx';
import { RunState } from '../parts/badges.tsx';
import { Page, To } from '../parts/page.tsx';
import { Rows } from '../parts/rows.tsx';
import { Asked, Empty } from '../parts/states.tsx';
import { Timeline } from './timeline.tsx';
import { didWhat, took } from './words.ts';

const REFRESH_MS = 3000;
const STATES = ['', 'running', 'queued', 'needs_approval', 'failed', 'completed', 'cancelled'] as const;

export function Runs() {
  const [state, setState] = useState<(typeof STATES)[number]>('');
  const given: Given<'runs.list'> = { limit: 100, ...(state ? { state } : {}) };
  const runs = useAnswer('runs.list', given, { every: REFRESH_MS });
  return (
    <Page title="Runs" about="Each is one pass over one source.">
      <Group align="flex-end">
        <NativeSelect
          label="State"
          value={state}
          onChange={(event) => setState(event.currentTarget.value as typeof state)}
          data={STATES.map((value) => ({ value, label: value.replace('_', ' ') || 'any' }))}
        />
      </Group>
      <Asked of={runs}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No run">
              {state
                ? 'None is in that state.'
                : 'One begins when a source is due, or when somebody says "Run now" at it.'}
            </Empty>
          ) : (
            <>
              <Card withBorder>
                <Title order={2} size="h4" mb="sm">
                  When they ran
                </Title>
                <Timeline runs={items} />
              </Card>
              <RunRows runs={items} />
            </>
          )
        }
      </Asked>
    </Page>
  );
}

function RunRows({ runs }: { runs: readonly Run[] }) {
  return (
    <Rows
      label="Runs"
      rows={runs}
      keyOf={({ id }) => id}
      columns={[
        {
          title: 'Begun',
          cell: ({ id, createdAt }) => (
            <To href={`/runs/${id}`}>
              <When time={createdAt} />
            </To>
          ),
        },
        { title: 'State', cell: ({ state }) => <RunState state={state} /> },
        {
          title: 'Source',
          cell: ({ collection, path }) => (
            <>
              <Text span size="sm" fw={500}>
                {collection}
              </Text>{' '}
              <span className="path">{path}</span>
            </>
          ),
        },
        { title: 'What it did', cell: (run) => didWhat(run) },
        { title: 'Fetched', cell: (run) => bytes(run.bytes), number: true },
        { title: 'Took', cell: (run) => took(run), number: true },
      ]}
    />
  );
}
