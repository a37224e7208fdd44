import { Button, Group, Text } from '@mantine/core';
import { useState } from 'react';

/** Where the page begins that is looked at, among those that were. */
export function usePages() {
  const [pages, setPages] = useState<readonly (string | null)[]>([null]);
  return {
    cursor: pages.at(-1) ?? null,
    isFirst: pages.length === 1,
    back: () => setPages(pages.slice(0, -1)),
    on: (cursor: string) => setPages([...pages, cursor]),
    anew: () => setPages([null]),
  };
}

interface PagerProps {
  readonly pages: ReturnType<typeof usePages>;
  readonly next: string | null;
  /** How many there are in all, in words. */
  readonly words: string;
}

export function Pager({ pages, next, words }: PagerProps) {
  return (
    <Group mt="sm" justify="space-between">
      <Text size="sm" c="dimmed">
        {words}
      </Text>
      <Group gap="xs">
        <Button variant="default" size="xs" disabled={pages.isFirst} onClick={pages.back}>
          Back
        </Button>
        <Button variant="default" size="xs" disabled={next === null} onClick={() => next && pages.on(next)}>
          Next
        </Button>
      </Group>
    </Group>
  );
}
