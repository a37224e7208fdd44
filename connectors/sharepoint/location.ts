import { InputError } from '../../src/contract/errors.ts';
import type { SharePointSettings } from './settings.ts';

/** A site, and what of it: all its libraries, one of them, or a folder in one. What is what is found out when it is resolved. */
export interface SharePointLocation {
  readonly host: string;
  /** Server-relative, such as `/sites/Name`; empty: the root site. */
  readonly sitePath: string;
  /** Below the site: a library and folders, or a subsite and so on. */
  readonly rest: readonly string[];
  readonly sitePages: boolean;
  readonly permissions: boolean;
}

const MAX_PATH = 2048;
const MANAGED_PATHS = ['sites', 'teams', 'personal'];

/** `https://tenant.sharepoint.com/sites/Name/Library/folder`, as the browser shows it. */
export function parseLocation(path: string, _beginning?: string, settings?: unknown): SharePointLocation {
  const bad = () =>
    new InputError(
      'invalid_path',
      'This is no path of a SharePoint site.',
      'Use https://tenant.sharepoint.com/sites/Name, and behind it /Library or /Library/folder if not all of it is wanted.',
    );
  if (path.length > MAX_PATH || !/^https:\/\/[a-z0-9.-]+(:\d+)?(\/|$)/i.test(path) || !URL.canParse(path)) throw bad();
  const url = new URL(path);
  if (url.username || url.search || url.hash || !url.hostname.includes('.')) throw bad();
  let segments: string[];
  try {
    segments = url.pathname.split('/').filter(Boolean).map(decodeURIComponent);
  } catch {
    throw bad();
  }
  if (segments.some((segment) => segment.includes('/') || segment === '..')) throw bad();
  const managed = MANAGED_PATHS.includes((segments[0] ?? '').toLowerCase());
  if (managed && segments.length < 2) throw bad();
  const site = managed ? segments.slice(0, 2) : [];
  return {
    host: url.host,
    sitePath: site.map((segment) => `/${segment}`).join(''),
    rest: segments.slice(site.length),
    sitePages: (settings as SharePointSettings | undefined)?.site_pages ?? false,
    permissions: (settings as SharePointSettings | undefined)?.permissions ?? false,
  };
}
