import { Card, Stack, Title } from '@mantine/core';
import type { ReactNode } from 'react';

/** A part of a page with a title of its own. */
export function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Card withBorder>
      <Stack gap="sm">
        <Title order={2} size="h4">
          {title}
        </Title>
        {children}
      </Stack>
    </Card>
  );
}
