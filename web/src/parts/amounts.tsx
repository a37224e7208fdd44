import { Text } from '@mantine/core';

const NUMBER = new Intl.NumberFormat('en');
const AGO = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const DATE = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' });
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
];

export function count(value: number): string {
  return NUMBER.format(value);
}

/** Such as `1 document` and `2 documents`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

export function bytes(value: number): string {
  const power = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10));
  const scaled = value / 1024 ** power;
  return `${power === 0 ? scaled : scaled.toFixed(scaled < 10 ? 1 : 0)} ${UNITS[power]}`;
}

export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return 'under 1 s';
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function ago(time: string, now = Date.now()): string {
  const seconds = (Date.parse(time) - now) / 1000;
  const [unit, size] = STEPS.find(([, each]) => Math.abs(seconds) >= each) ?? ['second', 1];
  return AGO.format(Math.round(seconds / size), unit);
}

export function dateTime(time: string): string {
  return DATE.format(new Date(time));
}

/** A time as people say it; exactly, where the pointer rests on it. */
export function When({ time, none = 'never' }: { time: string | null; none?: string }) {
  if (!time)
    return (
      <Text span inherit c="dimmed">
        {none}
      </Text>
    );
  return (
    <time dateTime={time} title={dateTime(time)}>
      {ago(time)}
    </time>
  );
}
