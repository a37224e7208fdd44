import { Alert, Button, Card, Group, NativeSelect, Stack, Text, TextInput, Title } from '@mantine/core';
import { useState } from 'react';
import { useSearch } from 'wouter';
import { type Answer, call, useAnswer, useAttempt } from './api.ts';
import { bytes, count, dateTime, plural, When } from './parts/amounts.tsx';
import { PATH } from './parts/columns.tsx';
import { Page, To } from './parts/page.tsx';
import { Facts, Rows } from './parts/rows.tsx';
import { Asked, Empty, Refusal } from './parts/states.tsx';

export function Audit() {
  const [secret, setSecret] = useState(new URLSearchParams(useSearch()).get('secret') ?? '');
  const secrets = useAnswer('secrets.list', {});
  const ids = [...new Set([secret, ...(secrets.data?.items.map(({ id }) => id) ?? [])])].filter(Boolean);
  return (
    <Page
      title="Audit"
      about="Every access to a credential is written down before it happens, in a log that shows when it was changed."
    >
      <Verify />
      <Group align="flex-end">
        <NativeSelect
          label="Credential"
          value={secret}
          onChange={(event) => setSecret(event.currentTarget.value)}
          data={[{ value: '', label: 'all' }, ...ids.map((value) => ({ value, label: value }))]}
        />
      </Group>
      {secret && <Blast secret={secret} />}
      <Events secret={secret} />
    </Page>
  );
}

function Verify() {
  const { answer: found, error, busy, start: verify } = useAttempt(() => call('audit.verify', {}), 'answer');
  return (
    <Stack gap="xs">
      <Group>
        <Button variant="default" loading={busy} onClick={() => verify(undefined)}>
          Verify the log
        </Button>
      </Group>
      {error !== null && <Refusal error={error} />}
      {found && (
        <Alert
          variant="outline"
          color={found.ok ? 'teal' : 'red'}
          role="status"
          title={found.ok ? `Whole: ${plural(found.lines, 'line')}, each joined to the one before.` : 'It was changed.'}
        >
          {found.problems.map(({ line, message }) => (
            <Text size="sm" key={`${line} ${message}`}>
              {line === null ? message : `Line ${line}: ${message}`}
            </Text>
          ))}
          <Text size="xs" className="path">
            Head, to be kept elsewhere: {found.head}
          </Text>
        </Alert>
      )}
    </Stack>
  );
}

type Line = Answer<'audit.list'>['items'][number];

const DID: Readonly<Record<string, string>> = { attempt: 'about to', ok: 'done', refused: 'refused' };

function Events({ secret }: { secret: string }) {
  const events = useAnswer('audit.list', { limit: 200, ...(secret ? { secret } : {}) }, { every: 10_000 });
  return (
    <Asked of={events}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="Nothing was written down yet">The first use of a credential is.</Empty>
        ) : (
          <Rows<Line>
            label="Events"
            rows={[...items].reverse()}
            keyOf={({ seq }) => String(seq)}
            columns={[
              { title: 'Number', cell: ({ seq }) => count(seq), number: true },
              { title: 'When', cell: ({ at }) => <When time={at} /> },
              { title: 'Who', cell: ({ actor }) => <span className="path">{actor}</span> },
              { title: 'What', cell: ({ action }) => action },
              { title: 'Credential', cell: (line) => named(line) },
              {
                title: 'For',
                cell: ({ reason, runId }) =>
                  runId ? <To href={`/runs/${runId}`}>{reason ?? 'a run'}</To> : (reason ?? ''),
              },
              { title: 'Outcome', cell: ({ outcome }) => DID[outcome] ?? outcome },
            ]}
          />
        )
      }
    </Asked>
  );
}

function named({ secret: { secretId, version } }: Line): string {
  return version ? `${secretId}, version ${version.length > 16 ? `${version.slice(0, 16)}…` : version}` : secretId;
}

/** What one needs in the hour after a key has leaked. */
function Blast({ secret }: { secret: string }) {
  const [since, setSince] = useState('');
  const given = { secret, limit: 100, ...(since ? { since: new Date(since).toISOString() } : {}) };
  const blast = useAnswer('audit.blast', given);
  return (
    <Card withBorder>
      <Stack gap="sm">
        <Group justify="space-between" align="flex-end">
          <Title order={2} size="h4">
            What {secret} has touched
          </Title>
          <TextInput
            type="date"
            label="Since"
            value={since}
            onChange={(event) => setSince(event.currentTarget.value)}
          />
        </Group>
        <Asked of={blast}>{(found) => <Radius found={found} />}</Asked>
      </Stack>
    </Card>
  );
}

function Radius({ found }: { found: Answer<'audit.blast'> }) {
  return (
    <Stack gap="sm">
      <Facts
        facts={[
          ['Accesses', `${count(found.accesses)}, ${count(found.refused)} refused`],
          ['Versions', found.versions.map(({ version, accesses }) => `${version} (${accesses})`).join(', ') || 'none'],
          ['By', [...new Set(found.versions.flatMap(({ actors }) => actors))].join(', ') || 'nobody'],
          ['Collections', found.collections.join(', ') || 'none'],
          ['Sources', found.sources.map(({ path }) => path).join(', ') || 'none'],
          ['Documents', plural(found.documents.total, 'change')],
        ]}
      />
      {found.runs.length > 0 && (
        <Rows
          label="Runs that used it"
          rows={found.runs}
          keyOf={({ id }) => id}
          columns={[
            {
              title: 'Run',
              cell: ({ id, startedAt }) => <To href={`/runs/${id}`}>{startedAt ? dateTime(startedAt) : id}</To>,
            },
            PATH,
            { title: 'Version', cell: ({ credentialVersion }) => credentialVersion ?? '' },
            { title: 'Documents', cell: ({ documents }) => count(documents), number: true },
            { title: 'Bytes', cell: (run) => bytes(run.bytes), number: true },
          ]}
        />
      )}
    </Stack>
  );
}
