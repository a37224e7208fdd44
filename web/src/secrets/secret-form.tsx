import { Alert, Button, Group, NativeSelect, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { type Answer, call, LockgateError, tellDone, useAnswer, useAttempt, useOperation } from '../api.ts';
import { typeName } from '../parts/badges.tsx';
import { Asked, Refusal } from '../parts/states.tsx';
import { CredentialFields } from './credential-fields.tsx';
import { credentialOf, fieldsOf, kindsOf, type Schema, type Values } from './fields.ts';
import { inManager, ManagerChoice } from './manager-choice.tsx';

type Connector = Answer<'connectors.list'>['items'][number];

interface SecretFormProps {
  /** Of a new version; absent: a new secret. */
  readonly known?: { readonly id: string; readonly type: Connector['type']; readonly manager?: string };
  readonly onSaved: (id: string) => void;
}

export function SecretForm(props: SecretFormProps) {
  const connectors = useAnswer('connectors.list', {});
  return <Asked of={connectors}>{({ items }) => <Form {...props} connectors={items} />}</Asked>;
}

const PATHS: Readonly<Record<string, string>> = {
  s3: 's3://bucket/folder',
  gcs: 'gs://bucket/folder',
  azure: 'azure://container/folder',
  sharepoint: 'https://tenant.sharepoint.com/sites/Name/Library',
};

export function examplePath(type: string): string {
  return PATHS[type] ?? '';
}

function Form({ known, onSaved, connectors }: SecretFormProps & { connectors: readonly Connector[] }) {
  const [type, setType] = useState<Connector['type']>(known?.type ?? 's3');
  const schema = (connectors.find((each) => each.type === type)?.credential ?? {}) as Schema;
  const [id, setId] = useState(known?.id ?? '');
  const [manager, setManager] = useState(known?.manager ?? '');
  const [kind, setKind] = useState(kindsOf(schema)[0] ?? '');
  const [values, setValues] = useState<Values>({});
  const [ends, setEnds] = useState('');
  const [paths, setPaths] = useState('');
  const put = useOperation('secrets.put', { quiet: true });
  const choose = (next: Connector['type']) => {
    const chosen = (connectors.find((each) => each.type === next)?.credential ?? {}) as Schema;
    setType(next);
    setKind(kindsOf(chosen)[0] ?? '');
    setValues({});
  };
  const credential = () => {
    try {
      return credentialOf(fieldsOf(type, schema, kind), kind, values);
    } catch {
      throw new LockgateError('invalid_input', 'A field that takes JSON has none.', 'See "More fields".');
    }
  };
  const save = async (event: FormEvent) => {
    event.preventDefault();
    const only = paths
      .split('\n')
      .map((path) => path.trim())
      .filter(Boolean);
    await put.mutateAsync({
      id: id.trim(),
      type,
      credential: credential(),
      ...inManager(manager),
      ...(ends ? { expiresAt: new Date(ends).toISOString() } : {}),
      ...(only.length > 0 ? { scope: { paths: only } } : {}),
    });
    // It is in the secret manager now, and nowhere else.
    setValues({});
    tellDone(known ? `${id} has a new version.` : `${id} is in the secret manager.`);
    onSaved(id.trim());
  };
  return (
    <form onSubmit={(event) => save(event).catch(() => undefined)} autoComplete="off">
      <Stack>
        <Name known={known !== undefined} {...{ connectors, type, choose, id, setId }} />
        {!known && <ManagerChoice writable value={manager} onChange={setManager} />}
        <CredentialFields
          type={type}
          schema={schema}
          kind={kind}
          values={values}
          onChange={(nextKind, next) => {
            setKind(nextKind);
            setValues(next);
          }}
        />
        <Bounds type={type} {...{ ends, setEnds, paths, setPaths }} />
        <Trial type={type} credential={credential} manager={manager} />
        {put.error && <Refusal error={put.error} />}
        <Group justify="flex-end">
          <Button type="submit" loading={put.isPending}>
            {known ? 'Save the new version' : 'Save'}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

interface NameProps {
  readonly known: boolean;
  readonly connectors: readonly Connector[];
  readonly type: Connector['type'];
  readonly choose: (type: Connector['type']) => void;
  readonly id: string;
  readonly setId: (id: string) => void;
}

function Name({ known, connectors, type, choose, id, setId }: NameProps) {
  return (
    <>
      <NativeSelect
        label="Connector type"
        value={type}
        disabled={known}
        onChange={(event) => choose(event.currentTarget.value as Connector['type'])}
        data={connectors.map((each) => ({ value: each.type, label: typeName(each.type) }))}
      />
      <TextInput
        label="Credential ID"
        description="What sources name it by. Letters, digits, dots, hyphens and underscores."
        withAsterisk
        required
        value={id}
        disabled={known}
        onChange={(event) => setId(event.currentTarget.value)}
      />
    </>
  );
}

interface BoundsProps {
  readonly type: string;
  readonly ends: string;
  readonly setEnds: (date: string) => void;
  readonly paths: string;
  readonly setPaths: (lines: string) => void;
}

/** Until when it is good, and for what. */
function Bounds({ type, ends, setEnds, paths, setPaths }: BoundsProps) {
  return (
    <>
      <TextInput
        type="date"
        label="Ends"
        description="To be reminded. Absent: what the credential itself says."
        value={ends}
        onChange={(event) => setEnds(event.currentTarget.value)}
      />
      <Textarea
        label="Only for these paths"
        description="One on each line; empty: for all. Sources elsewhere cannot use it then."
        placeholder={examplePath(type)}
        rows={2}
        value={paths}
        onChange={(event) => setPaths(event.currentTarget.value)}
      />
    </>
  );
}

interface TrialProps {
  readonly type: Connector['type'];
  readonly credential: () => Record<string, unknown>;
  readonly manager: string;
}

/** Has a worker use the credential before it is kept. */
function Trial({ type, credential, manager }: TrialProps) {
  const [path, setPath] = useState('');
  const {
    answer: report,
    error,
    busy,
    start: tryIt,
  } = useAttempt(
    async () => call('secrets.try', { type, credential: credential(), path: path.trim(), ...inManager(manager) }),
    'start',
  );
  return (
    <Stack gap="xs">
      <Group align="flex-end" wrap="nowrap">
        <TextInput
          flex={1}
          label="Test it on a path"
          placeholder={examplePath(type)}
          value={path}
          onChange={(event) => setPath(event.currentTarget.value)}
        />
        <Button variant="default" onClick={() => tryIt(undefined)} loading={busy} disabled={path.trim() === ''}>
          Test connection
        </Button>
      </Group>
      {error !== null && <Refusal error={error} />}
      {report && <Report report={report} />}
    </Stack>
  );
}

/** What a worker found when it tried what a sync does. */
export function Report({ report }: { report: Answer<'sources.check'> }) {
  const good = report.reachable && report.readable;
  return (
    <Alert
      color={good ? 'teal' : 'red'}
      variant="outline"
      role="status"
      title={good ? 'It works: a worker could list and read.' : (report.problem?.message ?? 'It does not work.')}
    >
      {report.problem?.hint && <Text size="sm">{report.problem.hint}</Text>}
      {report.warnings.map((warning) => (
        <Text size="sm" key={warning}>
          {warning}
        </Text>
      ))}
    </Alert>
  );
}
