import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import type { Document } from '../answers.ts';
import { request } from '../api.ts';
import { bytes, plural } from '../parts/amounts.tsx';
import { Asked } from '../parts/states.tsx';

const MOST_TEXT_BYTES = 64 * 1024;
const MOST_PICTURE_BYTES = 20 * 1024 * 1024;
const MOST_PDF_BYTES = 50 * 1024 * 1024;
const PAGES_SHOWN = 5;
const TEXT = /^(text\/|application\/(json|xml|yaml|x-yaml|javascript|x-ndjson))|\+(json|xml)$/;
const PICTURE = /^image\/(png|jpeg|gif|webp|avif|bmp)/;

/** What is in a document, without running anything of it: as text, as a picture, or as pages drawn by us. */
export function Contents({ document }: { document: Document }) {
  const type = document.contentType ?? '';
  const at = `/v1/documents/${document.id}/content`;
  if (document.size === 0) return <Text size="sm">It is empty.</Text>;
  if (PICTURE.test(type) && document.size <= MOST_PICTURE_BYTES) return <Picture at={at} name={document.path} />;
  if (/^application\/pdf/.test(type) && document.size <= MOST_PDF_BYTES) return <Pdf at={at} />;
  if (TEXT.test(type) || /\.(txt|md|csv|log|json|ya?ml)$/i.test(document.path))
    return <Words at={at} size={document.size} sha256={document.sha256} />;
  return <Text size="sm">There is no preview of this type. Download it to look at it.</Text>;
}

function Picture({ at, name }: { at: string; name: string }) {
  return <img className="preview-picture" src={at} alt={name} />;
}

function Words({ at, size, sha256 }: { at: string; size: number; sha256: string }) {
  const text = useQuery({
    queryKey: [at, 'text', sha256],
    queryFn: async () => {
      const headers = { range: `bytes=0-${MOST_TEXT_BYTES - 1}` };
      // Of a document that has grown, Chromium's cache asks for as much as it had, and takes that for the whole.
      return (await request(at, { method: 'GET', headers, cache: 'no-store' })).text();
    },
  });
  return (
    <Asked of={text}>
      {(words) => (
        <>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
          <pre className="preview-text" tabIndex={0}>
            {words}
          </pre>
          {size > MOST_TEXT_BYTES && (
            <Text size="sm" c="dimmed">
              The first {bytes(MOST_TEXT_BYTES)} of {bytes(size)}.
            </Text>
          )}
        </>
      )}
    </Asked>
  );
}

/** Drawn page by page on canvases: scripts, links and forms of the document stay what they are, bytes. */
function Pdf({ at }: { at: string }) {
  const holder = useRef<HTMLDivElement>(null);
  const [said, setSaid] = useState('Loading…');
  useEffect(() => {
    const gone = new AbortController();
    draw(at, holder, gone.signal).then(setSaid, () => setSaid('This PDF cannot be shown. Download it to look at it.'));
    return () => gone.abort();
  }, [at]);
  return (
    <>
      <Text size="sm" role="status">
        {said}
      </Text>
      <div ref={holder} />
    </>
  );
}

async function draw(at: string, holder: React.RefObject<HTMLDivElement | null>, signal: AbortSignal): Promise<string> {
  const { getDocument, GlobalWorkerOptions } = await import('pdfjs-dist');
  const worker = await import('pdfjs-dist/build/pdf.worker.min.mjs?url');
  GlobalWorkerOptions.workerSrc = worker.default;
  const data = await (await request(at, { method: 'GET', signal })).arrayBuffer();
  const task = getDocument({ data, enableXfa: false, useWasm: false });
  signal.addEventListener('abort', () => void task.destroy());
  const pdf = await task.promise;
  for (let number = 1; number <= Math.min(PAGES_SHOWN, pdf.numPages) && !signal.aborted; number++) {
    const page = await pdf.getPage(number);
    const viewport = page.getViewport({ scale: 1.3 });
    const canvas = window.document.createElement('canvas');
    canvas.width = viewport.width;
    canvas.height = viewport.height;
    canvas.className = 'preview-picture';
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `Page ${number}`);
    await page.render({ canvas, viewport }).promise;
    if (!signal.aborted) holder.current?.append(canvas);
  }
  return pdf.numPages > PAGES_SHOWN
    ? `The first ${PAGES_SHOWN} of ${pdf.numPages} pages.`
    : `${plural(pdf.numPages, 'page')}.`;
}
