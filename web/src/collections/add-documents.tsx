import { Button, Group, NativeSelect, Stack, Text, TextInput } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { useLocation } from 'wouter';
import { type Given, useAnswer, useOperation } from '../api.ts';
import { typeName } from '../parts/badges.tsx';
import { Page, To } from '../parts/page.tsx';
import { collectionPath } from '../parts/paths.ts';
import { Section } from '../parts/section.tsx';
import { Asked, Refusal } from '../parts/states.tsx';
import { inManager, ManagerChoice } from '../secrets/manager-choice.tsx';
import { examplePath } from '../secrets/secret-form.tsx';
import { FilterFields, globsOf, maxBytesOf, NO_FILTERS } from './filters.tsx';
import { Preview } from './preview.tsx';
import { ScheduleFields, scheduleOf, USUAL } from './schedule.tsx';

type Wish = Given<'sources.create'>;
type Type = Wish['connectorType'];

const TYPES: readonly Type[] = ['s3', 'gcs', 'azure', 'sharepoint'];

/** Connects a collection with a place in cloud storage: what, with which credential, which of it, and when. */
export function AddDocuments({ name }: { name: string }) {
  const [type, setType] = useState<Type>('s3');
  const [credential, setCredential] = useState('');
  const [path, setPath] = useState('');
  const [filters, setFilters] = useState(NO_FILTERS);
  const [schedule, setSchedule] = useState(USUAL);
  const create = useOperation('sources.create', { quiet: true });
  const sync = useOperation('sources.sync');
  const [, go] = useLocation();
  const place = {
    connectorType: type,
    credentialId: credential,
    path: path.trim(),
    include: globsOf(filters.include),
    exclude: globsOf(filters.exclude),
    maxBytes: maxBytesOf(filters),
  };
  const add = async (event: FormEvent) => {
    event.preventDefault();
    const when = schedule.autoSync ? { autoSync: true, schedule: scheduleOf(schedule) } : { autoSync: false };
    const source = await create.mutateAsync({ collection: name, ...place, ...when });
    const run = await sync.mutateAsync({ id: source.id });
    go(`/runs/${run.id}`);
  };
  return (
    <Page
      title="Add documents"
      above={[
        { title: 'Collections', href: '/collections' },
        { title: name, href: collectionPath(name) },
      ]}
    >
      <form onSubmit={(event) => add(event).catch(() => undefined)}>
        <Stack gap="lg" maw={820}>
          <Where collection={name} {...{ type, setType, credential, setCredential, path, setPath }} />
          <Section title="Which of them">
            <FilterFields value={filters} onChange={setFilters} />
            <Preview collection={name} place={place} onPath={setPath} />
          </Section>
          <Section title="When">
            <ScheduleFields value={schedule} onChange={setSchedule} />
          </Section>
          {create.error && <Refusal error={create.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={() => go(collectionPath(name))}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending || sync.isPending} disabled={credential === ''}>
              Add
            </Button>
          </Group>
        </Stack>
      </form>
    </Page>
  );
}

interface WhereProps {
  readonly collection: string;
  readonly type: Type;
  readonly setType: (type: Type) => void;
  readonly credential: string;
  readonly setCredential: (id: string) => void;
  readonly path: string;
  readonly setPath: (path: string) => void;
}

function Where({ collection, type, setType, credential, setCredential, path, setPath }: WhereProps) {
  return (
    <Section title="Where they are">
      <NativeSelect
        label="Connector type"
        value={type}
        onChange={(event) => {
          setType(event.currentTarget.value as Type);
          setCredential('');
        }}
        data={TYPES.map((value) => ({ value, label: typeName(value) }))}
      />
      <CredentialChoice collection={collection} type={type} value={credential} onChange={setCredential} />
      <TextInput
        label="Path"
        required
        withAsterisk
        placeholder={examplePath(type)}
        value={path}
        onChange={(event) => setPath(event.currentTarget.value)}
      />
    </Section>
  );
}

interface CredentialChoiceProps {
  readonly collection: string;
  readonly type: Type;
  readonly value: string;
  readonly onChange: (id: string) => void;
}

function CredentialChoice(props: CredentialChoiceProps) {
  const [manager, setManager] = useState('');
  const choose = (name: string) => {
    setManager(name);
    props.onChange('');
  };
  return (
    <>
      <ManagerChoice value={manager} onChange={choose} />
      <CredentialOf key={manager} {...props} manager={manager} />
    </>
  );
}

/** Only credentials that fit: of the type, and not bound to other collections. */
function CredentialOf({ collection, type, value, onChange, manager }: CredentialChoiceProps & { manager: string }) {
  const secrets = useAnswer('secrets.list', { type, ...inManager(manager) });
  return (
    <Asked of={secrets}>
      {({ items }) => {
        const fitting = items.filter(({ scope }) => scope?.collections?.includes(collection) ?? true);
        return fitting.length === 0 ? (
          <Text size="sm">
            There is no credential for {typeName(type)}. <To href="/secrets?new">Add one first</To>.
          </Text>
        ) : (
          <NativeSelect
            label="Credential ID"
            description="The worker looks it up in the secret manager whenever it syncs."
            withAsterisk
            value={value}
            onChange={(event) => onChange(event.currentTarget.value)}
            data={[
              { value: '', label: 'Choose one' },
              ...fitting.map(({ id }) => ({ value: manager ? `${manager}:${id}` : id, label: id })),
            ]}
          />
        );
      }}
    </Asked>
  );
}
