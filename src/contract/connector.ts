import type { z } from 'zod';
import type { Secret } from './secret.ts';

export const CONNECTOR_TYPES = ['s3', 'gcs', 'azure', 'sharepoint'] as const;
export type ConnectorType = (typeof CONNECTOR_TYPES)[number];

/** One kind of cloud storage. Everything but `open` is pure, and `open` itself makes no request. */
export interface Connector<Credential, Location> {
  readonly type: ConnectorType | 'memory';
  readonly capabilities: Capabilities;
  /** The fields of a credential, for forms, documentation and the JSON Schema of the API. */
  readonly credentialFields: z.ZodType;
  /** What a source of this connector may be told beside its path. */
  readonly settingsFields: z.ZodType;
  /** Throws `InputError` that names the fields and never a value. */
  parseCredential(payload: unknown): Credential;
  /**
   * Throws `InputError` that says what a path of this connector looks like. With `beginning`, only entries whose path
   * begins with that text are listed; their paths stay relative to the location. `settings` have been parsed by
   * `settingsFields`.
   */
  parseLocation(path: string, beginning?: string, settings?: unknown): Location;
  /** When a credential ends, as far as it says so itself. */
  expiryOf?(credential: Credential): Date | null;
  /** Names whose requests the source counts together: a bucket, or an app in a tenant. It holds no secret. */
  quotaOf(credential: Secret<Credential>, location: Location): string;
  open(credential: Secret<Credential>, location: Location, runtime: Runtime): Source;
  /** Of snapshot listings that can begin anywhere: the position of the first page with keys after this one. */
  positionAfter?(key: string): string;
}

export interface Capabilities {
  /**
   * `snapshot`: a listing has everything, best in the order of the keys' UTF-8 bytes, and what it lacks does not exist.
   * `delta`: a listing has what changed since an earlier one, as a tree of folders; its pages have `changes`.
   */
  readonly listing: 'snapshot' | 'delta';
  /** Whether `read` takes a range. */
  readonly ranges: boolean;
}

