import type { MessagePort } from 'node:worker_threads';
import type { Caps } from '../collections/hands.ts';
import type { ContentTarget } from '../content/target.ts';
import type { AccessPurpose, SecretRef } from '../contract/secret-manager.ts';
import type { PoolTarget } from '../db/pool.ts';
import type { PassedSecret } from '../secrets/passed.ts';

/** What each thread is told of the deployment. Nothing of it is secret. */
export interface Deployment {
  readonly content: ContentTarget;
  readonly dataDir: string;
  readonly allowedEndpoints: readonly string[];
  readonly ambient: boolean;
  readonly logLevel: string;
  readonly tracing: boolean;
  readonly caps: Caps;
  /** Hands on one run, its leader's counted. */
  readonly handsPerRun: number;
}

/** What a thread is to do. */
export interface Orders extends Deployment {
  readonly runId: string;
  /** Names it among the hands. */
  readonly worker: string;
  /** Where it asks for what is secret. */
  readonly port: MessagePort;
}

/** What it asks the thread that started it: only that one has a secret manager, and writes down who reads what. */
export type Answers = {
  readonly credential: (ref: SecretRef, purpose: AccessPurpose) => Promise<PassedSecret>;
  readonly database: () => Promise<PoolTarget>;
};
