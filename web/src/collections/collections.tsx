import { Button, Group, Modal, Stack, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type FormEvent, useState } from 'react';
import { useLocation } from 'wouter';
import type { Collection } from '../answers.ts';
import { useAnswer, useOperation } from '../api.ts';
import { useMay } from '../me.tsx';
import { bytes, count, When } from '../parts/amounts.tsx';
import { Page, To } from '../parts/page.tsx';
import { collectionPath } from '../parts/paths.ts';
import { Rows } from '../parts/rows.tsx';
import { Asked, Empty, Refusal } from '../parts/states.tsx';

export function Collections() {
  const collections = useAnswer('collections.list', {}, { every: 10_000 });
  const [opened, { open, close }] = useDisclosure();
  const may = useMay('edit');
  const add = may && <Button onClick={open}>New collection</Button>;
  return (
    <Page title="Collections" about="Documents that are kept in step with cloud storage." actions={add}>
      <Asked of={collections}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No collection yet" action={add}>
              Make one, then add documents to it from a bucket, a container or a site.
            </Empty>
          ) : (
            <List items={items} />
          )
        }
      </Asked>
      <Modal opened={opened} onClose={close} title="New collection">
        <NewCollection />
      </Modal>
    </Page>
  );
}

function List({ items }: { items: readonly Collection[] }) {
  return (
    <Rows
      label="Collections"
      rows={items}
      keyOf={({ id }) => id}
      columns={[
        { title: 'Name', cell: ({ name }) => <To href={collectionPath(name)}>{name}</To> },
        { title: 'Sources', cell: ({ sources }) => count(sources), number: true },
        { title: 'Documents', cell: ({ documents }) => count(documents), number: true },
        { title: 'Size', cell: (each) => bytes(each.bytes), number: true },
        { title: 'Changes', cell: ({ lastChange }) => count(lastChange), number: true },
        { title: 'Made', cell: ({ createdAt }) => <When time={createdAt} /> },
      ]}
    />
  );
}

function NewCollection() {
  const [name, setName] = useState('');
  const create = useOperation('collections.create', { quiet: true });
  const [, go] = useLocation();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const made = await create.mutateAsync({ name: name.trim() });
    go(collectionPath(made.name));
  };
  return (
    <form onSubmit={(event) => submit(event).catch(() => undefined)}>
      <Stack>
        <TextInput
          label="Name"
          required
          data-autofocus
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        {create.error && <Refusal error={create.error} />}
        <Group justify="flex-end">
          <Button type="submit" loading={create.isPending}>
            Create
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
