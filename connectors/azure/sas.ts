const SOON_MS = 14 * 24 * 3_600_000;
const HOUR_MS = 3_600_000;

/**
 * What a person should know of a shared access signature: when it ends, and what it may do beyond reading and listing.
 * https://learn.microsoft.com/rest/api/storageservices/create-service-sas
 */
export function sasWarnings(token: string, now: number): string[] {
  const fields = new URLSearchParams(token);
  return [...expiry(fields, now), ...rights(fields)];
}

/** When it ends; null: it does not say. */
export function sasExpiry(token: string): Date | null {
  const end = Date.parse(new URLSearchParams(token).get('se') ?? '');
  return Number.isNaN(end) ? null : new Date(end);
}

function expiry(fields: URLSearchParams, now: number): string[] {
  const end = sasExpiry(fields.toString())?.getTime() ?? Number.NaN;
  const start = Date.parse(fields.get('st') ?? '');
  if (start > now) return [`The SAS is valid only from ${new Date(start).toISOString()}.`];
  if (Number.isNaN(end)) {
    return fields.has('si') ? ["The SAS ends when the container's stored access policy says so."] : [];
  }
  if (end <= now) return [`The SAS expired at ${new Date(end).toISOString()}.`];
  if (end - now > SOON_MS) return [];
  const hours = Math.max(1, Math.round((end - now) / HOUR_MS));
  const left = hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`;
  return [`The SAS expires in ${left}, at ${new Date(end).toISOString()}.`];
}

const NAMES: Readonly<Record<string, string>> = {
  a: 'add',
  c: 'create',
  w: 'write',
  d: 'delete',
  x: 'delete versions',
  y: 'delete permanently',
  t: 'write tags',
  m: 'move',
  o: 'change owners',
  p: 'change permissions',
  i: 'set immutability',
};

function rights(fields: URLSearchParams): string[] {
  const more = [...(fields.get('sp') ?? '')].flatMap((letter) => NAMES[letter] ?? []);
  const warnings = more.length > 0 ? [`The SAS may also ${more.join(', ')}. A sync needs sp=rl only.`] : [];
  if (/[fqt]/.test(fields.get('ss') ?? ''))
    warnings.push('The SAS is also valid for files, queues or tables. A sync needs ss=b only.');
  return warnings;
}
