import type { BrowserSignIn } from '../access/browser-sign-in.ts';
import type { ChangeWatch } from '../collections/change-watch.ts';
import type { ContentStore } from '../contract/content-store.ts';
import type { Database } from '../contract/database.ts';
import type { Log } from '../log.ts';
import type { Perform } from '../service/operations.ts';
import type { Caller } from '../service/parts.ts';

/** What a request proves who asks with. */
export interface Proof {
  readonly authorization: string | undefined;
  /** Of a browser that signed in. */
  readonly session: string | undefined;
}

/** What the routes work with. None of it can read a secret. */
export interface HttpParts {
  readonly db: Database;
  readonly content: ContentStore;
  readonly changes: ChangeWatch;
  readonly perform: Perform;
  readonly authenticate: (proof: Proof, workspace: string | undefined) => Promise<Caller>;
  /** Null: people sign in with tokens only. */
  readonly browserSignIn: BrowserSignIn | null;
  /** Each part that a request may need, and whether it is there. */
  readonly ready: () => Promise<readonly { readonly name: string; readonly ok: boolean; readonly detail?: string }[]>;
  readonly log: Log;
  /** What is sent passes this. */
  readonly scrub: (text: string) => string;
  readonly tls: { readonly cert: Buffer; readonly key: Buffer } | null;
  /** Addresses of proxies whose word about their clients is taken. */
  readonly trustedProxies: readonly string[];
  readonly requestsPerMinute: number;
  /** Whether metrics are for everybody who can reach them. */
  readonly openMetrics: boolean;
  /** The highest number in the audit log. */
  readonly auditEvents: () => Promise<number>;
}
