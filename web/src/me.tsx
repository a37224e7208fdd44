import { createContext, useContext } from 'react';
import type { Answer } from './api.ts';

export type Me = Answer<'me.get'>;
export type Permission = Me['permissions'][number];

const Context = createContext<Me | null>(null);
export const MeProvider = Context.Provider;

/** Who is signed in. */
export function useMe(): Me {
  const me = useContext(Context);
  if (!me) throw new Error('nobody is signed in');
  return me;
}

/** Whether who is signed in may do such things; the service decides, this only leaves out what it would refuse. */
export function useMay(permission: Permission): boolean {
  return useMe().permissions.includes(permission);
}
