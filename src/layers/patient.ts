import type { Clock } from '../contract/connector.ts';
import { SecretAccessDeniedError, SecretManagerUnavailableError } from '../contract/errors.ts';
import type { AccessPurpose, SecretReader } from '../contract/secret-manager.ts';

const ATTEMPTS = 6;
const BASE_DELAY_MS = 250;
const MAX_DELAY_MS = 10_000;
/** How long a refusal is taken for granted. */
const REFUSED_MS = 10_000;
const MAX_REFUSALS = 1000;

/**
 * Asks again when the secret manager is away or throttles, with growing delays; `onWait` hears of each. A refusal is final,
 * and repeated for a moment without asking: a bad token must not use up what the account may ask for.
 */
export function withPatience(
  reader: SecretReader,
  clock: Clock,
  onWait: (purpose: AccessPurpose, error: SecretManagerUnavailableError) => void = () => undefined,
): SecretReader {
  const refusals = new Map<string, { readonly error: SecretAccessDeniedError; readonly until: number }>();
  return {
    access: async (ref, purpose) => {
      const key = JSON.stringify([ref.manager, ref.workspace, ref.secretId, ref.version]);
      const refusal = refusals.get(key);
      if (refusal && clock.now() < refusal.until) throw refusal.error;
      for (let attempt = 1; ; attempt++) {
        try {
          return await reader.access(ref, purpose);
        } catch (error) {
          if (error instanceof SecretAccessDeniedError) {
            if (refusals.size >= MAX_REFUSALS) refusals.clear();
            refusals.set(key, { error, until: clock.now() + REFUSED_MS });
          }
          if (!(error instanceof SecretManagerUnavailableError) || attempt === ATTEMPTS) throw error;
          onWait(purpose, error);
          const ceiling = Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** (attempt - 1));
          await clock.sleep(ceiling / 2 + (Math.random() * ceiling) / 2, new AbortController().signal);
        }
      }
    },
  };
}
