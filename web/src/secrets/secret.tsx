import { Button, Drawer, List, Stack, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useLocation, useSearch } from 'wouter';
import { type Answer, tellDone, useAnswer, useOperation } from '../api.ts';
import { useMay } from '../me.tsx';
import { plural, When } from '../parts/amounts.tsx';
import { Ends, typeName } from '../parts/badges.tsx';
import { PATH } from '../parts/columns.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Page, To } from '../parts/page.tsx';
import { collectionPath, managerSearch } from '../parts/paths.ts';
import { Facts, Rows } from '../parts/rows.tsx';
import { Asked, Empty } from '../parts/states.tsx';
import { inManager, useManagers } from './manager-choice.tsx';
import { SecretForm } from './secret-form.tsx';
import { newest } from './secrets.tsx';

type Secret = Answer<'secrets.describe'>;
const SYNCED: readonly string[] = ['s3', 'gcs', 'azure', 'sharepoint'];

export function SecretPage({ id }: { id: string }) {
  const manager = new URLSearchParams(useSearch()).get('manager') ?? '';
  const secret = useAnswer('secrets.describe', { id, ...inManager(manager) });
  const above = [{ title: 'Secret manager', href: `/secrets${managerSearch(manager)}` }];
  return (
    <Page title={id} above={above} actions={secret.data && <Actions secret={secret.data} manager={manager} />}>
      <Asked of={secret}>{(found) => <Described secret={found} />}</Asked>
    </Page>
  );
}

function Actions({ secret, manager }: { secret: Secret; manager: string }) {
  const { id, connectorType, sources } = secret;
  const may = useMay('secrets');
  const [opened, { open, close }] = useDisclosure();
  const [, go] = useLocation();
  const remove = useOperation('secrets.remove');
  const of = useManagers().find((each) => each.name === manager)?.of ?? 'deployment';
  if (!may) return null;
  return (
    <>
      {SYNCED.includes(connectorType) && of === 'deployment' && <Button onClick={open}>New version</Button>}
      <Confirm
        title={`Remove ${id}?`}
        does={sources.length > 0 ? 'Remove it all the same' : 'Remove it'}
        trigger={(ask) => (
          <Button variant="default" onClick={ask}>
            Remove
          </Button>
        )}
        onConfirm={async () => {
          await remove.mutateAsync({ id, force: sources.length > 0, ...inManager(manager) });
          tellDone(`${id} is removed, with all its versions.`);
          go(`/secrets${managerSearch(manager)}`);
        }}
      >
        {sources.length === 0 ? (
          <Text>No source uses it. It goes with all its versions.</Text>
        ) : (
          <Stack gap="xs">
            <Text>{plural(sources.length, 'source')} will fail from then on:</Text>
            <List size="sm">
              {sources.map((source) => (
                <List.Item key={source.id} className="path">
                  {source.collection}: {source.path}
                </List.Item>
              ))}
            </List>
          </Stack>
        )}
      </Confirm>
      <Drawer opened={opened} onClose={close} title={`New version of ${id}`} position="right" size="lg">
        <SecretForm known={{ id, type: connectorType as 's3', manager }} onSaved={close} />
      </Drawer>
    </>
  );
}

function Described({ secret }: { secret: Secret }) {
  const { scope, versions, sources, expiresAt, connectorType } = secret;
  return (
    <>
      <Facts
        facts={[
          ['Type', typeName(connectorType)],
          ['Newest version', <When key="newest" time={newest(secret)} none="not told" />],
          ['Ends', <Ends key="ends" at={expiresAt} words={expiresAt?.slice(0, 10) ?? ''} />],
          ['Only for paths', scope?.paths?.join(', ') ?? 'all'],
          ['Only for collections', scope?.collections?.join(', ') ?? 'all'],
        ]}
      />
      <Title order={2} size="h4">
        Who uses it
      </Title>
      {sources.length === 0 ? (
        <Empty title="No source uses it">Choose it where you add documents to a collection.</Empty>
      ) : (
        <Rows
          label="Sources"
          rows={sources}
          keyOf={(source) => source.id}
          columns={[
            {
              title: 'Collection',
              cell: ({ collection }) => <To href={collectionPath(collection)}>{collection}</To>,
            },
            PATH,
          ]}
        />
      )}
      <Title order={2} size="h4">
        Versions
      </Title>
      <Rows
        label="Versions"
        rows={[...(versions ?? [])].reverse()}
        keyOf={({ version }) => version}
        columns={[
          { title: 'Version', cell: ({ version }) => <span className="path">{version}</span> },
          { title: 'Added', cell: ({ createdAt }) => <When time={createdAt} none="not told" /> },
        ]}
      />
      <Text size="sm">
        <To href={`/audit?secret=${encodeURIComponent(secret.id)}`}>Who accessed it, and what came by it</To>
      </Text>
    </>
  );
}
