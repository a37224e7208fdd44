import { Alert, Button, Code, Group, Stack, Switch, TextInput } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { type Answer, useAnswer, useOperation } from '../api.ts';
import { useMay } from '../me.tsx';
import { count, When } from '../parts/amounts.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Rows } from '../parts/rows.tsx';
import { Asked, Empty } from '../parts/states.tsx';

type Webhook = Answer<'webhooks.list'>['items'][number];

/** Who is told of changes. */
export function Webhooks({ collection }: { collection: string }) {
  const webhooks = useAnswer('webhooks.list', { collection });
  const may = useMay('edit');
  return (
    <Stack>
      {may && <NewWebhook collection={collection} />}
      <Asked of={webhooks}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="Nobody is told">Name an address that takes signed messages whenever documents change.</Empty>
          ) : (
            <List items={items} />
          )
        }
      </Asked>
    </Stack>
  );
}

function NewWebhook({ collection }: { collection: string }) {
  const [url, setUrl] = useState('');
  const create = useOperation('webhooks.create');
  const add = async (event: FormEvent) => {
    event.preventDefault();
    await create.mutateAsync({ collection, url: url.trim() });
    setUrl('');
  };
  return (
    <form onSubmit={(event) => add(event).catch(() => undefined)}>
      <Group align="flex-end">
        <TextInput
          label="Address"
          type="url"
          required
          w={360}
          placeholder="https://app.example.com/lockgate"
          value={url}
          onChange={(event) => setUrl(event.currentTarget.value)}
        />
        <Button type="submit" variant="default" loading={create.isPending}>
          Add a webhook
        </Button>
      </Group>
      {create.data && (
        <Alert mt="sm" color="teal" variant="outline" role="status" title="Its signing secret is shown this once">
          <Code>{create.data.secret}</Code>
        </Alert>
      )}
    </form>
  );
}

function List({ items }: { items: readonly Webhook[] }) {
  const update = useOperation('webhooks.update');
  const remove = useOperation('webhooks.remove');
  const may = useMay('edit');
  return (
    <Rows
      label="Webhooks"
      rows={items}
      keyOf={({ id }) => id}
      columns={[
        { title: 'Address', cell: ({ url }) => <span className="path">{url}</span> },
        { title: 'Told up to', cell: ({ after }) => count(after), number: true },
        { title: 'Trouble', cell: ({ error, attempts }) => (error ? `${error} (${attempts} tries)` : 'none') },
        { title: 'Next try', cell: ({ nextAt }) => <When time={nextAt} none="with the next change" /> },
        {
          title: 'On',
          cell: ({ id, enabled, url }) => (
            <Switch
              aria-label={`Tell ${url}`}
              checked={enabled}
              disabled={!may}
              onChange={(event) => update.mutate({ id, enabled: event.currentTarget.checked })}
            />
          ),
        },
        {
          title: 'Remove',
          cell: ({ id, url }) =>
            may && (
              <Confirm
                title="Remove the webhook?"
                does="Remove it"
                onConfirm={() => remove.mutateAsync({ id })}
                trigger={(ask) => (
                  <Button size="compact-sm" variant="default" onClick={ask}>
                    Remove
                  </Button>
                )}
              >
                {url} is told no more.
              </Confirm>
            ),
        },
      ]}
    />
  );
}
