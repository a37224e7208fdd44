import { X509Certificate } from 'node:crypto';
import type { CheckReport, Connector, Entry, Runtime, Source } from '../../src/contract/connector.ts';
import { ConnectorError, describeError } from '../../src/contract/errors.ts';
import type { Secret } from '../../src/contract/secret.ts';
import { certificateExpiry } from '../entra/credential.ts';
import { readContent } from './content.ts';
import { parseCredential, type SharePointCredential, SharePointFields } from './credential.ts';
import { listPage } from './delta.ts';
import { type Graph, openGraph } from './graph.ts';
import { parseLocation, type SharePointLocation } from './location.ts';
import { isSitePage, readSitePage } from './pages.ts';
import { SharePointSettings } from './settings.ts';

const SOON_MS = 30 * 24 * 3_600_000;

export const sharepoint: Connector<SharePointCredential, SharePointLocation> = {
  type: 'sharepoint',
  capabilities: { listing: 'delta', ranges: true },
  credentialFields: SharePointFields,
  settingsFields: SharePointSettings,
  parseCredential,
  expiryOf: certificateExpiry,
  parseLocation,
  // Microsoft counts the requests of an application in a tenant.
  quotaOf: (credential) => {
    const { tenant_id, client_id, cloud } = credential.reveal();
    return `${cloud} ${tenant_id} ${client_id}`;
  },
  open,
};

function open(credential: Secret<SharePointCredential>, location: SharePointLocation, runtime: Runtime): Source {
  const graph = openGraph(credential, runtime);
  return {
    check: (signal) => check(graph, runtime, credential, location, signal),
    listPage: (position, signal) => listPage(graph, location, position, signal),
    read: (entry, range, signal) =>
      isSitePage(entry)
        ? readSitePage(graph, entry, signal)
        : readContent(graph, runtime, entry, range, signal, location.permissions),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** Finds the place, lists the first changes and reads a byte: what a sync does. */
async function check(
  graph: Graph,
  runtime: Runtime,
  credential: Secret<SharePointCredential>,
  location: SharePointLocation,
  signal: AbortSignal,
): Promise<CheckReport> {
  let reachable = false;
  const warnings: string[] = [];
  try {
    const roles = await graph.roles(signal);
    warnings.push(...rightsWarnings(roles), ...expiryWarnings(credential, runtime.clock.now()));
    const sample = await firstFile(graph, location, signal);
    reachable = true;
    if (!sample) warnings.push('There is no file to try reading under this path.');
    else for await (const _ of (await readContent(graph, runtime, sample, { start: 0, end: 1 }, signal, false)).body);
    return { reachable, readable: true, warnings };
  } catch (error) {
    signal.throwIfAborted();
    const answered = error instanceof ConnectorError && error.status !== undefined;
    return { reachable: reachable || answered, readable: false, problem: describeError(error), warnings };
  }
}

const PAGES_TRIED = 3;

async function firstFile(graph: Graph, location: SharePointLocation, signal: AbortSignal): Promise<Entry | null> {
  let position: string | null = null;
  for (let tried = 0; tried <= PAGES_TRIED; tried++) {
    const { changes, next }: Awaited<ReturnType<typeof listPage>> = await listPage(graph, location, position, signal);
    const found = changes?.entries.find(({ size, unreadable }) => size > 0 && !unreadable);
    if (found) return { ...found, path: found.name };
    if (next.kind === 'end') return null;
    position = next.pageToken;
  }
  return null;
}

function rightsWarnings(roles: readonly string[]): string[] {
  const writing = roles.filter((role) => /^(Sites|Files)\..*(Write|Manage|FullControl)/.test(role));
  const wide = roles.filter((role) => /^(Sites|Files)\.Read\.All$/.test(role));
  if (writing.length > 0) return [`The application may also write: ${writing.join(', ')}. A sync needs to read only.`];
  if (wide.length > 0)
    return [
      `The application may read every site: ${wide.join(', ')}. Sites.Selected with a grant on this site is enough.`,
    ];
  return [];
}

function expiryWarnings(credential: Secret<SharePointCredential>, now: number): string[] {
  const { certificate } = credential.reveal();
  if (!certificate) return [];
  const end = Date.parse(new X509Certificate(certificate).validTo);
  if (end - now > SOON_MS) return [];
  return [`The certificate ${end <= now ? 'expired' : 'expires'} at ${new Date(end).toISOString()}.`];
}
