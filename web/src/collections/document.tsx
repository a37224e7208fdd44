import { Badge, Button, Drawer, Group, Stack, Text, Title } from '@mantine/core';
import { lazy, Suspense } from 'react';
import type { Document } from '../answers.ts';
import { useAnswer } from '../api.ts';
import { bytes, dateTime } from '../parts/amounts.tsx';
import { Boundary } from '../parts/boundary.tsx';
import { SIZE } from '../parts/columns.tsx';
import { Facts, Rows } from '../parts/rows.tsx';
import { Asked } from '../parts/states.tsx';

const Contents = lazy(() => import('./contents.tsx').then((part) => ({ default: part.Contents })));

/** One document: what is in it, what is known of it, and what became of it. */
export function DocumentDrawer({ document, onClose }: { document: Document | null; onClose: () => void }) {
  return (
    <Drawer
      opened={document !== null}
      onClose={onClose}
      title={document?.path.split('/').at(-1) ?? ''}
      position="right"
      size="xl"
    >
      {document && <Details document={document} />}
    </Drawer>
  );
}

function Details({ document }: { document: Document }) {
  return (
    <Stack>
      <Facts
        facts={[
          ['Path', document.path],
          ['Type', document.contentType ?? 'not told'],
          ['Size', `${bytes(document.size)} (${document.size} bytes)`],
          ['Modified', dateTime(document.modifiedAt)],
          ['Stored', dateTime(document.storedAt)],
          ['SHA-256', document.sha256],
          ['Version', document.version],
          ...(document.warning ? ([['Warning', document.warning]] as const) : []),
        ]}
      />
      <Group>
        <Button component="a" href={`/v1/documents/${document.id}/content`} download variant="default">
          Download
        </Button>
      </Group>
      <Title order={3} size="h5">
        Preview
      </Title>
      <Boundary at={document.id}>
        <Suspense fallback={<Text size="sm">Loading…</Text>}>
          <Contents document={document} />
        </Suspense>
      </Boundary>
      <History id={document.id} />
    </Stack>
  );
}

function History({ id }: { id: string }) {
  const history = useAnswer('documents.history', { id });
  return (
    <>
      <Title order={3} size="h5">
        History
      </Title>
      <Asked of={history}>
        {({ items }) => (
          <Rows
            label="History"
            rows={items}
            keyOf={({ number }) => String(number)}
            columns={[
              {
                title: 'Change',
                cell: ({ kind }) => (
                  <Badge variant="default" tt="none">
                    {kind}
                  </Badge>
                ),
              },
              { title: 'When', cell: ({ at }) => dateTime(at) },
              SIZE,
              { title: 'SHA-256', cell: ({ sha256 }) => <code>{sha256.slice(0, 12)}</code> },
            ]}
          />
        )}
      </Asked>
    </>
  );
}
