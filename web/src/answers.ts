import type { Answer } from './api.ts';

/** What the service's lists have. */
export type Collection = Answer<'collections.list'>['items'][number];
export type Document = Answer<'documents.list'>['items'][number];
export type Failure = Answer<'failures.list'>['items'][number];
export type Run = Answer<'runs.list'>['items'][number];
export type Secret = Answer<'secrets.list'>['items'][number];
export type Source = Answer<'sources.list'>['items'][number];
