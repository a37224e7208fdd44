import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Fault } from './fault.ts';
import { LoopbackServer } from './loopback.ts';
import { type KeyPair, verifySigV4 } from './sigv4.ts';

/** A role, who may assume it, and the external ID that its trust policy asks for. */
export interface Role {
  readonly trusts: readonly string[];
  readonly externalId?: string;
}

/**
 * AWS STS for tests: AssumeRole by the query protocol, signed with SigV4, and AssumeRoleWithWebIdentity. The keys that it gives out are made known to the
 * server that takes them. https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
 */
export class StsServer extends LoopbackServer {
  readonly keys = new Map<string, KeyPair>();
  readonly roles = new Map<string, Role>();
  assumed = 0;
  fault: () => Fault | undefined = () => undefined;
  /** How long the keys last. */
  sessionSeconds = 3600;
  readonly #target: Pick<StsServer, 'keys'>;

  constructor(target: Pick<StsServer, 'keys'>) {
    super();
    this.#target = target;
  }

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));
    const fault = this.fault();
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'error') return refuse(response, fault.status, fault.code);
    const form = new URLSearchParams(body.toString());
    const role = this.roles.get(form.get('RoleArn') ?? '');
    const action = form.get('Action') ?? '';
    if (action === 'AssumeRoleWithWebIdentity') {
      // Not signed: the token is the proof.
      if (!role?.trusts.includes(form.get('WebIdentityToken') ?? ''))
        return refuse(response, 400, 'InvalidIdentityToken');
    } else {
      const verdict = verifySigV4(request, 'sts', this.keys, Date.now(), body);
      if (!verdict.ok) return refuse(response, verdict.status, verdict.code);
      const known =
        role?.trusts.includes(verdict.accessKeyId) && role.externalId === (form.get('ExternalId') ?? undefined);
      if (action !== 'AssumeRole' || !form.get('RoleSessionName') || !known)
        return refuse(response, 403, 'AccessDenied');
    }
    this.assumed++;
    const accessKeyId = `ASIAFAKE${randomBytes(6).toString('hex').toUpperCase()}`;
    const pair = {
      secretAccessKey: `fake${randomBytes(18).toString('base64')}`,
      sessionToken: `fake${randomBytes(60).toString('base64')}`,
    };
    this.#target.keys.set(accessKeyId, pair);
    const expiration = new Date(Date.now() + this.sessionSeconds * 1000).toISOString();
    response.writeHead(200, { 'content-type': 'text/xml' });
    response.end(
      `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${action}Result><Credentials><AccessKeyId>${accessKeyId}</AccessKeyId><SecretAccessKey>${pair.secretAccessKey}</SecretAccessKey><SessionToken>${pair.sessionToken}</SessionToken><Expiration>${expiration}</Expiration></Credentials></${action}Result></${action}Response>`,
    );
  }
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'text/xml' });
  response.end(
    `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code><Message>refused</Message></Error><RequestId>test</RequestId></ErrorResponse>`,
  );
}
