import { expect, test } from 'vitest';
import { looksSecret, withoutMistyped } from '../../src/http/mistyped.ts';

test('what looks like a credential in a request is not repeated, and what does not is', () => {
  for (const secret of [
    'AKIAFAKEFAKEFAKE1234',
    'fake+Secret/Access0Key=fake+Secret/Access0Key',
    'lgt_0123456789ab_x',
    'hvs.CAESIFake',
    'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.',
    'sv=2026-01-01&sp=rl&sig=fake%3D',
    '-----BEGIN FAKE KEY-----\nx\n-----END FAKE KEY-----',
    'DefaultEndpointsProtocol=https;AccountName=x;AccountKey=ZmFrZQ==',
  ])
    expect(looksSecret(secret), secret).toBe(true);
  for (const plain of [
    'handbook',
    'my-creds',
    'quarterly-reports-2026',
    '01890000-0000-7000-8000-000000000000',
    '**/*.pdf',
    's3://bucket/Folder/2026',
    'https://tenant.sharepoint.com/sites/Name2',
    'Europe/Paris',
    '0 3 * * *',
    'a sentence With 3 kinds of characters.',
  ])
    expect(looksSecret(plain), plain).toBe(false);
  const secret = 'fake+Secret/"0"==fake';
  const answer = JSON.stringify({ message: `There is no "${secret}" in "handbook".` });
  expect(withoutMistyped(answer, { deep: [{ [secret]: 1 }] }, 'handbook')).toBe(
    JSON.stringify({ message: 'There is no "(what was given)" in "handbook".' }),
  );
});
