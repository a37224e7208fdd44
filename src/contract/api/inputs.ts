import { z } from 'zod';

export const id = z.object({ id: z.string().min(1).max(200) });
export const collection = z.object({
  collection: z.string().min(1).max(200).meta({ description: 'Its name or its ID.' }),
});
export const limit = (most: number, usual: number) => z.coerce.number().int().min(1).max(most).default(usual);
export const cursor = z.string().max(20_000).optional();
export const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')]);
export const manager = z
  .string()
  .max(40)
  .optional()
  .meta({ description: 'A secret manager; absent: the default one.' });
export const removed = z.object({ removed: z.string() });