/** What a connector needs from the world around it. */
export interface Runtime {
  readonly clock: Clock;
  readonly egress: Egress;
  /** Whether the deployment lets credentials use what the machine itself is: its role, its managed identity. */
  readonly ambient: boolean;
  /** The source says that its quota is nearly used up: no request begins for so many milliseconds. */
  readonly slowDown: (ms: number) => void;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** Guards where a credential may be sent. */
export interface Egress {
  /**
   * Throws `ConnectorError` `endpoint_refused` unless an endpoint named by a secret may be contacted: one that the
   * deployment lists, or, where the rule is `public`, any public https address.
   */
  assertEndpoint(endpoint: URL, rule: 'public' | 'listed'): void;
  /** A `lookup` for sockets to such an endpoint: refuses addresses that the endpoint's name must not resolve to. */
  lookupFor(endpoint: URL): import('node:net').LookupFunction | undefined;
}

/** One place in one cloud, opened with one credential. What fails rejects; nothing throws before it has returned its promise. */
export interface Source extends AsyncDisposable {
  /** Tries what a sync needs and nothing more. Resolves also when the answer is bad; throws only on abort. */
  check(signal: AbortSignal): Promise<CheckReport>;
  /**
   * The page at `position` (null: the first). The same position may be asked for again, by another process too. A delta
   * listing takes the `cursor` of one that ended, too.
   */
  listPage(position: string | null, signal: AbortSignal): Promise<Page>;
  /** Exactly the listed version, or `changed_during_fetch`. The body must be consumed or returned. */
  read(entry: Entry, range: ByteRange | undefined, signal: AbortSignal): Promise<Content>;
}

export interface CheckReport {
  readonly reachable: boolean;
  readonly readable: boolean;
  /** Why not, and what to do about it. */
  readonly problem?: { readonly code: string; readonly message: string; readonly hint?: string };
  readonly warnings: readonly string[];
}

export interface Entry {
  /** Identity within the source, exactly as the source names it. */
  readonly key: string;
  /** Relative to the location; what filters match and people read. */
  readonly path: string;
  /** Changes with the content: an ETag, a generation. */
  readonly version: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
  /** Set when the listing already says that it cannot be read. */
  readonly unreadable?: UnreadableReason;
}

/** Of a delta listing: where the entry lies. */
export interface TreeEntry extends Omit<Entry, 'path'>, Shared {
  /** The key of its folder. */
  readonly parent: string;
  readonly name: string;
}

interface Shared {
  /**
   * Of sources that keep who may see a file: a new word when what is granted here has changed, empty when not. What is
   * granted on a folder holds below it, so a change there is a new version of every file below.
   */
  readonly grants?: string;
}

export interface Folder extends Shared {
  readonly key: string;
  /** Null: a root of what the source covers. What no root leads to is outside. */
  readonly parent: string | null;
  /** A root's may be empty: then it does not show in the paths. */
  readonly name: string;
}

/** Why an entry cannot be read, as far as the listing knows. */
export const UNREADABLE_REASONS = {
  archived: 'The object is in an archive tier and must be restored before it can be read.',
  malware: 'The source found malware in it and does not give it out.',
  package: 'It is a notebook or another package, which has no content of its own to read.',
} as const;
export type UnreadableReason = keyof typeof UNREADABLE_REASONS;

export interface Page {
  readonly entries: readonly Entry[];
  /** Of a snapshot listing: the same entries, of which only those are made that somebody asks for. Their sizes are whole numbers. */
  readonly outline?: Outline;
  /** Of delta listings, whose `entries` are empty. */
  readonly changes?: Changes;
  readonly next:
    | { readonly kind: 'more'; readonly pageToken: string }
    | { readonly kind: 'end'; readonly cursor?: string };
}

/** A page of a listing as far as it is needed where nothing has changed. */
export interface Outline {
  /** In the listing's order. */
  readonly keys: readonly string[];
  /** All keys are ASCII: their order as strings is that of their bytes. */
  readonly ascii: boolean;
  /** In which form, by which rules of the connector, `words` stand. */
  readonly form: string;
  /** What the listing says of the entries from one place to another (exclusive): where it is the same in the same form, so are the entries. */
  words(from: number, to: number): string;
  entries(from: number, to: number): readonly Entry[];
}

/** Each key stands in one of the three, with its latest state. */
export interface Changes {
  /** This page is the first of a listing of everything: what it does not have by its end is gone. */
  readonly begins: boolean;
  readonly entries: readonly TreeEntry[];
  readonly folders: readonly Folder[];
  readonly removed: readonly string[];
}

/** Bytes from `start` (inclusive) to `end` (exclusive; absent: to the end). */
export interface ByteRange {
  readonly start: number;
  readonly end?: number;
}

export const CHECKSUM_ALGORITHMS = ['sha256', 'sha1', 'md5', 'quickxor', 'crc32', 'crc32c', 'crc64nvme'] as const;
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

/** Stands in the version of a mirrored entry before what changes with its grants; no source's own version has it. */
export const GRANTS_MARK = ' granted ';

/** Who may see a document, as far as its source says. */
export interface Grant {
  readonly kind: 'user' | 'group' | 'application' | 'anyone' | 'organization';
  /** As the source's directory knows it. */
  readonly id?: string;
  readonly name?: string;
  readonly roles: readonly string[];
  /** Whether a folder above or the place as a whole grants it. */
  readonly inherited: boolean;
}

export interface Content {
  readonly contentType?: string;
  /** Where the source was asked to say so. */
  readonly grants?: readonly Grant[];
  /** Checksums of the whole object, in hex, where the source states them. */
  readonly checksums: Readonly<Partial<Record<ChecksumAlgorithm, string>>>;
  readonly body: AsyncIterable<Uint8Array>;
  /** The same as `body`, where it is small and all of it has arrived: whoever can take it so need not read the other. */
  readonly whole?: Uint8Array;
  /** Set where the connector made the content itself, so that the source states neither length nor checksum of it. */
  readonly made?: true;
  /**
   * Set where the source may rewrite what it gives out, so that length and checksum can differ from those stated: how
   * many bytes this answer has. A difference is then a warning.
   */
  readonly rewrittenSize?: number;
  /** To be asked when the body has been read: why the content may not be what was listed. */
  readonly warning?: () => string | null;
}
