import { ActionIcon, Button, Menu, Tabs, Text } from '@mantine/core';
import { IconDots } from '@tabler/icons-react';
import { Link, useLocation } from 'wouter';
import { type Answer, tellDone, useAnswer, useOperation } from '../api.ts';
import { useMay } from '../me.tsx';
import { bytes, plural } from '../parts/amounts.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Page } from '../parts/page.tsx';
import { collectionPath } from '../parts/paths.ts';
import { Asked } from '../parts/states.tsx';
import { Changes } from './changes.tsx';
import { Documents } from './documents.tsx';
import { Failures } from './failures.tsx';
import { Sources } from './sources.tsx';
import { Webhooks } from './webhooks.tsx';

type Collection = Answer<'collections.get'>;
const ABOVE = [{ title: 'Collections', href: '/collections' }];
const REFRESH_MS = 5000;
const TABS = {
  sources: 'Sources',
  documents: 'Documents',
  changes: 'Changes',
  failures: 'Failures',
  webhooks: 'Webhooks',
} as const;

export function CollectionPage({ name, tab }: { name: string; tab: string }) {
  const collection = useAnswer('collections.get', { collection: name }, { every: REFRESH_MS });
  const [, go] = useLocation();
  const may = useMay('edit');
  const found = collection.data;
  return (
    <Page
      title={name}
      above={ABOVE}
      about={
        found &&
        `${plural(found.documents, 'document')}, ${bytes(found.bytes)}, ${plural(found.lastChange, 'change')} so far`
      }
      actions={
        may && (
          <>
            <Button component={Link} href={collectionPath(name, 'add')}>
              Add documents
            </Button>
            {found && <More collection={found} />}
          </>
        )
      }
    >
      <Tabs
        value={tab in TABS ? tab : 'sources'}
        onChange={(value) => go(collectionPath(name, value ?? ''))}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          {Object.entries(TABS).map(([value, title]) => (
            <Tabs.Tab key={value} value={value}>
              {title}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="sources">
          <Asked of={collection}>{({ sourceList }) => <Sources collection={name} sources={sourceList} />}</Asked>
        </Tabs.Panel>
        <Tabs.Panel value="documents">
          <Documents collection={name} />
        </Tabs.Panel>
        <Tabs.Panel value="changes">
          <Asked of={collection}>{({ lastChange }) => <Changes collection={name} last={lastChange} />}</Asked>
        </Tabs.Panel>
        <Tabs.Panel value="failures">
          <Failures collection={name} />
        </Tabs.Panel>
        <Tabs.Panel value="webhooks">
          <Webhooks collection={name} />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}

function More({ collection }: { collection: Collection }) {
  const remove = useOperation('collections.remove');
  const [, go] = useLocation();
  return (
    <Confirm
      title={`Remove ${collection.name}?`}
      does="Remove it with its documents"
      onConfirm={async () => {
        await remove.mutateAsync({ collection: collection.name });
        tellDone(`${collection.name} is removed.`);
        go('/collections');
      }}
      trigger={(ask) => (
        <Menu position="bottom-end">
          <Menu.Target>
            <ActionIcon variant="default" size="lg" aria-label="More to do with the collection">
              <IconDots size={18} aria-hidden />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item onClick={ask}>Remove the collection</Menu.Item>
          </Menu.Dropdown>
        </Menu>
      )}
    >
      <Text>
        Its {plural(collection.sources, 'source')}, {plural(collection.documents, 'document')} and its change feed go.
        What lies in the cloud storage stays.
      </Text>
    </Confirm>
  );
}
