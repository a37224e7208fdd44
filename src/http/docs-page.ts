import type { Endpoint } from '../contract/api/endpoint.ts';
import { API } from '../contract/api/index.ts';
import { openApi } from './openapi.ts';

const STYLE = `
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; background: #fff; }
  h1 { margin-bottom: 0 } h2 { margin: 2.5rem 0 .5rem; border-bottom: 1px solid #d5dbe3 }
  details { border: 1px solid #d5dbe3; border-radius: .4rem; margin: .4rem 0; padding: .4rem .8rem } summary { cursor: pointer }
  code, pre { font: 14px/1.45 ui-monospace, monospace } pre { overflow: auto; background: #f4f6f9; padding: .8rem; border-radius: .4rem }
  .method { display: inline-block; min-width: 4rem; font-weight: 700 } .needs { color: #5a6676; float: right }
  @media (prefers-color-scheme: dark) { body { color: #dfe5ee; background: #12161c } h2, details { border-color: #333c49 } pre { background: #1b212a } .needs { color: #94a0b0 } }
`;

/** The interface for people: one page, without scripts. */
export function docsPage(): { html: string; style: string } {
  const description = openApi() as { paths: Record<string, Record<string, object>> };
  const groups = Map.groupBy(Object.entries(API) as [string, Endpoint][], ([name]) => name.split('.')[0] as string);
  const sections = [...groups].map(([tag, operations]) => {
    const items = operations.map(([, { method, path, summary, needs }]) => {
      const details = description.paths[path]?.[method.toLowerCase()] ?? {};
      const { parameters, requestBody, responses } = details as Record<string, unknown>;
      const shown = JSON.stringify(
        { parameters, requestBody, answer: (responses as Record<string, unknown>)['200'] },
        null,
        2,
      );
      return `<details><summary><span class="needs">${escaped(needs)}</span><code><span class="method">${method}</span>${escaped(path)}</code><br>${escaped(summary)}</summary><pre>${escaped(shown)}</pre></details>`;
    });
    return `<h2 id="${escaped(tag)}">${escaped(tag)}</h2>${items.join('')}`;
  });
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Lockgate API</title><style>${STYLE}</style></head><body><main><h1>Lockgate API</h1><p>Send <code>Authorization: Bearer lgt_…</code>, and with a token of the whole deployment <code>Lockgate-Workspace: …</code>. The same for programs: <a href="/openapi.json">openapi.json</a>. Beside these there are <code>GET /v1/documents/{id}/content</code>, and as server-sent events <code>GET /v1/runs/{id}/events</code> and <code>GET /v1/collections/{collection}/changes/stream</code>.</p>${sections.join('')}</main></body></html>`;
  return { html, style: STYLE };
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
