import { createHash } from 'node:crypto';
import type { Grant } from '../../src/contract/connector.ts';
import type { Graph, Json } from './graph.ts';
import { invalid } from './resolve.ts';

/** Has a listing tell also of items of which only the sharing changed. */
export const SHARING_CHANGES = 'deltashowsharingchanges';
const MAX_PAGES = 50;

/** What a listing says of an item's grants: a word that no other listing has when they changed, else nothing new. */
export function grantsToken(item: Json, link: string | null): string {
  const changed = String(item['@microsoft.graph.sharedChanged']).toLowerCase() === 'true';
  return changed ? createHash('sha256').update(String(link)).digest('hex').slice(0, 16) : '';
}

/** Who may see an item, inherited grants included. Links are told by whom they serve, never by their address. */
export async function readGrants(
  graph: Graph,
  libraryId: string,
  itemId: string,
  signal: AbortSignal,
): Promise<Grant[]> {
  const grants: Grant[] = [];
  let url: string | undefined = `drives/${libraryId}/items/${itemId}/permissions`;
  for (let pages = 0; url !== undefined; pages++) {
    if (pages === MAX_PAGES) throw invalid('The list of permissions does not end.');
    const page: Json = await graph.get(url, 'read', signal);
    if (!Array.isArray(page.value)) throw invalid('The answer is not a list of permissions.');
    for (const permission of page.value as Json[]) grants.push(...grantsOf(permission));
    const next = page['@odata.nextLink'];
    url = typeof next === 'string' ? next : undefined;
  }
  return grants;
}

interface Identity {
  readonly id?: unknown;
  readonly displayName?: unknown;
  readonly email?: unknown;
  readonly loginName?: unknown;
}

type IdentitySet = Readonly<Record<string, Identity | undefined>>;

const KINDS: Readonly<Record<string, Grant['kind']>> = {
  user: 'user',
  siteUser: 'user',
  group: 'group',
  siteGroup: 'group',
  application: 'application',
};

/** https://learn.microsoft.com/graph/api/resources/permission */
function grantsOf(permission: Json): Grant[] {
  const roles = Array.isArray(permission.roles) ? permission.roles.map(String) : [];
  const inherited = permission.inheritedFrom !== undefined && permission.inheritedFrom !== null;
  const { scope } = (permission.link ?? {}) as { scope?: unknown };
  if (scope === 'anonymous') return [{ kind: 'anyone', roles, inherited }];
  if (scope === 'organization') return [{ kind: 'organization', roles, inherited }];
  const single = permission.grantedToV2 ?? permission.grantedTo;
  const several = permission.grantedToIdentitiesV2 ?? permission.grantedToIdentities;
  const sets = [...(single ? [single] : []), ...(Array.isArray(several) ? several : [])] as IdentitySet[];
  return sets.flatMap((set) => identitiesOf(set).map((each) => ({ ...each, roles, inherited })));
}

/** The directory's own identity, where a set names it beside the site's. */
function identitiesOf(set: IdentitySet): Pick<Grant, 'kind' | 'id' | 'name'>[] {
  const known = Object.entries(KINDS).flatMap(([name, kind]) => (set[name] ? [{ kind, identity: set[name] }] : []));
  const best = known.find(({ identity }) => identity.id !== undefined) ?? known[0];
  if (!best) return [];
  const { id, displayName, email, loginName } = best.identity;
  const name = email ?? displayName ?? loginName;
  return [
    {
      kind: best.kind,
      ...(typeof id === 'string' ? { id } : {}),
      ...(typeof name === 'string' ? { name } : {}),
    },
  ];
}
