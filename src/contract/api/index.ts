import type { z } from 'zod';
import { COLLECTION_API } from './collections.ts';
import { GOVERNANCE_API } from './governance.ts';
import { OVERVIEW_API } from './overview.ts';
import { RUN_API } from './runs.ts';
import { SECRET_API } from './secrets.ts';
import { TRIAL_API } from './trials.ts';

/** Everything that the service does, by its name. */
export const API = {
  ...SECRET_API,
  ...COLLECTION_API,
  ...RUN_API,
  ...TRIAL_API,
  ...GOVERNANCE_API,
  ...OVERVIEW_API,
} as const;

export type Api = typeof API;
export type OperationName = keyof Api;
/** What a caller gives. */
export type Given<K extends OperationName> = z.input<Api[K]['input']>;
/** The same with defaults filled in. */
export type Input<K extends OperationName> = z.output<Api[K]['input']>;
/** What is sent back. */
export type Answer<K extends OperationName> = z.output<Api[K]['answer']>;

/** What JSON makes a `Date`: answers may have dates where texts are sent. */
export type Wire<T> = T extends string
  ? T | Date
  : T extends readonly (infer Item)[]
    ? readonly Wire<Item>[]
    : T extends object
      ? { readonly [K in keyof T]: Wire<T[K]> }
      : T;
