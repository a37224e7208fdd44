import { Anchor, Group, NativeSelect, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useState } from 'react';
import type { Document } from '../answers.ts';
import { type Given, useAnswer } from '../api.ts';
import { plural, When } from '../parts/amounts.tsx';
import { MODIFIED, SIZE } from '../parts/columns.tsx';
import { Pager, usePages } from '../parts/pager.tsx';
import { Rows } from '../parts/rows.tsx';
import { Asked, Empty } from '../parts/states.tsx';
import { DocumentDrawer } from './document.tsx';

interface Wanted {
  readonly search: string;
  readonly type: string;
  readonly status: '' | 'ok' | 'warning';
  readonly sort: NonNullable<Given<'documents.list'>['sort']>;
}

const EVERYTHING: Wanted = { search: '', type: '', status: '', sort: 'path' };

const SORTS: readonly (readonly [Wanted['sort'], string])[] = [
  ['path', 'by path'],
  ['-modified', 'newest first'],
  ['modified', 'oldest first'],
  ['-size', 'largest first'],
  ['size', 'smallest first'],
];

export function Documents({ collection }: { collection: string }) {
  const [wanted, setWanted] = useState(EVERYTHING);
  const [settled] = useDebouncedValue(wanted, 300);
  const pages = usePages();
  const [opened, setOpened] = useState<Document | null>(null);
  const { search, type, status, sort } = settled;
  const documents = useAnswer('documents.list', {
    collection,
    limit: 50,
    sort,
    ...(search.trim() ? { search: search.trim() } : {}),
    ...(type.trim() ? { type: type.trim() } : {}),
    ...(status ? { status } : {}),
    ...(pages.cursor ? { cursor: pages.cursor } : {}),
  });
  const filtered = Boolean(search.trim() || type.trim() || status);
  const want = (next: Wanted) => {
    setWanted(next);
    pages.anew();
  };
  return (
    <>
      <Choice value={wanted} onChange={want} />
      <Asked of={documents}>
        {({ items, total, nextCursor }) =>
          items.length === 0 ? (
            <Empty title="No document">
              {filtered ? 'None is like that. Loosen the filters.' : 'They arrive with the first run of a source.'}
            </Empty>
          ) : (
            <>
              <List items={items} onOpen={setOpened} />
              <Pager pages={pages} next={nextCursor} words={plural(total, 'document')} />
            </>
          )
        }
      </Asked>
      <DocumentDrawer document={opened} onClose={() => setOpened(null)} />
    </>
  );
}

function Choice({ value, onChange }: { value: Wanted; onChange: (value: Wanted) => void }) {
  const set = (change: Partial<Wanted>) => onChange({ ...value, ...change });
  return (
    <Group mb="sm" align="flex-end">
      <TextInput
        label="Search"
        placeholder="part of the path"
        value={value.search}
        onChange={(event) => set({ search: event.currentTarget.value })}
      />
      <TextInput
        label="Content type"
        placeholder="application/pdf"
        value={value.type}
        onChange={(event) => set({ type: event.currentTarget.value })}
      />
      <NativeSelect
        label="State"
        value={value.status}
        onChange={(event) => set({ status: event.currentTarget.value as Wanted['status'] })}
        data={[
          { value: '', label: 'any' },
          { value: 'ok', label: 'as listed' },
          { value: 'warning', label: 'with a warning' },
        ]}
      />
      <NativeSelect
        label="Order"
        value={value.sort}
        onChange={(event) => set({ sort: event.currentTarget.value as Wanted['sort'] })}
        data={SORTS.map(([each, label]) => ({ value: each, label }))}
      />
    </Group>
  );
}

function List({ items, onOpen }: { items: readonly Document[]; onOpen: (document: Document) => void }) {
  return (
    <Rows
      label="Documents"
      rows={items}
      keyOf={({ id }) => id}
      columns={[
        {
          title: 'Path',
          cell: (document) => (
            <Anchor
              component="button"
              type="button"
              inherit
              ta="left"
              className="path"
              onClick={() => onOpen(document)}
            >
              {document.path}
            </Anchor>
          ),
        },
        { title: 'Type', cell: ({ contentType }) => contentType ?? 'not told' },
        SIZE,
        MODIFIED,
        { title: 'Stored', cell: ({ storedAt }) => <When time={storedAt} /> },
      ]}
    />
  );
}
