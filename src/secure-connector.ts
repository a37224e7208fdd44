import { fileAuditLog } from './audit/file-log.ts';
import { systemClock } from './clock.ts';
import { type Config, readConfig } from './config.ts';
import { giveBack, isLent } from './contract/chunk-pool.ts';
import {
  type ByteRange,
  type CheckReport,
  CONNECTOR_TYPES,
  type ConnectorType,
  type Content,
  type Entry,
  type Source,
} from './contract/connector.ts';
import { InputError, SecretManagerNotConfiguredError } from './contract/errors.ts';
import { type Credentials, openCredentials } from './credentials.ts';
import { Limits, openSource } from './jobs/open-source.ts';
import { createEgress } from './layers/egress.ts';
import { parseReference } from './secrets/reference.ts';
import { followChanges, memoryMirror, withMirror } from './sync/mirror.ts';
import { commonBeginning, compileSelection } from './sync/selection.ts';

export interface SecureConnectorConfig {
  /** Such as `s3://bucket/prefix`. */
  readonly path: string;
  /** May repeat the credential ID; anything else than the second argument is an error. */
  readonly credential_id?: string;
  /** Globs over the path below `path`; empty: everything. */
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  /** What only the connector type understands, such as `{ site_pages: true }`. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Larger objects are left out. */
  readonly maxBytes?: number;
  /** Where the secret names its fields otherwise: from the names of the connector's fields to those of the secret. */
  readonly credentialFields?: Readonly<Record<string, string>>;
  /** The collection that the documents are for, where a secret may be used for some only. */
  readonly collection?: string;
  /** Who the audit log names. Default: `library`. */
  readonly actor?: string;
}

/** A connector that looks its credential up at each use and forgets it afterwards. */
export interface SecureConnector {
  readonly type: ConnectorType;
  readonly credentialId: string;
  /** Whether the source can be reached and read, and if not, why. Throws the secret manager's errors. */
  check(signal?: AbortSignal): Promise<CheckReport>;
  /** What the path holds, in the order of the source. Throws `ConnectorError` when the listing breaks off. */
  list(signal?: AbortSignal): AsyncIterable<Entry>;
  /** The listed version of an entry, verified. The body must be consumed, or its iterator returned. */
  read(entry: Entry, range?: ByteRange, signal?: AbortSignal): Promise<Content>;
}

/**
 * The IDs of the credentials of a connector type, sorted. Reads no value.
 * Throws `SecretManagerNotConfiguredError` when no secret manager is switched on.
 */
export async function getAvailableSecretIds(connectorType: ConnectorType): Promise<string[]> {
  assertConnectorType(connectorType);
  const config = readConfig();
  const directory = credentialsOf(config).directory(defaultOf(config), config.workspace, 'library');
  return (await Array.fromAsync(directory.list({ connectorType }))).map(({ id }) => id);
}

/**
 * A connector to the path, with the credential of that ID. Neither reads the secret nor makes a request: that happens
 * at each use. Throws `InputError` for an unknown type, and at use `SecretManagerNotConfiguredError`,
 * `NoSecretIdsError`, `CredentialNotFoundError`, `SecretAccessDeniedError`, `CredentialUnusableError`, `ConnectorError`.
 */
