import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * Lists as many keys as it is told to, made up as they are asked for: `endless-listing.ts KEYS`. It checks no
 * signature; what it is for is the size of the client. Prints its address.
 */
const total = Number(process.argv[2] ?? 1000);
const PAGE = 1000;

const server = createServer((request, response) => {
  const query = new URL(request.url ?? '/', 'http://localhost').searchParams;
  const start = Number(query.get('continuation-token') ?? 0);
  const end = Math.min(start + PAGE, total);
  const contents: string[] = [];
  for (let i = start; i < end; i++) {
    const key = `docs/${String(Math.floor(i / 1000)).padStart(4, '0')}/report-${String(i).padStart(9, '0')}.pdf`;
    contents.push(
      `<Contents><Key>${key}</Key><LastModified>2026-10-12T17:50:30.000Z</LastModified><ETag>&quot;5f-${i}&quot;</ETag><Size>4096</Size><StorageClass>STANDARD</StorageClass></Contents>`,
    );
  }
  const more = end < total;
  response.writeHead(200, { 'content-type': 'application/xml' });
  response.end(
    `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>docs</Name><Prefix></Prefix><KeyCount>${end - start}</KeyCount><MaxKeys>${PAGE}</MaxKeys><IsTruncated>${more}</IsTruncated>${more ? `<NextContinuationToken>${end}</NextContinuationToken>` : ''}${contents.join('')}</ListBucketResult>`,
  );
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
