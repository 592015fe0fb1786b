import { expect, test } from 'vitest';

import { renderReferrers } from '../../src/cli/commands/referrers.js';
import type { Referrer } from '../../src/engine/images/referrer-tree.js';
import type { Descriptor, Digest } from '../../src/spec/index.js';

const DATE = '2025-01-01T00:00:00Z';

function referrer(o: Partial<Descriptor>, ...referrers: Referrer[]): Referrer {
  return { descriptor: { mediaType: 'media/type', digest: 'd:1' as Digest, size: 5, ...o }, referrers };
}

const tree = [
  referrer(
    { artifactType: 'sbom', annotations: { 'org.opencontainers.image.created': DATE } },
    referrer({ artifactType: 'signature', size: 12_000 }, referrer({})),
    referrer({ artifactType: '' }),
  ),
  referrer({ artifactType: 'signature' }, referrer({ artifactType: 'note' })),
];

test('a tree', () => {
  expect(renderReferrers('quay.io/x@d:0', tree, { unicode: true }).split('\n')).toEqual([
    'quay.io/x@d:0',
    `├─ sbom              d:1      5 B  ${DATE}`,
    '│  ├─ signature      d:1  12.0 kB',
    '│  │  └─ media/type  d:1      5 B',
    '│  └─ media/type     d:1      5 B',
    '└─ signature         d:1      5 B',
    '   └─ note           d:1      5 B',
    '',
  ]);
});

test('a tree where there is only ASCII', () => {
  const lines = renderReferrers('root', tree, { unicode: false }).split('\n');
  expect(lines.map((line) => line.replace(/ {2}d:1.*/, '').trimEnd())).toEqual([
    'root',
    '|- sbom',
    '|  |- signature',
    '|  |  `- media/type',
    '|  `- media/type',
    '`- signature',
    '   `- note',
    '',
  ]);
});

test('nothing', () => {
  expect(renderReferrers('root', [], { unicode: true })).toBe('root\nnothing refers to it\n');
});

test('what others wrote moves no cursor', () => {
  const annotations = { 'org.opencontainers.image.created': '\u001b[2J\nnow' };
  const text = renderReferrers('root', [referrer({ artifactType: 'a\u001b]0;b\u0007', annotations })], {
    unicode: false,
  });
  expect(text).toBe('root\n`- a\\u001b]0;b\\u0007  d:1  5 B  \\u001b[2J now\n');
});
