import { Alert, Anchor, Button, Center, Divider, Paper, PasswordInput, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { signIn, signInWays, wordsOf } from './api.ts';

const FAILED: Readonly<Record<string, string>> = {
  issuer: 'The identity provider did not let you in, or it took too long. Try it again.',
  role: 'You are known, but no rule gives you a role. Ask an administrator to add one for you.',
};

export function SignIn({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const ways = useQuery({ queryKey: ['sign-in'], queryFn: signInWays });
  const failed = FAILED[new URLSearchParams(window.location.search).get('failed') ?? ''];
  return (
    <Center mih="100vh" p="md" component="main">
      <Paper withBorder p="xl" w={420} shadow="sm">
        <Stack>
          <Title order={1} size="h2">
            Lockgate
          </Title>
          <Text c="dimmed" size="sm">
            Documents come through the gate; the keys stay behind it.
          </Text>
          {failed && <Alert color="red" variant="outline" role="alert" title={failed} />}
          {ways.data?.oidc && (
            <>
              <Button component="a" href="/auth/oidc/start">
                Sign in with your organisation
              </Button>
              <Divider label="or" />
            </>
          )}
          <TokenForm onSignedIn={onSignedIn} />
          <Text size="xs" c="dimmed">
            The first start of <code>lockgate serve</code> printed a token. What programs can do is described{' '}
            <Anchor href="/docs" inherit>
              here
            </Anchor>
            .
          </Text>
        </Stack>
      </Paper>
    </Center>
  );
}

function TokenForm({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const [token, setToken] = useState('');
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      await signIn(token);
      window.history.replaceState(null, '', window.location.pathname.replace('/sign-in', '/'));
      await onSignedIn();
    } catch (problem) {
      const { message, hint } = wordsOf(problem);
      setError(`${message} ${hint ?? ''}`);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <PasswordInput
          label="API token"
          placeholder="lgt_…"
          autoComplete="off"
          required
          data-autofocus
          value={token}
          error={error}
          onChange={(event) => {
            setToken(event.currentTarget.value);
            setError(null);
          }}
        />
        <Button type="submit" loading={busy} variant="default">
          Sign in with a token
        </Button>
      </Stack>
    </form>
  );
}
