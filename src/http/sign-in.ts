import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { BrowserSignIn } from '../access/browser-sign-in.ts';
import { createSession, endSession, findSession, SESSION_HOURS } from '../access/sessions.ts';
import { findByToken } from '../access/tokens.ts';
import { InputError, LockgateError } from '../contract/errors.ts';
import type { HttpParts } from './parts.ts';

/** Sent by the pages with every request that changes something: other sites' pages cannot. */
const OWN_REQUEST = 'lockgate-request';
const SIGNING_IN = 'lockgate_sign_in';
const SIGNING_IN_SECONDS = 600;

/** The words of the session that a browser sent; undefined: none. */
export function sessionOf(request: FastifyRequest): string | undefined {
  const words = request.cookies[cookieName(request)];
  if (!words) return undefined;
  if (request.method !== 'GET' && request.method !== 'HEAD' && request.headers[OWN_REQUEST] === undefined) {
    throw new LockgateError(
      'forbidden',
      'A browser that is signed in must say that the request is its own.',
      `Send the header ${OWN_REQUEST}, or a token instead of the cookie.`,
    );
  }
  return words;
}

/** With TLS the name itself binds the cookie to this host. */
function cookieName({ protocol }: FastifyRequest): string {
  return protocol === 'https' ? '__Host-lockgate' : 'lockgate';
}

function keep(request: FastifyRequest, reply: FastifyReply, words: string): void {
  reply.setCookie(cookieName(request), words, {
    httpOnly: true,
    secure: request.protocol === 'https',
    sameSite: 'strict',
    path: '/',
    maxAge: SESSION_HOURS * 3600,
  });
}

/**
 * Signing in and out with a browser. What it gets is a cookie that no script can read and no other site can have sent; the
 * token itself is not kept there.
 */
export function addSignIn(app: FastifyInstance, parts: HttpParts, guarded: Guarded): void {
  const { db, browserSignIn } = parts;
  app.get('/auth/ways', async () => ({ oidc: browserSignIn !== null }));
  app.post('/auth/session', (request, reply) =>
    guarded(request, async () => {
      const { token } = (request.body ?? {}) as { token?: unknown };
      if (typeof token !== 'string') throw new InputError('invalid_input', 'The token is missing.', 'Paste it whole.');
      const found = await findByToken(db, token.trim(), new Date());
      if (!found)
        throw new LockgateError(
          'unauthenticated',
          'This is no valid token: it is unknown, revoked, or has ended.',
          'The first start of the service printed one; others are made in Settings, or with: lockgate tokens create',
        );
      keep(request, reply, await createSession(db, { token: found }));
      return reply.send({ ok: true });
    }),
  );
  app.get('/auth/workspaces', async (request, reply) => {
    const holder = await findSession(db, sessionOf(request) ?? '');
    const grants = holder && 'grants' in holder ? holder.grants : [];
    return reply.send({ items: [...new Set(grants.map(({ workspace }) => workspace))].filter((each) => each !== '*') });
  });
  app.delete('/auth/session', async (request, reply) => {
    const words = sessionOf(request);
    if (words) await endSession(db, words);
    reply.clearCookie(cookieName(request), { path: '/' });
    return reply.send({ ok: true });
  });
  if (browserSignIn) addIssuer(app, parts, browserSignIn);
}

/** Does something of which guesses are counted. */
export type Guarded = (request: FastifyRequest, work: () => Promise<FastifyReply>) => Promise<FastifyReply>;

function addIssuer(app: FastifyInstance, { db, log }: HttpParts, browserSignIn: BrowserSignIn): void {
  app.get('/auth/oidc/start', async (request, reply) => {
    const { url, kept } = await browserSignIn.start().catch((error) => {
      log.warn({ error: String(error).slice(0, 200) }, 'the issuer does not answer');
      throw new LockgateError('issuer_unavailable', 'The identity provider does not answer.', 'Try it again.');
    });
    // Lax: it must come back from the issuer's pages.
    const cookie = { httpOnly: true, secure: request.protocol === 'https', sameSite: 'lax', path: '/auth' } as const;
    return reply.setCookie(SIGNING_IN, kept, { ...cookie, maxAge: SIGNING_IN_SECONDS }).redirect(url, 302);
  });
  app.get('/auth/oidc/callback', async (request, reply) => {
    reply.clearCookie(SIGNING_IN, { path: '/auth' });
    try {
      const query = request.url.slice(request.url.indexOf('?') + 1);
      const { subject, grants } = await browserSignIn.finish(query, request.cookies[SIGNING_IN] ?? '');
      if (grants.length === 0) return reply.redirect('/sign-in?failed=role', 302);
      keep(request, reply, await createSession(db, { subject, grants }));
      return reply.redirect('/', 302);
    } catch (error) {
      log.warn({ error: (error as { code?: string }).code ?? 'unknown' }, 'a sign-in failed');
      return reply.redirect('/sign-in?failed=issuer', 302);
    }
  });
}
