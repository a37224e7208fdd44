import { z } from 'zod';
import { InputError } from './errors.ts';

/** The settings of a connector that has none. */
export const NO_SETTINGS = z.strictObject({});

const NO_WORD = '(a name that is no word)';

/** A field name that is safe to repeat; anything else may be a value that slipped into a name's place. */
const WORD = /^[A-Za-z_][A-Za-z0-9_]{0,39}$/;
/** Of a field that nobody knows: no key ID looks like this. */
const UNKNOWN_WORD = /^[A-Za-z_]{1,30}$/;

/**
 * Parses what a person or another system wrote down. Throws `InputError` that names the fields that are missing,
 * unknown or wrong, and never quotes a value.
 */
export function parseFields<T>(schema: z.ZodType<T>, payload: unknown, code: string, what: string): T {
  const parsed = schema.safeParse(payload);
  if (parsed.success) return parsed.data;
  const complaints = parsed.error.issues.map((issue) => {
    const field = issue.path.map(nameOf).join('.');
    if (issue.code === 'unrecognized_keys')
      return `unknown field ${issue.keys.map((key) => (UNKNOWN_WORD.test(key) ? key : NO_WORD)).join(', ')}`;
    if (issue.code === 'invalid_type' && valueAt(payload, issue.path) === undefined) return `missing field ${field}`;
    if (issue.code === 'custom') return field ? `field ${field}: ${issue.message}` : issue.message;
    const rule = 'expected' in issue ? `must be a ${issue.expected}` : 'has the wrong form';
    return field ? `field ${field} ${rule}` : `it ${rule}`;
  });
  throw new InputError(code, `The ${what} cannot be used: ${[...new Set(complaints)].join('; ')}.`);
}

function nameOf(part: PropertyKey): string {
  const name = String(part);
  return WORD.test(name) || /^\d+$/.test(name) ? name : NO_WORD;
}

function valueAt(payload: unknown, path: readonly PropertyKey[]): unknown {
  let value = payload;
  for (const part of path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[part];
  return value;
}
