import { SecretManagerError } from '../contract/errors.ts';
import type { SecretDirectory, SecretInfo } from '../contract/secret-manager.ts';
import type { CrawlQueue, SecretsTask } from './queue.ts';

const TIMEOUT_MS = 15_000;
/** Who adds a source waits for it. */
const DESCRIBE_TIMEOUT_MS = 8000;

/**
 * A secret manager that a workspace registered, for a process that may not open it: a worker lists, describes and removes. No value goes this way, so
 * nothing can be put.
 */
export function askedDirectory(
  queue: CrawlQueue,
  at: Pick<SecretsTask, 'manager' | 'workspace' | 'actor'>,
): SecretDirectory {
  const ask = (wish: SecretsTask['wish'], timeoutMs = TIMEOUT_MS) =>
    queue.ask({ kind: 'secrets', ...at, wish }, timeoutMs);
  return {
    list: async function* (filter) {
      yield* (await ask({ list: filter?.connectorType ?? null })) as SecretInfo[];
    },
    describe: async (id) => (await ask({ describe: id }, DESCRIBE_TIMEOUT_MS)) as SecretInfo,
    put: async () => {
      throw new SecretManagerError(
        'secret_manager_of_workers',
        `Only workers can open "${at.manager}", and no value goes to them through the queue.`,
        `Store it there yourself, or where a worker runs: lockgate secrets put <id> --type <type> --manager ${at.manager}`,
      );
    },
    remove: async (id) => void (await ask({ remove: id })),
  };
}
