import { describe, expect, test } from 'vitest';
import { copyChoice, type CopyFlags } from '../../src/cli/commands/copy-info.js';

const amd64 = { os: 'linux', architecture: 'amd64' };
const arm64 = { os: 'linux', architecture: 'arm64' };

describe('what is to be copied', () => {
  test.each<[string, CopyFlags, object]>([
    [
      'nothing said: with referrers',
      {},
      { platforms: 'one', rewriteIndex: false, referrers: { cosignTags: true, artifactTypes: undefined } },
    ],
    ['--all', { all: true }, { platforms: 'all', rewriteIndex: false }],
    [
      '--platform',
      { platform: ['amd64', 'linux/arm64'] },
      { platforms: [amd64, arm64], rewriteIndex: false },
    ],
    [
      '--rewrite-index',
      { platform: ['linux/arm64'], rewriteIndex: true },
      { platforms: [arm64], rewriteIndex: true },
    ],
    ['--no-referrers', { referrers: false }, { platforms: 'one', referrers: undefined }],
    [
      '--artifact-type',
      { artifactType: ['a/b'], cosignTags: false },
      { referrers: { cosignTags: false, artifactTypes: ['a/b'] } },
    ],
  ])('%s', (_, flags, expected) => {
    expect(copyChoice(flags, 'one')).toMatchObject(expected);
  });

  test.each<[string, CopyFlags]>([
    ['--all and --platform', { all: true, platform: ['amd64'] }],
    ['--rewrite-index alone', { rewriteIndex: true }],
    ['--rewrite-index with --all', { rewriteIndex: true, all: true }],
    ['--no-referrers with --artifact-type', { referrers: false, artifactType: ['a/b'] }],
    ['no platform', { platform: ['linux/'] }],
  ])('%s is refused', (_, flags) => {
    expect(() => copyChoice(flags, 'one')).toThrow(
      expect.objectContaining({ code: expect.any(String) as string }),
    );
  });
});
