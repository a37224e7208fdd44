import { randomBytes } from 'node:crypto';
import { resolveCollection } from '../collections/collections.ts';
import {
  createWebhook,
  findWebhook,
  listWebhooks,
  removeWebhook,
  switchWebhook,
  type WebhookRecord,
} from '../collections/webhooks.ts';
import { CredentialNotFoundError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';
import { defaultOf } from '../secrets/managers.ts';
import type { ServiceParts, Some } from './parts.ts';

export function webhookOperations(
  parts: ServiceParts,
): Some<'webhooks.list' | 'webhooks.create' | 'webhooks.update' | 'webhooks.remove'> {
  const { db, queue, declared } = parts;
  return {
    'webhooks.list': async ({ workspace }, { collection }) => {
      const { id } = await resolveCollection(db, workspace, collection);
      return { items: (await listWebhooks(db, id)).map(shown) };
    },
    'webhooks.create': async ({ workspace, actor }, { collection: name, url, after }) => {
      parts.assertWebhook(new URL(url));
      const collection = await resolveCollection(db, workspace, name);
      const secret = randomBytes(32).toString('base64url');
      const secretManager = defaultOf(declared);
      const secretId = `webhook-${randomBytes(8).toString('hex')}`;
      await parts.directory(secretManager, workspace, actor).put(secretId, 'webhook', new Secret({ secret }));
      const wish = { collectionId: collection.id, url, secretManager, secretId, after: after ?? collection.lastChange };
      const webhook = await createWebhook(db, wish);
      await (await queue()).tell(webhook.id);
      return { ...shown(webhook), secret };
    },
    'webhooks.update': async ({ workspace }, { id, enabled }) => {
      await switchWebhook(db, (await findWebhook(db, workspace, id)).id, enabled);
      if (enabled) await (await queue()).tell(id);
      return shown(await findWebhook(db, workspace, id));
    },
    'webhooks.remove': async ({ workspace, actor }, { id }) => {
      const webhook = await findWebhook(db, workspace, id);
      await removeWebhook(db, id);
      await parts
        .directory(webhook.secretManager, workspace, actor)
        .remove(webhook.secretId)
        .catch((error) => {
          if (!(error instanceof CredentialNotFoundError)) throw error;
        });
      return { removed: id };
    },
  };
}

function shown({ secretManager: _, ...webhook }: WebhookRecord) {
  return webhook;
}