export function createSecureCloudStorageConnector(
  connectorType: ConnectorType,
  credentialId: string,
  settings: SecureConnectorConfig,
): SecureConnector {
  assertConnectorType(connectorType);
  assertSettings(credentialId, settings);
  const select = compileSelection({
    include: settings.include ?? [],
    exclude: settings.exclude ?? [],
    maxBytes: settings.maxBytes ?? null,
  });
  const limits = new Limits(systemClock);
  const open = async (reason: string) => {
    const config = readConfig();
    const credentials = credentialsOf(config);
    const { manager, secretId, version } = parseReference(credentialId, config.secretManagers, defaultOf(config));
    return openSource(
      {
        connectorType,
        manager,
        workspace: config.workspace,
        credentialId: secretId,
        credentialVersion: version,
        credentialFields: settings.credentialFields ?? null,
        collection: settings.collection ?? null,
        path: settings.path,
        settings: settings.settings,
        beginning: commonBeginning(settings.include ?? []),
        purpose: { actor: settings.actor ?? 'library', reason },
      },
      {
        reader: credentials.reader,
        directory: (name) => credentials.directory(name, config.workspace, 'library'),
        runtime: {
          clock: systemClock,
          egress: createEgress(config.allowedEndpoints),
          ambient: config.ambientCredentials,
        },
        limits,
      },
    );
  };
  return {
    type: connectorType,
    credentialId,
    check: async (signal = never()) => {
      const { source } = await open('check');
      await using _closing = source;
      return await source.check(signal);
    },
    list: (signal = never()) => listEntries(open, select, signal),
    read: async (entry, range, signal = never()) => {
      const { source } = await open('read');
      try {
        const { whole, ...content } = await source.read(entry, range, signal);
        if (!whole) return { ...content, body: closingAfter(content.body, source) };
        const own = ownOf(whole);
        return { ...content, whole: own, body: closingAfter([own], source) };
      } catch (error) {
        await source[Symbol.asyncDispose]();
        throw error;
      }
    },
  };
}

function defaultOf({ secretManagers }: Config): string {
  if (secretManagers.default) return secretManagers.default;
  throw new SecretManagerNotConfiguredError();
}

/** Of the deployment's own managers; those that workspaces registered are in the database, which the library does not open. */
function credentialsOf({ secretManagers, audit, allowedEndpoints }: Config): Credentials {
  return openCredentials({
    declared: secretManagers,
    audit: fileAuditLog(audit, systemClock.now),
    clock: systemClock,
    egress: createEgress(allowedEndpoints),
    registered: async () => null,
  });
}

async function* listEntries(
  open: (reason: string) => ReturnType<typeof openSource>,
  select: ReturnType<typeof compileSelection>,
  signal: AbortSignal,
): AsyncIterable<Entry> {
  const { source: opened, listing } = await open('list');
  await using _closing = opened;
  const source = listing === 'delta' ? await everythingOf(opened, signal) : opened;
  let position: string | null = null;
  for (;;) {
    const page: Awaited<ReturnType<Source['listPage']>> = await source.listPage(position, signal);
    for (const entry of page.entries) if (select(entry) === null) yield entry;
    if (page.next.kind === 'end') return;
    position = page.next.pageToken;
  }
}

/** A source that lists changes, as one that lists what it has. */
async function everythingOf(source: Source, signal: AbortSignal): Promise<Source> {
  const mirror = memoryMirror();
  await followChanges(source, mirror, signal);
  return withMirror(source, mirror);
}

async function* closingAfter(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  source: Source,
): AsyncIterable<Uint8Array> {
  try {
    for await (const chunk of body) yield ownOf(chunk);
  } finally {
    await source[Symbol.asyncDispose]();
  }
}

/** The bytes in memory that whoever asked for them may keep. */
function ownOf(bytes: Uint8Array): Uint8Array {
  if (!isLent(bytes)) return bytes;
  const own = Buffer.from(bytes);
  giveBack(bytes);
  return own;
}

function never(): AbortSignal {
  return new AbortController().signal;
}

function assertConnectorType(type: string): asserts type is ConnectorType {
  if (CONNECTOR_TYPES.some((known) => known === type)) return;
  throw new InputError(
    'unknown_connector_type',
    `There is no connector type "${type}".`,
    `Use one of: ${CONNECTOR_TYPES.join(', ')}.`,
  );
}

function assertSettings(credentialId: string, settings: SecureConnectorConfig): void {
  if (typeof credentialId !== 'string' || credentialId === '') {
    throw new InputError(
      'invalid_secret_id',
      'The credential ID is missing.',
      'Pass the ID that the secret manager knows.',
    );
  }
  if (typeof settings?.path !== 'string') {
    throw new InputError('invalid_path', 'The path is missing.', 'Pass { path: "s3://bucket/prefix" }');
  }
  if (settings.credential_id !== undefined && settings.credential_id !== credentialId) {
    throw new InputError('invalid_secret_id', 'The settings name another credential ID than the second argument.');
  }
}
