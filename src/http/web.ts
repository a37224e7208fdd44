import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** As far from the sources as from what is built of them. */
const FOLDER = fileURLToPath(new URL('../../dist/web', import.meta.url));
/** Stands in the page where each answer has a word of its own. */
const NONCE = 'NONCE-OF-THIS-PAGE';

const NOT_BUILT = `<!doctype html><html lang="en"><title>Lockgate</title>
<p>The pages are not built. In a checkout: <code>npm run build:web</code>. The interface is at <a href="/docs">/docs</a>.</p></html>`;

/** The pages for people. Answers with the page for every path that is no file's: the pages find their way by themselves. */
export interface Web {
  /** Whether somebody's browser asks for a page. */
  wants(request: FastifyRequest): boolean;
  page(reply: FastifyReply): FastifyReply;
}

export async function addWeb(app: FastifyInstance): Promise<Web> {
  const isBuilt = existsSync(join(FOLDER, 'index.html'));
  const html = isBuilt ? readFileSync(join(FOLDER, 'index.html'), 'utf8') : NOT_BUILT;
  if (isBuilt) {
    await app.register(fastifyStatic, {
      root: join(FOLDER, 'assets'),
      prefix: '/assets/',
      // Their names have a hash of what is in them.
      immutable: true,
      maxAge: '365d',
      preCompressed: true,
      index: false,
    });
  }
  const web: Web = {
    wants: ({ method, url, headers }) =>
      method === 'GET' && !/^\/(v1|assets|auth)\//.test(url) && (headers.accept ?? '').includes('text/html'),
    page: (reply) => {
      const nonce = randomBytes(16).toString('base64');
      return reply
        .code(200)
        .header('content-security-policy', policy(nonce))
        .header('cache-control', 'no-cache')
        .type('text/html; charset=utf-8')
        .send(html.replaceAll(NONCE, nonce));
    },
  };
  app.get('/', async (_request, reply) => web.page(reply));
  return web;
}

/** Scripts from here only; styles from here, and those that the components make with this page's nonce. */
function policy(nonce: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' blob: data:",
    "font-src 'self'",
    "connect-src 'self'",
    "worker-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ');
}
