import { type AnyConnector, loadConnector } from '../../connectors/index.ts';
import type { Place } from '../collections/sources.ts';
import type { Capabilities, Clock, ConnectorType, Runtime, Source } from '../contract/connector.ts';
import { CredentialNotFoundError, CredentialUnusableError, InputError, NoSecretIdsError } from '../contract/errors.ts';
import { parseFields } from '../contract/fields.ts';
import type { AccessedSecret, AccessPurpose, SecretDirectory, SecretReader } from '../contract/secret-manager.ts';
import { AdaptiveLimit, withLimit } from '../layers/limit.ts';
import { type Meter, withMeter } from '../layers/metered.ts';
import { withRenewal } from '../layers/renew.ts';
import { withRetry } from '../layers/retry.ts';
import { withTimeout } from '../layers/timeout.ts';
import { withVerification } from '../layers/verify.ts';
import { commonBeginning } from '../sync/selection.ts';
import { mapFields } from './field-mapping.ts';
import { assertScope } from './scope.ts';

export interface SourceRequest {
  readonly connectorType: ConnectorType;
  readonly manager: string;
  readonly workspace: string;
  readonly credentialId: string;
  /** Absent or null: the latest. */
  readonly credentialVersion?: string | null;
  /** From our names of fields to those of the secret. */
  readonly credentialFields?: Readonly<Record<string, string>> | null;
  /** The name of the collection that the documents are for; null: none. */
  readonly collection?: string | null;
  readonly path: string;
  /** What only the connector understands. */
  readonly settings?: unknown;
  /** Only what begins with this, below the path, is listed. */
  readonly beginning?: string;
  readonly purpose: AccessPurpose;
}

/** What opens a source as its record has it. */
export function requestFor(
  record: Omit<Place, 'exclude' | 'maxBytes' | 'workerLabel'>,
  purpose: AccessPurpose,
): SourceRequest {
  return {
    connectorType: record.connectorType,
    manager: record.credentialManager,
    workspace: record.workspace,
    credentialId: record.credentialId,
    credentialVersion: record.credentialVersion,
    credentialFields: record.credentialFields,
    collection: record.collection,
    path: record.path,
    settings: record.settings,
    beginning: commonBeginning(record.include),
    purpose,
  };
}

export interface SourceParts {
  readonly reader: SecretReader;
  /** What tells a credential that is missing from there being none at all; absent: it is not told. */
  readonly directory?: (manager: string) => SecretDirectory;
  readonly runtime: Omit<Runtime, 'slowDown'>;
  readonly limits: Limits;
  /** Hears of every request. */
  readonly meter?: Meter;
}

/** The adaptive limits of this process, one for each quota, shared by all sources that draw on it. */
export class Limits {
  readonly #byQuota = new Map<string, AdaptiveLimit>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of(quota: string): AdaptiveLimit {
    const limit = this.#byQuota.get(quota) ?? new AdaptiveLimit(this.#clock);
    this.#byQuota.set(quota, limit);
    return limit;
  }
}

export interface OpenedSource {
  readonly source: Source;
  readonly listing: Capabilities['listing'];
  /** Where the listing begins after a key; absent: it begins at its beginning only. */
  readonly positionAfter?: (key: string) => string;
  /** Whose quota its requests count against. */
  readonly quota: string;
  /** The version of the credential that is in use; another one after a rotation. */
  credentialVersion(): string;
}

/** What was made of a credential (a token, the keys of a role) may be revoked while the credential is good: after so many milliseconds it is made anew. */
const TOKENS_MS = 60_000;

/** Loads the connector and its SDK while there is time. What keeps it from loading is told when a source is opened. */
export function prepareSource(type: ConnectorType): void {
  loadConnector(type).catch(() => undefined);
}

/**
 * Looks the credential up, opens the connector with it, and puts the layers around it. Throws the secret manager's
 * errors, and `credential_malformed` when the secret is not of the connector's form. The credential lives as long as
 * the source: dispose of it.
 */
export async function openSource(request: SourceRequest, parts: SourceParts): Promise<OpenedSource> {
  const connector = await loadConnector(request.connectorType);
  const location = locate(connector, request);
  const accessed = await access(request, parts);
  let version = accessed.ref.version;
  const credential = parsed(connector, accessed);
  const quota = `${connector.type} ${connector.quotaOf(credential, location)}`;
  const limit = parts.limits.of(quota);
  const runtime: Runtime = { ...parts.runtime, slowDown: (ms) => limit.pause(ms) };
  const { clock } = parts.runtime;
  const first = connector.open(credential, location, runtime);
  let openedAt = clock.now();
  const renewed = withRenewal(first, async () => {
    const latest = await access(request, parts);
    const isNew = latest.ref.version !== version;
    if (!isNew && clock.now() - openedAt < TOKENS_MS) return null;
    version = latest.ref.version;
    openedAt = clock.now();
    return connector.open(parsed(connector, latest), location, runtime);
  });
  const bounded = withTimeout(renewed);
  const metered = parts.meter ? withMeter(bounded, parts.meter, parts.runtime.clock.now) : bounded;
  const limited = withLimit(metered, limit);
  const retried = withRetry(limited, connector.capabilities.ranges, parts.runtime.clock);
  const { listing } = connector.capabilities;
  const { positionAfter } = connector;
  return {
    source: withVerification(retried),
    listing,
    ...(positionAfter ? { positionAfter } : {}),
    quota,
    credentialVersion: () => version,
  };
}

/** What a source names, as the connector understands it. Throws `InputError` for a bad path and for bad settings. */
export function locate(
  connector: AnyConnector,
  { path, settings, beginning }: Pick<SourceRequest, 'path' | 'settings' | 'beginning'>,
) {
  const what = `${connector.type} settings`;
  const parsed = parseFields(connector.settingsFields, settings ?? {}, 'invalid_settings', what);
  return connector.parseLocation(path, beginning, parsed);
}

async function access(request: SourceRequest, parts: SourceParts): Promise<AccessedSecret> {
  const { manager, workspace, credentialId, credentialVersion, credentialFields, purpose, connectorType } = request;
  const ref = {
    manager,
    workspace,
    secretId: credentialId,
    ...(credentialVersion ? { version: credentialVersion } : {}),
  };
  try {
    const accessed = await parts.reader.access(ref, purpose);
    assertScope(accessed, request);
    if (accessed.connectorType === null || accessed.connectorType === connectorType) {
      return credentialFields ? { ...accessed, value: mapFields(accessed.value, credentialFields, ref) } : accessed;
    }
    throw new CredentialUnusableError(
      'credential_wrong_type',
      `"${credentialId}" is a credential of type ${accessed.connectorType}, not ${connectorType}.`,
      `List the fitting ones: lockgate secrets list --type ${connectorType}`,
    );
  } catch (error) {
    const directory = error instanceof CredentialNotFoundError ? parts.directory?.(manager) : undefined;
    if (directory && (await isEmpty(directory, connectorType))) throw new NoSecretIdsError(connectorType);
    throw error;
  }
}

async function isEmpty(directory: SecretDirectory, connectorType: ConnectorType): Promise<boolean> {
  try {
    for await (const _ of directory.list({ connectorType })) return false;
    return true;
  } catch {
    // Who reads need not be allowed to list; then it is only not found.
    return false;
  }
}

function parsed(connector: AnyConnector, accessed: AccessedSecret) {
  try {
    return accessed.value.map(connector.parseCredential);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new CredentialUnusableError('credential_malformed', `"${accessed.ref.secretId}": ${error.message}`);
  }
}
