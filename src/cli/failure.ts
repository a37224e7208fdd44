import { describeError, InputError } from '../contract/errors.ts';
import { liveValues } from '../secrets/live-values.ts';
import { EXIT } from './exit.ts';

/** Prints what went wrong and what to do, and returns the exit code. */
export async function report(error: unknown, json: boolean): Promise<number> {
  const described = describeError(error);
  if (json) process.stderr.write(`${liveValues.scrub(JSON.stringify({ error: described }))}\n`);
  else {
    process.stderr.write(liveValues.scrub(`error: ${described.message}\n`));
    if (described.hint) process.stderr.write(liveValues.scrub(`       ${described.hint}\n`));
  }
  return error instanceof InputError ? EXIT.usage : EXIT.failed;
}
