import { Alert, Button, Group, Stack, Tabs, Text } from '@mantine/core';
import { type Answer, call, type Given, useAttempt } from '../api.ts';
import { bytes, count, plural } from '../parts/amounts.tsx';
import { MODIFIED, PATH, SIZE } from '../parts/columns.tsx';
import { Rows } from '../parts/rows.tsx';
import { Refusal } from '../parts/states.tsx';

type Found = Answer<'sources.preview'>;
type Place = Omit<Given<'sources.preview'>, 'collection'>;

interface PreviewProps {
  readonly collection: string;
  readonly place: Place;
  readonly onPath: (path: string) => void;
}

/** Has a worker look what lies there, before anything is kept. */
export function Preview({ collection, place, onPath }: PreviewProps) {
  const {
    answer,
    error,
    busy,
    start: look,
  } = useAttempt((at: Place) => call('sources.preview', { collection, ...at }), 'refusal');
  const into = (folder: string) => {
    const path = `${place.path.replace(/\/+$/, '')}/${folder}`;
    onPath(path);
    void look({ ...place, path });
  };
  const ready = place.path !== '' && place.credentialId !== '';
  return (
    <Stack gap="sm">
      <Group>
        <Button variant="default" loading={busy} disabled={!ready} onClick={() => look(place)}>
          Preview
        </Button>
        <Text size="sm" c="dimmed">
          {ready ? 'A worker lists what lies there. Nothing is fetched.' : 'Choose a credential and a path first.'}
        </Text>
      </Group>
      {error !== null && <Refusal error={error} />}
      {answer && <Findings answer={answer} onFolder={into} />}
    </Stack>
  );
}

interface FindingsProps {
  readonly answer: Found;
  readonly onFolder: (folder: string) => void;
}

function Findings({ answer, onFolder }: FindingsProps) {
  const { complete, listed, matched, leftOut } = answer;
  return (
    <Stack gap="sm">
      <Alert
        variant="outline"
        color={matched > 0 ? 'teal' : 'orange'}
        role="status"
        title={`${plural(matched, 'document')}, ${bytes(answer.bytes)}; the filters leave out ${count(leftOut)}`}
      >
        <Text size="sm">
          {complete
            ? `All ${plural(listed, 'object')} were looked at.`
            : `Only the first ${count(listed)} objects were looked at; a sync looks at all.`}
        </Text>
        {answer.warnings.map((warning) => (
          <Text size="sm" key={warning}>
            {warning}
          </Text>
        ))}
      </Alert>
      <Lists answer={answer} onFolder={onFolder} />
    </Stack>
  );
}

function Lists({ answer: { matches, dropped, folders }, onFolder }: FindingsProps) {
  return (
    <Tabs defaultValue="matches">
      <Tabs.List>
        <Tabs.Tab value="matches">Would be documents</Tabs.Tab>
        <Tabs.Tab value="dropped">Left out</Tabs.Tab>
        <Tabs.Tab value="folders">Folders</Tabs.Tab>
      </Tabs.List>
      <Tabs.Panel value="matches">
        <Rows
          low
          label="What would be documents"
          rows={matches}
          keyOf={({ path }) => path}
          columns={[PATH, SIZE, MODIFIED]}
        />
      </Tabs.Panel>
      <Tabs.Panel value="dropped">
        <Rows
          low
          label="What is left out"
          rows={dropped}
          keyOf={({ path }) => path}
          columns={[PATH, SIZE, { title: 'Why', cell: ({ reason }) => reason }]}
        />
      </Tabs.Panel>
      <Tabs.Panel value="folders">
        <Rows
          low
          label="Folders"
          rows={folders}
          keyOf={({ path }) => path}
          columns={[
            {
              title: 'Folder',
              cell: ({ path }) => (
                <Button variant="subtle" size="compact-sm" onClick={() => onFolder(path)}>
                  {path}
                </Button>
              ),
            },
            { title: 'Objects', cell: ({ objects }) => count(objects), number: true },
            { title: 'Size', cell: (folder) => bytes(folder.bytes), number: true },
          ]}
        />
      </Tabs.Panel>
    </Tabs>
  );
}
