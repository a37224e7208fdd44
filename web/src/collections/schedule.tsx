import { Group, NativeSelect, Stack, Switch, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { type Given, useAnswer, wordsOf } from '../api.ts';

export interface ScheduleValue {
  readonly autoSync: boolean;
  readonly kind: 'every' | 'cron';
  readonly every: string;
  readonly cron: string;
  readonly timezone: string;
}

export const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

export const USUAL: ScheduleValue = {
  autoSync: true,
  kind: 'every',
  every: '15m',
  cron: '0 6 * * 1-5',
  timezone: HERE,
};

export type Schedule = NonNullable<Given<'sources.create'>['schedule']>;

export function scheduleOf({ kind, every, cron, timezone }: ScheduleValue): Schedule {
  return kind === 'every' ? { every } : { cron, timezone };
}

const EVERY = [
  ['1m', 'every minute'],
  ['5m', 'every 5 minutes'],
  ['15m', 'every quarter of an hour'],
  ['1h', 'every hour'],
  ['6h', 'every 6 hours'],
  ['1d', 'every day'],
] as const;

const ZONES = [...new Set([HERE, 'UTC', ...Intl.supportedValuesOf('timeZone')])];

/** When documents are looked for, in words and with the next times. */
export function ScheduleFields({
  value,
  onChange,
}: {
  value: ScheduleValue;
  onChange: (value: ScheduleValue) => void;
}) {
  const set = (change: Partial<ScheduleValue>) => onChange({ ...value, ...change });
  const own = !EVERY.some(([every]) => every === value.every);
  return (
    <Stack gap="sm">
      <Switch
        label="Auto-sync"
        description="Look for new, changed and removed documents by itself."
        checked={value.autoSync}
        onChange={(event) => set({ autoSync: event.currentTarget.checked })}
      />
      {value.autoSync && (
        <Group align="flex-end">
          <NativeSelect
            label="When"
            value={value.kind === 'cron' ? 'cron' : own ? 'own' : value.every}
            onChange={(event) => {
              const chosen = event.currentTarget.value;
              if (chosen === 'cron') set({ kind: 'cron' });
              else set({ kind: 'every', every: chosen === 'own' ? '30s' : chosen });
            }}
            data={[
              ...EVERY.map(([each, label]) => ({ value: each, label })),
              { value: 'own', label: 'at another interval' },
              { value: 'cron', label: 'by a cron expression' },
            ]}
          />
          {value.kind === 'every' && own && (
            <TextInput
              label="Interval"
              placeholder="30s"
              w={110}
              value={value.every}
              onChange={(event) => set({ every: event.currentTarget.value })}
            />
          )}
          {value.kind === 'cron' && (
            <>
              <TextInput
                label="Cron"
                value={value.cron}
                onChange={(event) => set({ cron: event.currentTarget.value })}
              />
              <NativeSelect
                label="Time zone"
                data={ZONES}
                value={value.timezone}
                onChange={(event) => set({ timezone: event.currentTarget.value })}
              />
            </>
          )}
        </Group>
      )}
      {value.autoSync && <InWords value={value} />}
    </Stack>
  );
}

function InWords({ value }: { value: ScheduleValue }) {
  const [asked] = useDebouncedValue(value, 250);
  const answer = useAnswer('schedules.explain', { schedule: scheduleOf(asked), times: 5 });
  if (answer.error) {
    const { message, hint } = wordsOf(answer.error);
    return (
      <Text size="sm" c="var(--mantine-color-error)" role="alert">
        {message} {hint}
      </Text>
    );
  }
  const zone = asked.kind === 'cron' ? asked.timezone : HERE;
  const format = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short', timeZone: zone });
  return (
    <Text size="sm" role="status">
      {answer.data?.words ?? '…'}. Next, in {zone}:{' '}
      {answer.data?.next.map((time) => format.format(new Date(time))).join(' · ')}
    </Text>
  );
}
