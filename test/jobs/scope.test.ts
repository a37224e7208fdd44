import { describe, expect, test } from 'vitest';
import { assertScope, covers } from '../../src/jobs/scope.ts';

const ref = { manager: 'm', workspace: 'w', secretId: 'creds', version: '1' };

describe('the scope of a secret', () => {
  test('covers a path and what lies below it, and nothing beside it', () => {
    for (const [allowed, path, covered] of [
      ['s3://bucket', 's3://bucket', true],
      ['s3://bucket', 's3://bucket/', true],
      ['s3://bucket', 's3://bucket/any/thing', true],
      ['s3://bucket', 's3://bucket-other', false],
      ['s3://bucket', 's3://BUCKET', false],
      ['s3://bucket/docs', 's3://bucket/docs/', true],
      ['s3://bucket/docs/', 's3://bucket/docs', true],
      ['s3://bucket/docs', 's3://bucket/docs-secret', false],
      ['s3://bucket/docs', 's3://bucket/docs/../secret', true],
      ['s3://bucket/docs', 's3://bucket', false],
      ['s3://bucket', 's3://arn:aws:s3:eu-west-1:123456789012:accesspoint/bucket', false],
      ['https://t.sharepoint.com/sites/Team', 'https://T.sharepoint.com/sites/team/Docs', true],
      ['https://t.sharepoint.com/sites/Team A', 'https://t.sharepoint.com/sites/Team%20A/Docs', true],
      ['https://t.sharepoint.com/sites/Team', 'https://t.sharepoint.com/sites/Team2', false],
      ['https://t.sharepoint.com/sites/Team', 'https://t.sharepoint.com.evil.example/sites/Team', false],
      ['https://t.sharepoint.com/sites/Team', 'https://t.sharepoint.com/sites/Other/%2e%2e/Team', true],
      ['https://t.sharepoint.com/sites/Team', 'https://t.sharepoint.com/sites/Team%2f..%2fOther', false],
      ['https://t.sharepoint.com/sites/Team', 'https://t.sharepoint.com/sites/Team/%zz', false],
    ] as const)
      expect(covers(allowed, path), `${allowed} ${path}`).toBe(covered);
  });

  test('is asked for collections and paths, each where it says something', () => {
    const use = (scope: object | null, path = 's3://b', collection: string | null = 'c') =>
      assertScope({ scope, ref }, { path, collection });
    use(null);
    use({});
    use({ collections: ['c'] });
    use({ paths: ['s3://b'] });
    use({ collections: ['x', 'c'], paths: ['s3://x', 's3://b'] });
    expect(() => use({ collections: [] })).toThrow(/may not be used/);
    expect(() => use({ paths: [] })).toThrow(/may not be used/);
    expect(() => use({ collections: ['other'] })).toThrow(/collection "c"/);
    expect(() => use({ collections: ['c'] }, 's3://b', null)).toThrow(/outside its collections/);
    expect(() => use({ collections: ['c'], paths: ['s3://x'] })).toThrow(/s3:\/\/b/);
  });
});
