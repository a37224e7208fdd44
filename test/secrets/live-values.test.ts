import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Secret } from '../../src/contract/secret.ts';
import { LiveValues } from '../../src/secrets/live-values.ts';
import { encodingsOf, findIn } from '../canary.ts';

test('what is written is searched for every live value, in every form of it', () => {
  const value = 'fake+secret/with "quotes" \\ and ümläut==';
  const pem = `-----BEGIN FAKE KEY-----\n${'Zm9v'.repeat(16)}\n${'YmFy'.repeat(16)}\n-----END FAKE KEY-----`;
  const live = new LiveValues();
  live.watch(new Secret({ secret_access_key: value, nested: { private_key: pem }, region: 'eu-west-1' }));
  for (const [form, bytes] of encodingsOf(value)) {
    if (form === 'utf16' || form === 'HEX') continue;
    const text = bytes.toString();
    expect(live.scrub(`before ${text} after`), form).not.toContain(text);
    expect(live.scrub(`before ${text} after`), form).toMatch(/^before .*after$/);
  }
  const line = JSON.stringify({ msg: `key ${pem}`, error: value, in: 'eu-west-1' });
  expect(findIn(Buffer.from(live.scrub(line)), [value, pem, 'Zm9v'.repeat(16)])).toEqual([]);
  expect(JSON.parse(live.scrub(line))).toMatchObject({ error: '[secret]', in: 'eu-west-1' });
  expect(live.scrub(`Authorization: Basic ${Buffer.from(`user:${value}`).toString('base64')}`)).toContain('[secret]');
  live.watch(new Secret({ sas_token: 'sv=2026&sig=abcdefghijkl%3D&se=x' }));
  expect(live.scrub('https://x/?sig=abcdefghijkl%3D')).toBe('https://x/?sig=[secret]');
});

test('no value of any kind gets through, and other text is left alone', () => {
  const values = fc.array(fc.string({ minLength: 8, maxLength: 60, unit: 'grapheme' }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(values, fc.string({ maxLength: 100 }), (all, around) => {
      const live = new LiveValues();
      live.watch(new Secret(all));
      const scrubbed = live.scrub(`${around}${all.join(around)}${JSON.stringify(all)}`);
      // Two values together can make up what looks like a third only where the mask itself would.
      for (const value of all) if (!'[secret]'.includes(value)) expect(scrubbed.includes(value)).toBe(false);
    }),
  );
  const live = new LiveValues();
  expect(live.scrub('nothing is secret yet')).toBe('nothing is secret yet');
  live.watch(new Secret({ short: 'abc', number: 12_345_678, nothing: null }));
  expect(live.scrub('abc 12345678 null')).toBe('abc 12345678 null');
});
