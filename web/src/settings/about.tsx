import { Anchor, Stack, Text } from '@mantine/core';
import { useAnswer } from '../api.ts';
import { Facts } from '../parts/rows.tsx';
import { Asked } from '../parts/states.tsx';

export function About() {
  const about = useAnswer('about.get', {});
  return (
    <Asked of={about}>
      {(found) => (
        <Stack>
          <Facts
            facts={[
              ['Lockgate', found.version],
              ['Node.js', found.node],
              ['Database', found.database],
              ['Content store', found.contentStore],
              ['Secret manager', found.secretManager ?? 'none'],
              ['Identity provider', found.oidc ? 'yes' : 'none'],
              ['Changes are kept', days(found.keepChangesDays)],
              ['Runs are kept', days(found.keepRunsDays)],
            ]}
          />
          <Text size="sm">
            What programs can do: <Anchor href="/docs">the interface</Anchor>,{' '}
            <Anchor href="/openapi.json">its description</Anchor>.
          </Text>
        </Stack>
      )}
    </Asked>
  );
}

function days(count: number): string {
  return count === 0 ? 'for ever' : `${count} days`;
}
