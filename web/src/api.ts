import endpoints from 'virtual:endpoints';
import { notifications } from '@mantine/notifications';
import { QueryCache, QueryClient, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { answerOf, createTransport } from '../../src/client/transport.ts';
import type { Answer, Given, OperationName } from '../../src/contract/api/index.ts';
import { LockgateError } from '../../src/contract/errors.ts';

const WORKSPACE = 'lockgate-workspace';

export type { Answer, Given, OperationName };
export { LockgateError };

/** The workspace that is looked at; empty: the one that the caller belongs to. */
export const workspace = {
  get: () => window.localStorage.getItem(WORKSPACE) ?? '',
  set: (name: string) => {
    window.localStorage.setItem(WORKSPACE, name);
    window.location.assign('/');
  },
};

/** Other sites' pages cannot send this header, so what carries it is ours. */
const OWN = { 'lockgate-request': 'page' };

function transport() {
  const chosen = workspace.get();
  const headers = { ...OWN, ...(chosen ? { 'lockgate-workspace': chosen } : {}) };
  return createTransport({ url: window.location.origin, headers }, endpoints);
}

export const { call, request } = transport();

/** Tells the app that nobody is signed in any more. */
export const signedOut = new EventTarget();

export const queries = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => {
      if (codeOf(error) === 'unauthenticated') signedOut.dispatchEvent(new Event('signed-out'));
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 2000,
      // A refusal stays one.
      retry: (count, error) => codeOf(error) === 'service_unreachable' && count < 3,
    },
  },
});

export function codeOf(error: unknown): string {
  return error instanceof LockgateError ? error.code : 'unknown';
}

/** What the service answers to a question, asked again every `every` milliseconds while it is looked at. */
export function useAnswer<K extends OperationName>(
  name: K,
  given: Given<K>,
  { enabled = true, every }: { enabled?: boolean; every?: number | false } = {},
) {
  return useQuery({
    queryKey: [name, given],
    queryFn: ({ signal }) => call(name, given, signal),
    enabled,
    ...(every ? { refetchInterval: every } : {}),
    placeholderData: (before) => before as never,
  });
}

/** Has the service do something; then all that is shown is asked for again. A refusal is told unless `quiet`. */
export function useOperation<K extends OperationName>(name: K, { quiet = false }: { quiet?: boolean } = {}) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (given: Given<K>) => call(name, given),
    onSuccess: () => client.invalidateQueries(),
    onError: (error) => {
      if (!quiet) tellRefusal(error);
    },
  });
}

/**
 * Has something done whose answer is shown where it was asked for. `until`: how long the last answer stays, unless another comes.
 */
export function useAttempt<Given, T>(work: (given: Given) => Promise<T>, until: 'start' | 'refusal' | 'answer') {
  const [answer, setAnswer] = useState<T | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const start = async (given: Given) => {
    setBusy(true);
    setError(null);
    if (until === 'start') setAnswer(null);
    try {
      setAnswer(await work(given));
    } catch (problem) {
      if (until === 'refusal') setAnswer(null);
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return { answer, error, busy, start };
}

export function tellRefusal(error: unknown): void {
  const { message, hint } = wordsOf(error);
  notifications.show({ color: 'red', title: message, message: hint ?? '', autoClose: 12_000 });
}

export function tellDone(message: string): void {
  notifications.show({ color: 'teal', message, autoClose: 4000 });
}

export function wordsOf(error: unknown): { message: string; hint: string | null } {
  if (error instanceof LockgateError) return { message: error.message, hint: error.hint ?? null };
  return {
    message: 'Something went wrong in this page.',
    hint: 'Load it again; if it stays, look at the service’s log.',
  };
}

/** Signs in with a token. Throws `LockgateError` with `unauthenticated`. */
export async function signIn(token: string): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  await answerOf(await request('/auth/session', { method: 'POST', headers, body: JSON.stringify({ token }) }));
}

export async function signOut(): Promise<void> {
  await request('/auth/session', { method: 'DELETE' });
  queries.clear();
  window.localStorage.removeItem(WORKSPACE);
  signedOut.dispatchEvent(new Event('signed-out'));
}

/** Of somebody who is signed in: the workspaces that they may choose from. */
export async function ownWorkspaces(): Promise<{ items: string[] }> {
  return (await answerOf(await request('/auth/workspaces', { method: 'GET' }))) as { items: string[] };
}

export async function signInWays(): Promise<{ oidc: boolean }> {
  return (await answerOf(await request('/auth/ways', { method: 'GET' }))) as { oidc: boolean };
}
