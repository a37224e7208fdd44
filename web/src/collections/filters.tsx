import { SimpleGrid, Stack, Textarea, TextInput } from '@mantine/core';

export interface Filters {
  /** Globs, one on each line. */
  readonly include: string;
  readonly exclude: string;
  readonly maxMegabytes: string;
}

export const NO_FILTERS: Filters = { include: '', exclude: '', maxMegabytes: '' };

export function globsOf(lines: string): string[] {
  return lines
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
}

export function maxBytesOf({ maxMegabytes }: Filters): number | null {
  const megabytes = Number(maxMegabytes);
  return maxMegabytes.trim() === '' || Number.isNaN(megabytes) ? null : Math.round(megabytes * 1024 * 1024);
}

/** Which of the objects become documents. */
export function FilterFields({ value, onChange }: { value: Filters; onChange: (value: Filters) => void }) {
  const set = (change: Partial<Filters>) => onChange({ ...value, ...change });
  return (
    <Stack gap="sm">
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <Textarea
          label="Only these"
          description="Globs below the path, one on each line; empty: everything."
          placeholder="**/*.pdf"
          autosize
          minRows={2}
          value={value.include}
          onChange={(event) => set({ include: event.currentTarget.value })}
        />
        <Textarea
          label="Not these"
          description="Globs below the path, one on each line."
          placeholder="drafts/**"
          autosize
          minRows={2}
          value={value.exclude}
          onChange={(event) => set({ exclude: event.currentTarget.value })}
        />
      </SimpleGrid>
      <TextInput
        label="Not larger than (MiB)"
        description="Empty: any size."
        inputMode="decimal"
        maw={260}
        value={value.maxMegabytes}
        onChange={(event) => set({ maxMegabytes: event.currentTarget.value })}
      />
    </Stack>
  );
}
