import { NativeSelect } from '@mantine/core';
import { type Answer, useAnswer } from '../api.ts';

type Manager = Answer<'managers.list'>['items'][number];

interface ManagerChoiceProps {
  /** Empty: the default one. */
  readonly value: string;
  readonly onChange: (name: string) => void;
  /** Whether values can be put into it from here; what a workspace has registered only workers open. */
  readonly writable?: true;
}

/** Nothing where there is no choice. */
export function ManagerChoice({ value, onChange, writable }: ManagerChoiceProps) {
  const managers = useManagers().filter((each) => !writable || each.of === 'deployment');
  if (managers.length < 2) return null;
  return (
    <NativeSelect
      label="Secret manager"
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      data={managers.map((each) => ({
        value: each.default ? '' : each.name,
        label: each.default ? 'the default one' : `${each.name} (${each.backend})`,
      }))}
    />
  );
}

/** What a question says of it. */
export function inManager(name: string): { manager?: string } {
  return name ? { manager: name } : {};
}

/** The default one first. */
export function useManagers(): readonly Manager[] {
  const managers = useAnswer('managers.list', {});
  return [...(managers.data?.items ?? [])].sort((a, b) => Number(b.default) - Number(a.default));
}
