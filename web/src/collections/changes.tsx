import { Badge, Button, Group, Text } from '@mantine/core';
import { useState } from 'react';
import { useAnswer } from '../api.ts';
import { count, When } from '../parts/amounts.tsx';
import { PATH, SIZE } from '../parts/columns.tsx';
import { Rows } from '../parts/rows.tsx';
import { Asked, Empty } from '../parts/states.tsx';

const SHOWN = 50;

/** The change feed, the newest first, by stretches of its numbers. */
export function Changes({ collection, last }: { collection: string; last: number }) {
  const [back, setBack] = useState(0);
  const after = Math.max(0, last - SHOWN * (back + 1));
  const limit = Math.min(SHOWN, last - SHOWN * back - after);
  const changes = useAnswer('changes.list', { collection, after, limit: Math.max(1, limit) }, { enabled: last > 0 });
  if (last === 0)
    return (
      <Empty title="No change yet">Each document that is added, changed, moved or removed gets a number here.</Empty>
    );
  return (
    <Asked of={changes}>
      {({ items }) => (
        <>
          <Rows
            label="Changes"
            rows={[...items].reverse()}
            keyOf={({ number }) => String(number)}
            columns={[
              { title: 'Number', cell: ({ number }) => count(number), number: true },
              {
                title: 'Change',
                cell: ({ kind }) => (
                  <Badge variant="default" tt="none">
                    {kind}
                  </Badge>
                ),
              },
              PATH,
              SIZE,
              { title: 'When', cell: ({ at }) => <When time={at} /> },
            ]}
          />
          <Group mt="sm" justify="space-between">
            <Text size="sm" c="dimmed">
              Programs follow it: <code>GET /v1/collections/{collection}/changes?after=…</code>
            </Text>
            <Group gap="xs">
              <Button variant="default" size="compact-md" disabled={back === 0} onClick={() => setBack(back - 1)}>
                Newer
              </Button>
              <Button variant="default" size="compact-md" disabled={after === 0} onClick={() => setBack(back + 1)}>
                Older
              </Button>
            </Group>
          </Group>
        </>
      )}
    </Asked>
  );
}
