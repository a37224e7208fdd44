/** A name out of a path; what nobody of ours has encoded is taken as it is. */
export function nameIn(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function collectionPath(name: string, tab = ''): string {
  return `/collections/${encodeURIComponent(name)}${tab ? `/${tab}` : ''}`;
}

/** Without a manager: in the default one. */
export function secretPath(id: string, manager = ''): string {
  return `/secrets/${encodeURIComponent(id)}${managerSearch(manager)}`;
}

export function managerSearch(manager: string): string {
  return manager ? `?manager=${encodeURIComponent(manager)}` : '';
}
