import type { Clock } from '../contract/connector.ts';
import { SecretManagerUnavailableError } from '../contract/errors.ts';
import type { SecretReader } from '../contract/secret-manager.ts';

const ATTEMPTS = 6;
const BASE_DELAY_MS = 250;
const MAX_DELAY_MS = 10_000;

/** Asks again when the secret manager is away or throttles, with growing delays; a refusal or an absence is final. */
export function withPatience(reader: SecretReader, clock: Clock): SecretReader {
  return {
    access: async (ref, purpose) => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await reader.access(ref, purpose);
        } catch (error) {
          if (!(error instanceof SecretManagerUnavailableError) || attempt === ATTEMPTS) throw error;
          const ceiling = Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** (attempt - 1));
          await clock.sleep(ceiling / 2 + (Math.random() * ceiling) / 2, new AbortController().signal);
        }
      }
    },
  };
}
