import { z } from 'zod';

/** What a source of SharePoint may be told beside its path. */
export const SharePointSettings = z.strictObject({
  site_pages: z.boolean().default(false).meta({
    description: 'Whether the pages of the site become documents too, as HTML; where the path is a whole site.',
  }),
  permissions: z.boolean().default(false).meta({
    description: 'Whether each document keeps who may see it: users, groups and links. Costs a request for each file.',
  }),
});

export type SharePointSettings = z.infer<typeof SharePointSettings>;
