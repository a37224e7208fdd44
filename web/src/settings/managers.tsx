import { Button, Group, NativeSelect, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { type FormEvent, type ReactNode, useState } from 'react';
import { tellDone, useAnswer, useOperation } from '../api.ts';
import { useMay } from '../me.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Rows } from '../parts/rows.tsx';
import { Asked, Empty } from '../parts/states.tsx';

export function Managers() {
  const managers = useAnswer('managers.list', {});
  const unregister = useOperation('managers.unregister');
  const admin = useMay('admin');
  return (
    <Stack>
      <Asked of={managers}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No secret manager is switched on">
              Unset LOCKGATE_SECRET_MANAGER for the encrypted file store, or set it to one of the others, and start
              again.
            </Empty>
          ) : (
            <Rows
              label="Secret managers"
              rows={items}
              keyOf={({ name }) => name}
              columns={[
                { title: 'Name', cell: ({ name }) => name },
                { title: 'Backend', cell: ({ backend }) => backend },
                { title: 'Belongs to', cell: ({ of }) => `the ${of}` },
                { title: 'Default', cell: (each) => (each.default ? 'yes' : '') },
                { title: 'Secrets of other tools', cell: ({ paths }) => paths.join(', ') || 'none' },
                {
                  title: 'Forget',
                  cell: ({ name, of }) =>
                    of === 'workspace' &&
                    admin && (
                      <Confirm
                        title={`Forget ${name}?`}
                        does="Forget it"
                        onConfirm={() => unregister.mutateAsync({ name })}
                        trigger={(ask) => (
                          <Button size="compact-sm" variant="default" onClick={ask}>
                            Forget
                          </Button>
                        )}
                      >
                        What opens it is removed. The secrets in it stay where they are.
                      </Confirm>
                    ),
                },
              ]}
            />
          )
        }
      </Asked>
      {admin && <Register />}
    </Stack>
  );
}

const NOTHING = { name: '', url: '', mount: 'secret', kv: '2', auth: 'token', roleId: '', namespace: '', opener: '' };

/** A workspace's own Vault. */
function Register() {
  const [given, setGiven] = useState(NOTHING);
  const register = useOperation('managers.register');
  const set = (change: Partial<typeof NOTHING>) => setGiven({ ...given, ...change });
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const { name, url, mount, kv, auth, roleId, namespace, opener } = given;
    await register.mutateAsync({
      name: name.trim(),
      url: url.trim(),
      mount,
      kv: kv === '1' ? 1 : 2,
      auth: auth as 'token' | 'approle',
      ...(roleId ? { roleId } : {}),
      ...(namespace ? { namespace } : {}),
      opener,
    });
    setGiven(NOTHING);
    tellDone(`${name} is registered. Sources name its secrets as ${name}:path/to/secret.`);
  };
  const text = (field: keyof typeof NOTHING, label: string, required = false) => (
    <TextInput
      label={label}
      required={required}
      withAsterisk={required}
      value={given[field]}
      onChange={(event) => set({ [field]: event.currentTarget.value })}
    />
  );
  return (
    <form onSubmit={(event) => submit(event).catch(() => undefined)} autoComplete="off">
      <Stack gap="sm" maw={720}>
        <Title order={2} size="h4">
          Register a Vault of your own
        </Title>
        <Text size="sm">What opens it goes sealed into the default secret manager, like any other credential.</Text>
        <Group grow align="flex-end">
          {text('name', 'Name', true)}
          {text('url', 'Address', true)}
        </Group>
        <Group grow align="flex-end">
          {text('mount', 'Engine path')}
          <NativeSelect
            label="KV version"
            data={['2', '1']}
            value={given.kv}
            onChange={(event) => set({ kv: event.currentTarget.value })}
          />
          {text('namespace', 'Namespace')}
        </Group>
        <Proof given={given} set={set} text={text} />
        <Group>
          <Button type="submit" variant="default" loading={register.isPending}>
            Register
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

interface ProofProps {
  readonly given: typeof NOTHING;
  readonly set: (change: Partial<typeof NOTHING>) => void;
  readonly text: (field: keyof typeof NOTHING, label: string, required?: boolean) => ReactNode;
}

/** What opens it. */
function Proof({ given, set, text }: ProofProps) {
  return (
    <Group grow align="flex-end">
      <NativeSelect
        label="Signs in with"
        data={[
          { value: 'token', label: 'a token' },
          { value: 'approle', label: 'an AppRole' },
        ]}
        value={given.auth}
        onChange={(event) => set({ auth: event.currentTarget.value })}
      />
      {given.auth === 'approle' && text('roleId', 'Role ID', true)}
      <PasswordInput
        label={given.auth === 'approle' ? 'Secret ID' : 'Token'}
        required
        withAsterisk
        autoComplete="off"
        value={given.opener}
        onChange={(event) => set({ opener: event.currentTarget.value })}
      />
    </Group>
  );
}
