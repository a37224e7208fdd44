import { Alert, Tabs } from '@mantine/core';
import { useLocation } from 'wouter';
import { useMay } from '../me.tsx';
import { Page } from '../parts/page.tsx';
import { About } from './about.tsx';
import { Managers } from './managers.tsx';
import { Members } from './members.tsx';
import { Tokens } from './tokens.tsx';
import { Workers } from './workers.tsx';
import { Workspaces } from './workspaces.tsx';

const TABS = {
  workspaces: ['Workspaces', Workspaces, 'read'],
  members: ['Members', Members, 'admin'],
  tokens: ['Tokens', Tokens, 'admin'],
  managers: ['Secret managers', Managers, 'read'],
  workers: ['Workers', Workers, 'read'],
  about: ['About', About, 'read'],
} as const;

export function Settings({ tab }: { tab: string }) {
  const [, go] = useLocation();
  const admin = useMay('admin');
  return (
    <Page title="Settings">
      <Tabs value={tab in TABS ? tab : 'workspaces'} onChange={(value) => go(`/settings/${value}`)} keepMounted={false}>
        <Tabs.List mb="md">
          {Object.entries(TABS).map(([value, [title]]) => (
            <Tabs.Tab key={value} value={value}>
              {title}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {Object.entries(TABS).map(([value, [, Part, needs]]) => (
          <Tabs.Panel key={value} value={value}>
            {needs === 'admin' && !admin ? (
              <Alert variant="outline" title="Only administrators see this." color="gray" />
            ) : (
              <Part />
            )}
          </Tabs.Panel>
        ))}
      </Tabs>
    </Page>
  );
}
