import { Alert, Button, Code, Group, NativeSelect, Stack, TextInput } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { type Given, tellDone, useAnswer, useOperation } from '../api.ts';
import { When } from '../parts/amounts.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Rows } from '../parts/rows.tsx';
import { Asked } from '../parts/states.tsx';

type Role = Given<'tokens.create'>['role'];

/** What each role is for. */
export const ROLES: Readonly<Record<Role, string>> = {
  viewer: 'sees everything but the audit log',
  editor: 'and makes collections and sources, and runs them',
  'secret-admin': 'sees everything, and adds and removes credentials',
  auditor: 'sees everything, the audit log included',
  admin: 'may do everything',
};

export function Tokens() {
  const tokens = useAnswer('tokens.list', {});
  const revoke = useOperation('tokens.revoke');
  return (
    <Stack>
      <NewToken />
      <Asked of={tokens}>
        {({ items }) => (
          <Rows
            label="Tokens"
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              { title: 'Name', cell: ({ name }) => name },
              { title: 'Role', cell: ({ role }) => role },
              { title: 'Workspace', cell: ({ workspace }) => workspace ?? 'all' },
              { title: 'Last used', cell: ({ lastUsedAt }) => <When time={lastUsedAt} /> },
              {
                title: 'Ends',
                cell: ({ expiresAt, revokedAt }) => (revokedAt ? 'revoked' : <When time={expiresAt} none="no end" />),
              },
              {
                title: 'Revoke',
                cell: ({ id, name, revokedAt }) =>
                  revokedAt ? null : (
                    <Confirm
                      title={`Revoke ${name}?`}
                      does="Revoke it"
                      onConfirm={async () => {
                        await revoke.mutateAsync({ id });
                        tellDone(`${name} is worthless now.`);
                      }}
                      trigger={(ask) => (
                        <Button size="compact-sm" variant="default" onClick={ask}>
                          Revoke
                        </Button>
                      )}
                    >
                      Whoever uses it is refused from then on, and so is whoever signed in with it.
                    </Confirm>
                  ),
              },
            ]}
          />
        )}
      </Asked>
    </Stack>
  );
}

function NewToken() {
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('viewer');
  const [days, setDays] = useState('90');
  const create = useOperation('tokens.create');
  const add = async (event: FormEvent) => {
    event.preventDefault();
    await create.mutateAsync({ name: name.trim(), role, expiresInDays: Number(days) });
    setName('');
  };
  return (
    <form onSubmit={(event) => add(event).catch(() => undefined)}>
      <Group align="flex-end">
        <TextInput
          label="Name"
          required
          placeholder="search-feeder"
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <NativeSelect
          label="Role"
          value={role}
          onChange={(event) => setRole(event.currentTarget.value as Role)}
          data={Object.entries(ROLES).map(([value, words]) => ({ value, label: `${value}: ${words}` }))}
        />
        <TextInput
          label="Days"
          inputMode="numeric"
          w={80}
          value={days}
          onChange={(event) => setDays(event.currentTarget.value)}
        />
        <Button type="submit" variant="default" loading={create.isPending}>
          Make a token
        </Button>
      </Group>
      {create.data && (
        <Alert mt="sm" color="teal" variant="outline" role="status" title="It is shown this once">
          <Code className="path">{create.data.token}</Code>
        </Alert>
      )}
    </form>
  );
}
