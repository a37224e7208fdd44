import { VaultServer } from './servers/vault.ts';
import type { Service } from './service.ts';

/** A Vault that the workspace has brought along as `ours`, and what opens it. */
export async function bringVault(service: Service): Promise<{ vault: VaultServer; opener: string }> {
  const vault = await new VaultServer().listen();
  vault.policies.set(
    'all',
    ['GET', 'POST', 'LIST', 'DELETE'].map((method) => [method, 'secret/'] as const),
  );
  const { LOCKGATE_ALLOWED_ENDPOINTS: allowed = '' } = service.deployment.environment;
  await service.again({ LOCKGATE_ALLOWED_ENDPOINTS: `${allowed},${vault.endpoint}` });
  const opener = vault.createToken('all');
  await service.client().call('managers.register', { name: 'ours', url: vault.endpoint, opener });
  return { vault, opener };
}
