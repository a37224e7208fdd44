import type { IncomingMessage, ServerResponse } from 'node:http';
import { LoopbackServer } from './loopback.ts';
import { type KeyPair, verifySigV4 } from './sigv4.ts';

/** Whose key it is, and what their policies allow; `mayAsk`: whether they may have policies simulated. */
export interface Principal {
  readonly arn: string;
  readonly allowed: readonly string[];
  readonly mayAsk: boolean;
}

/**
 * AWS STS's GetCallerIdentity and IAM's SimulatePrincipalPolicy for tests, by the query protocol and signed with SigV4.
 * https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
 */
export class IamServer extends LoopbackServer {
  readonly keys = new Map<string, KeyPair>();
  readonly principals = new Map<string, Principal>();
  /** What was to be simulated: principal, action, resource. */
  readonly asked: string[] = [];

  protected async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));
    const form = new URLSearchParams(body.toString());
    const action = form.get('Action') ?? '';
    const service = action === 'GetCallerIdentity' ? 'sts' : 'iam';
    const verdict = verifySigV4(request, service, this.keys, Date.now(), body);
    if (!verdict.ok) return send(response, verdict.status, errorOf(verdict.code));
    const principal = this.principals.get(verdict.accessKeyId);
    if (!principal) return send(response, 403, errorOf('AccessDenied'));
    if (action === 'GetCallerIdentity')
      return send(response, 200, resultOf(action, `<Arn>${principal.arn}</Arn><UserId>x</UserId><Account>1</Account>`));
    if (action !== 'SimulatePrincipalPolicy' || !principal.mayAsk) return send(response, 403, errorOf('AccessDenied'));
    const listed = (name: string) =>
      [...form].filter(([key]) => key.startsWith(`${name}.member.`)).map(([, value]) => value);
    const [resource = ''] = listed('ResourceArns');
    const members = listed('ActionNames').map((name) => {
      this.asked.push(`${form.get('PolicySourceArn')} ${name} ${resource}`);
      const decision = principal.allowed.includes(name) ? 'allowed' : 'implicitDeny';
      return `<member><EvalActionName>${name}</EvalActionName><EvalDecision>${decision}</EvalDecision></member>`;
    });
    send(response, 200, resultOf(action, `<EvaluationResults>${members.join('')}</EvaluationResults>`));
  }
}

function resultOf(action: string, inner: string): string {
  return `<${action}Response><${action}Result>${inner}</${action}Result></${action}Response>`;
}

function errorOf(code: string): string {
  return `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>refused</Message></Error></ErrorResponse>`;
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/xml' }).end(text);
}
