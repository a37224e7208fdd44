import { PERMISSIONS, type Permission } from '../contract/api/endpoint.ts';
import type { ROLES } from '../contract/api/shapes.ts';

export type Role = (typeof ROLES)[number];

/** What each role may do. Nobody may read the value of a secret: there is nothing that could be permitted. */
const PERMITTED: Readonly<Record<Role, readonly Permission[]>> = {
  viewer: ['read'],
  editor: ['read', 'edit'],
  'secret-admin': ['read', 'secrets'],
  auditor: ['read', 'audit'],
  admin: PERMISSIONS,
};

export function permissionsOf(role: Role): ReadonlySet<Permission> {
  return new Set(PERMITTED[role]);
}
