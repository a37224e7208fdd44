import { Anchor, Breadcrumbs, Group, Stack, Text, Title } from '@mantine/core';
import { type ReactNode, useEffect } from 'react';
import { Link } from 'wouter';

interface PageProps {
  readonly title: string;
  /** Pages above this one. */
  readonly above?: readonly { readonly title: string; readonly href: string }[];
  readonly about?: ReactNode;
  readonly actions?: ReactNode;
  readonly children: ReactNode;
}

/** A page with its title, the way back, and what can be done on it. */
export function Page({ title, above = [], about, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Lockgate`;
  }, [title]);
  return (
    <Stack gap="lg">
      <Stack gap={4}>
        {above.length > 0 && (
          <Breadcrumbs fz="sm">
            {above.map((each) => (
              <To key={each.href} href={each.href}>
                {each.title}
              </To>
            ))}
            <Text span inherit c="dimmed" className="path">
              {title}
            </Text>
          </Breadcrumbs>
        )}
        <Group justify="space-between" align="flex-start">
          <Title order={1} size="h2" className="path">
            {title}
          </Title>
          {actions && <Group gap="xs">{actions}</Group>}
        </Group>
        {about && (
          <Text c="dimmed" size="sm" component="div" className="path">
            {about}
          </Text>
        )}
      </Stack>
      {children}
    </Stack>
  );
}

/** A link to another page of ours. */
export function To({ href, children }: { href: string; children: ReactNode }) {
  return (
    <Anchor component={Link} href={href} inherit className="path">
      {children}
    </Anchor>
  );
}
