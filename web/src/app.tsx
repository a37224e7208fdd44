import {
  ActionIcon,
  AppShell,
  Box,
  Burger,
  Button,
  Center,
  Group,
  Loader,
  Menu,
  NativeSelect,
  NavLink,
  Stack,
  Text,
  Title,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import {
  IconFolders,
  IconGauge,
  IconKey,
  IconListCheck,
  IconMoon,
  IconSettings,
  IconShieldCheck,
  IconSun,
  IconUser,
} from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useState } from 'react';
import { Link, Redirect, Route, Switch, useLocation } from 'wouter';
import { codeOf, ownWorkspaces, queries, signedOut, signOut, useAnswer, workspace } from './api.ts';
import { MeProvider, useMay, useMe } from './me.tsx';
import { Overview } from './overview.tsx';
import { Boundary } from './parts/boundary.tsx';
import { nameIn } from './parts/paths.ts';
import { Refusal } from './parts/states.tsx';
import { SignIn } from './sign-in.tsx';

const Secrets = lazy(() => import('./secrets/secrets.tsx').then((page) => ({ default: page.Secrets })));
const SecretPage = lazy(() => import('./secrets/secret.tsx').then((page) => ({ default: page.SecretPage })));
const Collections = lazy(() => import('./collections/collections.tsx').then((page) => ({ default: page.Collections })));
const CollectionPage = lazy(() =>
  import('./collections/collection.tsx').then((page) => ({ default: page.CollectionPage })),
);
const AddDocuments = lazy(() =>
  import('./collections/add-documents.tsx').then((page) => ({ default: page.AddDocuments })),
);
const Runs = lazy(() => import('./runs/runs.tsx').then((page) => ({ default: page.Runs })));
const RunPage = lazy(() => import('./runs/run.tsx').then((page) => ({ default: page.RunPage })));
const Audit = lazy(() => import('./audit.tsx').then((page) => ({ default: page.Audit })));
const Settings = lazy(() => import('./settings/settings.tsx').then((page) => ({ default: page.Settings })));

/** Signing in, or everything else. */
export function App() {
  const me = useAnswer('me.get', {});
  const [out, setOut] = useState(false);
  useEffect(() => {
    const leave = () => setOut(true);
    signedOut.addEventListener('signed-out', leave);
    return () => signedOut.removeEventListener('signed-out', leave);
  }, []);
  if (out || codeOf(me.error) === 'unauthenticated') {
    const enter = async () => {
      await queries.resetQueries();
      setOut(false);
    };
    return <SignIn onSignedIn={enter} />;
  }
  if (me.error) {
    if (codeOf(me.error) === 'forbidden') {
      // One that was chosen once and is not ours any more.
      if (workspace.get()) workspace.set('');
      return <ChooseWorkspace error={me.error} />;
    }
    return (
      <Center p="xl">
        <Refusal error={me.error} again={() => me.refetch()} />
      </Center>
    );
  }
  if (!me.data) return <Waiting />;
  return (
    <MeProvider value={me.data}>
      <Shell />
    </MeProvider>
  );
}

/** For who may be in several, and has said nothing. */
function ChooseWorkspace({ error }: { error: unknown }) {
  const own = useQuery({ queryKey: ['own-workspaces'], queryFn: ownWorkspaces });
  return (
    <Center p="xl" component="main">
      <Stack>
        {own.data && own.data.items.length > 0 ? (
          <>
            <Title order={1} size="h3">
              Which workspace?
            </Title>
            {own.data.items.map((id) => (
              <Button key={id} variant="default" onClick={() => workspace.set(id)}>
                {id}
              </Button>
            ))}
          </>
        ) : (
          <Refusal error={error} />
        )}
        <Button variant="subtle" onClick={() => signOut()}>
          Sign out
        </Button>
      </Stack>
    </Center>
  );
}

function Waiting() {
  return (
    <Center p={80} role="status" aria-label="Loading">
      <Loader />
    </Center>
  );
}

