import { type Answer, API, type Given, type OperationName, type Wire } from '../contract/api/index.ts';
import { InputError, LockgateError } from '../contract/errors.ts';
import { parseFields } from '../contract/fields.ts';
import { applyOperation } from './apply.ts';
import { collectionOperations } from './collections.ts';
import { governanceOperations } from './governance.ts';
import { managerOperations } from './managers.ts';
import { overviewOperations } from './overview.ts';
import type { Caller, Operations, ServiceParts } from './parts.ts';
import { planOperations } from './plans.ts';
import { runOperations } from './runs.ts';
import { secretOperations } from './secrets.ts';
import { sourceOperations } from './sources.ts';
import { trialOperations } from './trials.ts';
import { webhookOperations } from './webhooks.ts';

const MAX_DEPTH = 32;

/** The database takes no NUL and no half of a pair of surrogates, and nothing that people mean has one. */
function assertText(value: unknown, depth: number): void {
  if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed())) {
    throw new InputError(
      'invalid_input',
      'A text of the request has characters that are no text.',
      'Send UTF-8 without NUL.',
    );
  }
  if (typeof value !== 'object' || value === null) return;
  if (depth > MAX_DEPTH) throw new InputError('invalid_input', 'The request is nested too deeply.');
  for (const [name, each] of Object.entries(value)) {
    assertText(name, depth);
    assertText(each, depth + 1);
  }
}

/** Does an operation for somebody. Throws `forbidden`, `invalid_input`, and what the operation throws. */
export type Perform = <K extends OperationName>(caller: Caller, name: K, given: Given<K>) => Promise<Wire<Answer<K>>>;

export function openOperations(parts: ServiceParts): Perform {
  const operations: Operations = {
    ...overviewOperations(parts),
    ...secretOperations(parts),
    ...managerOperations(parts),
    ...trialOperations(parts),
    ...collectionOperations(parts),
    ...sourceOperations(parts),
    ...runOperations(parts),
    ...planOperations(parts),
    ...webhookOperations(parts),
    ...governanceOperations(parts),
    ...applyOperation(parts),
  };
  return async (caller, name, given) => {
    const { needs, input } = API[name];
    if (!caller.permissions.has(needs)) {
      throw new LockgateError(
        'forbidden',
        `This needs the permission "${needs}".`,
        'Use a token with another role, or ask an administrator for one.',
      );
    }
    assertText(given, 0);
    const parsed = parseFields(input as never, given, 'invalid_input', 'request');
    return operations[name](caller, parsed as never) as never;
  };
}
