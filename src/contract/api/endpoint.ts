import type { z } from 'zod';

/** What a caller must be allowed to do. */
export const PERMISSIONS = ['read', 'edit', 'secrets', 'audit', 'admin'] as const;
export type Permission = (typeof PERMISSIONS)[number];

/**
 * One operation of the service, over HTTP and in a process alike. The parts of `path` in braces are fields of the input; the
 * rest of it is the query of `GET` and `DELETE`, and the body of `POST` and `PATCH`.
 */
export interface Endpoint<Input extends z.ZodObject = z.ZodObject, Answer extends z.ZodType = z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly summary: string;
  readonly needs: Permission;
  readonly input: Input;
  readonly answer: Answer;
}

export function endpoint<Input extends z.ZodObject, Answer extends z.ZodType>(
  method: Endpoint['method'],
  path: string,
  needs: Permission,
  summary: string,
  input: Input,
  answer: Answer,
): Endpoint<Input, Answer> {
  return { method, path, needs, summary, input, answer };
}

/** The fields of the input that stand in the path. */
export function pathFields(path: string): string[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map((found) => found[1] as string);
}
