import { Button, Group, Stack } from '@mantine/core';
import type { Failure } from '../answers.ts';
import { tellDone, useAnswer, useOperation } from '../api.ts';
import { useMay } from '../me.tsx';
import { plural, When } from '../parts/amounts.tsx';
import { PATH, SIZE } from '../parts/columns.tsx';
import { Rows } from '../parts/rows.tsx';
import { Asked, Empty } from '../parts/states.tsx';

export function Failures({ collection }: { collection: string }) {
  const failures = useAnswer('failures.list', { collection }, { every: 10_000 });
  const retry = useOperation('failures.retry');
  const may = useMay('edit');
  const again = async () => {
    const { retried } = await retry.mutateAsync({ collection });
    tellDone(`${plural(retried, 'document')} will be tried again by the next run.`);
  };
  return (
    <Asked of={failures}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="Nothing failed">Every document that was listed could be fetched.</Empty>
        ) : (
          <Stack>
            {may && (
              <Group>
                <Button variant="default" loading={retry.isPending} onClick={() => again().catch(() => undefined)}>
                  Try them all again
                </Button>
              </Group>
            )}
            <FailureRows items={items} />
          </Stack>
        )
      }
    </Asked>
  );
}

/** What somebody can do about it; what is not here passes by itself, or is said in the message. */
const WHAT_TO_DO: Readonly<Record<string, string>> = {
  archived: 'Restore it from the archive tier; the next run takes it then.',
  permission_denied: 'Give the credential the right to read it, or leave it out by a filter.',
  changed_during_fetch: 'It was written while it was read; the next run takes it.',
  not_found: 'It was removed after it was listed; the next run knows.',
  checksum_mismatch: 'What arrived was not what was stored there. If it stays, look at the network or at the source.',
  truncated: 'The connection ended early; it is tried again.',
  malware: 'The source found malware in it. Have it looked at there, or leave it out by a filter.',
  unsupported_key: 'Give it another name at the source, or leave it out by a filter.',
  locked: 'Somebody has it checked out; it is tried again.',
  throttled: 'The source has had enough for now; it is tried again.',
  unavailable: 'The source does not answer; it is tried again.',
};

export function FailureRows({ items }: { items: readonly Failure[] }) {
  return (
    <Rows
      label="Documents that could not be fetched"
      rows={items}
      keyOf={({ sourceId, key }) => `${sourceId} ${key}`}
      columns={[
        PATH,
        { title: 'Why', cell: ({ message }) => <span className="path">{message}</span> },
        { title: 'What to do', cell: ({ code }) => WHAT_TO_DO[code] ?? 'It is tried again by itself.' },
        SIZE,
        { title: 'Tries', cell: ({ attempts }) => attempts, number: true },
        { title: 'Last', cell: ({ lastAt }) => <When time={lastAt} /> },
        {
          title: 'Next',
          cell: ({ givenUpAt, nextAt }) => (givenUpAt ? 'given up' : <When time={nextAt} none="with the next run" />),
        },
      ]}
    />
  );
}
