import { systemClock } from './clock.ts';
import type { Config } from './config.ts';
import type { Secret } from './contract/secret.ts';
import type { AuditLog } from './contract/secret-manager.ts';
import { withAudit } from './layers/audited.ts';
import { withPatience } from './layers/patient.ts';
import { databaseCredential, deploymentReader } from './secrets/deployment.ts';
import { liveValues, watchedReader } from './secrets/live-values.ts';

/** The user and the password of the database, anew at each call; null: they stand in its URL. */
export function databaseLogin(
  { databaseSecret, secretManagers, workspace }: Config,
  audit: AuditLog,
): (() => Promise<Secret<{ username: string; password: string }>>) | null {
  const manager = databaseSecret && secretManagers.byName.get(databaseSecret.manager);
  if (!databaseSecret || !manager) return null;
  const reader = watchedReader(withAudit(withPatience(deploymentReader(manager), systemClock), audit), liveValues);
  const { secretId, version } = databaseSecret;
  const ref = { manager: manager.name, workspace, secretId, ...(version ? { version } : {}) };
  return async () => {
    const { value } = await reader.access(ref, { actor: 'lockgate', reason: 'open the database' });
    return databaseCredential(value);
  };
}
