import { Button, Drawer, Group, SegmentedControl, Text } from '@mantine/core';
import { useState } from 'react';
import { useLocation, useSearch } from 'wouter';
import type { Secret } from '../answers.ts';
import { useAnswer } from '../api.ts';
import { useMay } from '../me.tsx';
import { plural, When } from '../parts/amounts.tsx';
import { Ends, typeName } from '../parts/badges.tsx';
import { Page, To } from '../parts/page.tsx';
import { managerSearch, secretPath } from '../parts/paths.ts';
import { Rows } from '../parts/rows.tsx';
import { Asked, Empty } from '../parts/states.tsx';
import { inManager, ManagerChoice, useManagers } from './manager-choice.tsx';
import { SecretForm } from './secret-form.tsx';

const CONNECTORS: readonly string[] = ['s3', 'gcs', 'azure', 'sharepoint'];

export function Secrets() {
  const [, go] = useLocation();
  const may = useMay('secrets');
  const search = new URLSearchParams(useSearch());
  const manager = search.get('manager') ?? '';
  const close = () => go('/secrets');
  const add = may && <Button onClick={() => go('/secrets?new')}>New secret</Button>;
  return (
    <Page
      title="Secret manager"
      about="Credentials are taken in here and used by workers at sync time. Nothing shows one again: no page, no answer, no log."
      actions={add}
    >
      <ManagerChoice value={manager} onChange={(name) => go(`/secrets${managerSearch(name)}`)} />
      <Kept key={manager} manager={manager} add={add} />
      <Drawer opened={search.has('new') && may} onClose={close} title="New secret" position="right" size="lg">
        <SecretForm onSaved={close} />
      </Drawer>
    </Page>
  );
}

function Kept({ manager, add }: { manager: string; add: React.ReactNode }) {
  const secrets = useAnswer('secrets.list', inManager(manager));
  const nothing = manager ? (
    <Empty title={`No credential in ${manager} yet`}>
      Put one there yourself, or by the command line where a worker runs.
    </Empty>
  ) : (
    <None add={add} />
  );
  return (
    <Asked of={secrets}>
      {({ items }) => (items.length === 0 ? nothing : <List items={items} manager={manager} />)}
    </Asked>
  );
}

function None({ add }: { add: React.ReactNode }) {
  return (
    <Empty title="No credential yet" action={add}>
      Add the key of a cloud storage account. It goes sealed into the secret manager, from where only workers can take
      it.
    </Empty>
  );
}

function List({ items, manager }: { items: readonly Secret[]; manager: string }) {
  const [type, setType] = useState('all');
  const sources = useAnswer('sources.list', {});
  const others = useManagers().filter((each) => !each.default);
  const isHere = (name: string) => (manager ? name === manager : others.every((each) => each.name !== name));
  const users = (id: string) =>
    (sources.data?.items ?? []).filter((each) => each.credentialId === id && isHere(each.credentialManager)).length;
  const types = CONNECTORS.filter((each) => items.some(({ connectorType }) => connectorType === each));
  const shown = items.filter(({ connectorType }) =>
    type === 'all' ? true : type === 'other' ? !CONNECTORS.includes(connectorType) : connectorType === type,
  );
  const hasOther = items.some(({ connectorType }) => !CONNECTORS.includes(connectorType));
  return (
    <>
      <Group>
        <SegmentedControl
          aria-label="Connector type"
          value={type}
          onChange={setType}
          data={[
            { value: 'all', label: 'All' },
            ...types.map((value) => ({ value, label: typeName(value) })),
            ...(hasOther ? [{ value: 'other', label: 'Other' }] : []),
          ]}
        />
        <Text size="sm" c="dimmed">
          {plural(shown.length, 'credential')}
        </Text>
      </Group>
      <Rows
        label="Credentials"
        rows={shown}
        keyOf={({ id }) => id}
        columns={[
          { title: 'Credential ID', cell: ({ id }) => <To href={secretPath(id, manager)}>{id}</To> },
          { title: 'Type', cell: ({ connectorType }) => typeName(connectorType) },
          { title: 'Versions', cell: ({ versions }) => versions?.length ?? 'not told', number: true },
          { title: 'Newest', cell: (secret) => <When time={newest(secret)} none="not told" /> },
          { title: 'Ends', cell: ({ expiresAt }) => <Ends at={expiresAt} words={expiresAt?.slice(0, 10) ?? ''} /> },
          { title: 'Used by', cell: ({ id }) => plural(users(id), 'source') },
        ]}
      />
    </>
  );
}

export function newest({ versions }: Pick<Secret, 'versions'>): string | null {
  const times = (versions ?? []).map(({ createdAt }) => createdAt).filter((time) => time !== null);
  return times.sort().at(-1) ?? null;
}
