import { Button, Drawer, Group, Stack } from '@mantine/core';
import { useState } from 'react';
import type { Source } from '../answers.ts';
import { tellDone, useOperation } from '../api.ts';
import { Refusal } from '../parts/states.tsx';
import { FilterFields, type Filters, globsOf, maxBytesOf } from './filters.tsx';
import { ScheduleFields, type ScheduleValue, scheduleOf, USUAL } from './schedule.tsx';

interface EditProps {
  readonly source: Source;
  readonly opened: boolean;
  readonly onClose: () => void;
}

export function EditSchedule({ source, opened, onClose }: EditProps) {
  return (
    <Drawer opened={opened} onClose={onClose} title="Schedule and filters" position="right" size="lg">
      <Form source={source} onClose={onClose} />
    </Drawer>
  );
}

function scheduleIn({ schedule, autoSync }: Source): ScheduleValue {
  if (!schedule) return { ...USUAL, autoSync: false };
  if ('cron' in schedule) return { ...USUAL, autoSync, kind: 'cron', ...schedule };
  return { ...USUAL, autoSync, kind: 'every', every: intervalOf(schedule.everySeconds) };
}

function intervalOf(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400}d`;
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

function Form({ source, onClose }: Omit<EditProps, 'opened'>) {
  const [schedule, setSchedule] = useState(() => scheduleIn(source));
  const [filters, setFilters] = useState<Filters>({
    include: source.include.join('\n'),
    exclude: source.exclude.join('\n'),
    maxMegabytes: source.maxBytes === null ? '' : String(source.maxBytes / 1024 / 1024),
  });
  const update = useOperation('sources.update', { quiet: true });
  const save = async () => {
    await update.mutateAsync({
      id: source.id,
      autoSync: schedule.autoSync,
      ...(schedule.autoSync || source.schedule ? { schedule: scheduleOf(schedule) } : {}),
      include: globsOf(filters.include),
      exclude: globsOf(filters.exclude),
      maxBytes: maxBytesOf(filters),
    });
    tellDone('Saved.');
    onClose();
  };
  return (
    <Stack>
      <ScheduleFields value={schedule} onChange={setSchedule} />
      <FilterFields value={filters} onChange={setFilters} />
      {update.error && <Refusal error={update.error} />}
      <Group justify="flex-end">
        <Button loading={update.isPending} onClick={() => save().catch(() => undefined)}>
          Save
        </Button>
      </Group>
    </Stack>
  );
}
