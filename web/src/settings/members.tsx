import { Code, Stack, Text } from '@mantine/core';
import { useAnswer } from '../api.ts';
import { Rows } from '../parts/rows.tsx';
import { Asked, Empty } from '../parts/states.tsx';

/** Who may come in: by rules over what the identity provider says, and by tokens. */
export function Members() {
  const members = useAnswer('members.list', {});
  return (
    <Asked of={members}>
      {({ oidc, items }) => (
        <Stack>
          <Text size="sm">
            People come in by the identity provider, and by <Code>LOCKGATE_OIDC_RULES</Code> what it says of them
            becomes a role. Programs, and people without one, have tokens.
          </Text>
          {items.length === 0 ? (
            <Empty title={oidc ? 'No rule for this workspace' : 'No identity provider'}>
              {oidc
                ? 'Add one to the file of rules: nobody gets a role here by the identity provider.'
                : 'Set LOCKGATE_OIDC_ISSUER and its neighbours to have people sign in with their own accounts; until then tokens let them in.'}
            </Empty>
          ) : (
            <Rows
              label="Rules"
              rows={items}
              keyOf={({ claim, value, role, workspace }) => `${claim} ${value} ${role} ${workspace}`}
              columns={[
                { title: 'Whoever has', cell: ({ claim, value }) => <Code>{`${claim}: ${value}`}</Code> },
                { title: 'Gets the role', cell: ({ role }) => role },
                { title: 'In workspace', cell: ({ workspace }) => (workspace === '*' ? 'all' : workspace) },
              ]}
            />
          )}
        </Stack>
      )}
    </Asked>
  );
}
