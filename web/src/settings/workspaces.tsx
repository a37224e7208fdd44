import { Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { useAnswer, useOperation, workspace } from '../api.ts';
import { useMe } from '../me.tsx';
import { When } from '../parts/amounts.tsx';
import { Rows } from '../parts/rows.tsx';
import { Asked } from '../parts/states.tsx';

export function Workspaces() {
  const me = useMe();
  const all = useAnswer('workspaces.list', {});
  const [id, setId] = useState('');
  const create = useOperation('workspaces.create');
  const add = async (event: FormEvent) => {
    event.preventDefault();
    await create.mutateAsync({ id: id.trim() });
    setId('');
  };
  return (
    <Stack>
      <Text size="sm">
        A workspace has its own secrets, collections, tokens and members; nothing of one is seen in another.
      </Text>
      <Asked of={all}>
        {({ items }) => (
          <Rows
            label="Workspaces"
            rows={
              items.some((each) => each.id === me.workspace) ? items : [{ id: me.workspace, createdAt: null }, ...items]
            }
            keyOf={(each) => each.id}
            columns={[
              { title: 'Workspace', cell: (each) => each.id },
              { title: 'Made', cell: ({ createdAt }) => <When time={createdAt} none="with the deployment" /> },
              {
                title: 'Look at it',
                cell: (each) =>
                  each.id === me.workspace ? (
                    'this one'
                  ) : (
                    <Button size="compact-sm" variant="default" onClick={() => workspace.set(each.id)}>
                      Switch to {each.id}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Asked>
      {me.everywhere && me.permissions.includes('admin') && (
        <form onSubmit={(event) => add(event).catch(() => undefined)}>
          <Group align="flex-end">
            <TextInput
              label="New workspace"
              placeholder="finance"
              required
              value={id}
              onChange={(event) => setId(event.currentTarget.value)}
            />
            <Button type="submit" variant="default" loading={create.isPending}>
              Create
            </Button>
          </Group>
        </form>
      )}
    </Stack>
  );
}
