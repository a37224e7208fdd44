import { Alert, Button, Center, Group, Loader, Stack, Text, ThemeIcon } from '@mantine/core';
import { IconAlertTriangle, IconInbox } from '@tabler/icons-react';
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { wordsOf } from '../api.ts';

/** What was asked for, or that it is on its way, or what is wrong and what to do. */
export function Asked<T>({ of, children }: { of: UseQueryResult<T, Error>; children: (answer: T) => ReactNode }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.isError) return <Refusal error={of.error} again={() => of.refetch()} />;
  return (
    <Center p="xl" role="status" aria-label="Loading">
      <Loader size="sm" />
    </Center>
  );
}

export function Refusal({ error, again }: { error: unknown; again?: () => void }) {
  const { message, hint } = wordsOf(error);
  return (
    <Alert color="red" variant="outline" icon={<IconAlertTriangle aria-hidden />} title={message} role="alert">
      <Stack gap="xs" align="flex-start">
        {hint && <Text size="sm">{hint}</Text>}
        {again && (
          <Button size="compact-sm" variant="default" onClick={again}>
            Try again
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

/** What an empty page says: what belongs here, and what to do first. */
export function Empty({ title, children, action }: { title: string; children: ReactNode; action?: ReactNode }) {
  return (
    <Center py={48}>
      <Stack align="center" gap="xs" maw={460}>
        <ThemeIcon variant="default" size={48} radius="xl">
          <IconInbox aria-hidden />
        </ThemeIcon>
        <Text fw={600}>{title}</Text>
        <Text c="dimmed" ta="center" size="sm">
          {children}
        </Text>
        {action && <Group mt="xs">{action}</Group>}
      </Stack>
    </Center>
  );
}