function Shell() {
  const [opened, { toggle, close }] = useDisclosure();
  const [location] = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page closes it, and nothing else does
  useEffect(close, [location]);
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 216, breakpoint: 'sm', collapsed: { mobile: !opened } }}
      padding={{ base: 'sm', sm: 'lg' }}
    >
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <AppShell.Header px="md">
        <Group h="100%" justify="space-between" wrap="nowrap">
          <Group gap="xs" wrap="nowrap">
            <Burger hiddenFrom="sm" size="sm" opened={opened} onClick={toggle} aria-label="Navigation" />
            <Mark />
          </Group>
          <Group gap="xs" wrap="nowrap">
            <WorkspaceChoice />
            <SchemeSwitch />
            <Account />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label="Main">
        <Navigation />
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <Box maw={1200} mx="auto">
          <Boundary at={location}>
            <Suspense fallback={<Waiting />}>
              <Pages />
            </Suspense>
          </Boundary>
        </Box>
      </AppShell.Main>
    </AppShell>
  );
}

function Pages() {
  return (
    <Switch>
      <Route path="/" component={Overview} />
      <Route path="/secrets" component={Secrets} />
      <Route path="/secrets/:id">{({ id }) => <SecretPage id={nameIn(id)} />}</Route>
      <Route path="/collections" component={Collections} />
      <Route path="/collections/:name/add">{({ name }) => <AddDocuments name={nameIn(name)} />}</Route>
      <Route path="/collections/:name/:tab?">
        {({ name, tab }) => <CollectionPage name={nameIn(name)} tab={tab ?? 'sources'} />}
      </Route>
      <Route path="/runs" component={Runs} />
      <Route path="/runs/:id">{({ id }) => <RunPage id={id} />}</Route>
      <Route path="/audit" component={Audit} />
      <Route path="/settings/:tab?">{({ tab }) => <Settings tab={tab ?? 'workspaces'} />}</Route>
      <Route>
        <Redirect to="/" />
      </Route>
    </Switch>
  );
}

const WAYS = [
  { href: '/', title: 'Overview', icon: IconGauge, needs: 'read' },
  { href: '/secrets', title: 'Secret manager', icon: IconKey, needs: 'read' },
  { href: '/collections', title: 'Collections', icon: IconFolders, needs: 'read' },
  { href: '/runs', title: 'Runs', icon: IconListCheck, needs: 'read' },
  { href: '/audit', title: 'Audit', icon: IconShieldCheck, needs: 'audit' },
  { href: '/settings', title: 'Settings', icon: IconSettings, needs: 'read' },
] as const;

function Navigation() {
  const [location] = useLocation();
  const me = useMe();
  return WAYS.filter(({ needs }) => me.permissions.includes(needs)).map(({ href, title, icon: Icon }) => {
    const active = href === '/' ? location === '/' : location.startsWith(href);
    return (
      <NavLink
        key={href}
        component={Link}
        href={href}
        label={title}
        leftSection={<Icon size={18} stroke={1.6} aria-hidden />}
        active={active}
        {...(active ? { 'aria-current': 'page' as const } : {})}
        variant="filled"
        fw={500}
      />
    );
  });
}

function Mark() {
  return (
    <Group gap={8} wrap="nowrap">
      <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="7" fill="#006a81" />
        <path d="M7 6v20M25 6v20M7 11l9 5 9-5" fill="none" stroke="#fff" strokeWidth="2.5" strokeLinecap="round" />
        <path d="M8 22q2-2 4 0t4 0 4 0 4 0" fill="none" stroke="#97d1de" strokeWidth="2.5" strokeLinecap="round" />
      </svg>
      <Text fw={700}>Lockgate</Text>
    </Group>
  );
}

function WorkspaceChoice() {
  const me = useMe();
  const all = useAnswer('workspaces.list', {});
  const ids = [...new Set([me.workspace, ...(all.data?.items.map(({ id }) => id) ?? [])])];
  if (ids.length < 2) return null;
  return (
    <NativeSelect
      aria-label="Workspace"
      size="xs"
      maw={140}
      data={ids}
      value={me.workspace}
      onChange={(event) => workspace.set(event.currentTarget.value)}
    />
  );
}

function SchemeSwitch() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme('light') === 'dark';
  return (
    <ActionIcon
      variant="default"
      size="lg"
      aria-label={dark ? 'Light colours' : 'Dark colours'}
      onClick={() => setColorScheme(dark ? 'light' : 'dark')}
    >
      {dark ? <IconSun size={18} aria-hidden /> : <IconMoon size={18} aria-hidden />}
    </ActionIcon>
  );
}

function Account() {
  const me = useMe();
  const admin = useMay('admin');
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon variant="default" size="lg" aria-label="Account">
          <IconUser size={18} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{me.actor}</Menu.Label>
        <Menu.Label>may: {admin ? 'everything' : me.permissions.join(', ')}</Menu.Label>
        <Menu.Item onClick={() => signOut()}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
