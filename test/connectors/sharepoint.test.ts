import { afterAll, beforeAll } from 'vitest';
import { sharepoint } from '../../connectors/sharepoint/connector.ts';
import { connectorConformance, ODD_KEYS } from '../conformance/connector.ts';
import { runtimeFor } from '../runtime.ts';
import { EntraServer } from '../servers/entra.ts';
import type { Fault } from '../servers/fault.ts';
import { GraphServer } from '../servers/graph.ts';
import { trustedCertificate } from '../servers/tls.ts';

const FAULTS = {
  cut: { kind: 'cut', after: 70_000 },
  corrupt: { kind: 'corrupt' },
  short: { kind: 'short' },
  reset: { kind: 'reset' },
  stall: { kind: 'stall' },
  error500: { kind: 'error', status: 500, code: 'generalException' },
  throttled: { kind: 'error', status: 429, code: 'tooManyRequests', headers: { 'retry-after': '0' } },
  denied: { kind: 'error', status: 403, code: 'accessDenied' },
} as const satisfies Record<string, Fault>;

/** https://support.microsoft.com/office/restrictions-and-limitations-in-onedrive-and-sharepoint-64883a5d-228e-48f5-b3d2-eb39e07630fa */
const IMPOSSIBLE = ODD_KEYS.filter(
  (key) =>
    /["*:<>?\\|\t\n\cA]|\/\/|(^|\/)\.{1,2}(\/|$)|(^|\/) | (\/|$)|\/$/.test(key) ||
    key.length > 400 ||
    ['CON', 'upper'].includes(key),
);

let entra: EntraServer;
beforeAll(async () => {
  entra = await new EntraServer(await trustedCertificate()).listen();
});
afterAll(() => entra[Symbol.asyncDispose]());

connectorConformance('sharepoint', async () => {
  const graph = await new GraphServer(entra).listen();
  const site = graph.addSite('/sites/Handbook', 'Documents');
  const drive = site.drives[0] as GraphServer['sites'][number]['drives'][number];
  graph.remove(graph.put(drive, 'nothing-here/file', 'x'));
  const app = entra.registerApp(['Sites.Selected']);
  graph.grants.add(`${app.client_id} ${site.id}`);
  const credential = { ...app, graph_endpoint: graph.endpoint };
  return {
    connector: sharepoint,
    runtime: runtimeFor(graph.endpoint, entra.authority),
    credential,
    rejectedCredential: { ...credential, client_secret: 'wrong' },
    requiredFields: ['tenant_id', 'client_id', 'client_secret'],
    secretValues: [app.client_secret],
    badPaths: [
      '',
      'sharepoint:',
      's3://docs',
      'http://contoso.sharepoint.com/sites/x',
      'https://contoso',
      'https://contoso.sharepoint.com/sites',
      'https://user@contoso.sharepoint.com/sites/x',
      'https://contoso.sharepoint.com/sites/x?web=1',
    ],
    path: (prefix) => `https://contoso.sharepoint.com/sites/Handbook/Shared%20Documents/${prefix}`,
    put: (key, body) => void graph.put(drive, key, body),
    remove: (key) => graph.remove(graph.find(drive, key)),
    setPageSize: (keys) => {
      graph.pageSize = keys;
    },
    impossibleKeys: IMPOSSIBLE,
    ordered: false,
    narrows: false,
    faults: {
      fail: (kind, count, on) => {
        let left = count;
        const reading =
          kind === 'cut' || kind === 'corrupt' || kind === 'short' || kind === 'denied'
            ? ['download']
            : ['download', 'item'];
        graph.fault = ({ operation }) => {
          const concerned = on === 'read' ? reading.includes(operation) : operation === 'delta';
          return concerned && left-- > 0 ? FAULTS[kind] : undefined;
        };
      },
      clear: () => {
        graph.fault = () => undefined;
      },
    },
    close: () => graph[Symbol.asyncDispose](),
  };
});
