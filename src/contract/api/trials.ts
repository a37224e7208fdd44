import { z } from 'zod';
import { SourceInput } from './collections.ts';
import { endpoint } from './endpoint.ts';
import { collection, manager } from './inputs.ts';
import { CheckShape, ConnectorTypeShape } from './shapes.ts';

const count = z.int().min(0);

export const PreviewShape = z
  .object({
    /** Whether the listing came to its end within the preview's bounds. */
    complete: z.boolean(),
    listed: count,
    matched: count,
    bytes: count,
    leftOut: count,
    /** The first that would become documents. */
    matches: z.array(z.object({ path: z.string(), size: count, modifiedAt: z.iso.datetime({ offset: true }) })),
    /** The first that would not, each with the reason. */
    dropped: z.array(z.object({ path: z.string(), size: count, reason: z.string() })),
    /** What lies directly below the path, by folder. */
    folders: z.array(z.object({ path: z.string(), objects: count, bytes: count })),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'Preview' });

const PlaceInput = SourceInput.pick({
  connectorType: true,
  credentialId: true,
  credentialFields: true,
  path: true,
  settings: true,
  include: true,
  exclude: true,
  maxBytes: true,
  workerLabel: true,
});

/** What is tried before it is kept. */
export const TRIAL_API = {
  'secrets.try': endpoint(
    'POST',
    '/v1/secrets/try',
    'secrets',
    'Have a worker try a credential on a path before it is kept; nothing of it stays',
    z.strictObject({
      type: ConnectorTypeShape,
      credential: z.record(z.string(), z.unknown()).meta({ writeOnly: true }),
      path: SourceInput.shape.path,
      settings: SourceInput.shape.settings,
      manager,
    }),
    CheckShape,
  ),
  'sources.preview': endpoint(
    'POST',
    '/v1/collections/{collection}/preview',
    'edit',
    'Have a worker list what a source would have, before there is one; bounded, and nothing is fetched',
    collection.extend(PlaceInput.shape).strict(),
    PreviewShape,
  ),
} as const;
