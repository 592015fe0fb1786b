import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeTree } from '../support/unpack-fixture.js';
import type { Finding } from './finding.js';
import { readTarget } from './targets/read.js';
import { WatchedProcess } from './watched-process.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'landfall-watched-'));
});
afterEach(() => removeTree(directory));

/**
 * A process that says it is at its first input, and at the second one does what it does; later ones are fine.
 */
async function watched(atSecond: string, hangSeconds = 60): Promise<Finding[]> {
  const script = join(directory, 'process.mjs');
  const lines = [
    `import { writeSync } from 'node:fs';`,
    `const order = JSON.parse(process.argv[2]);`,
    `for (let index = order.first; index < order.end; index += order.step) {`,
    `  writeSync(4, new Float64Array([index, index + 1, 1]), 0, 24, 0);`,
    `  if (index === 2) { ${atSecond} }`,
    `}`,
    `process.disconnect();`,
  ];
  await writeFile(script, lines.join('\n'));
  const findings: Finding[] = [];
  const one = new WatchedProcess({
    order: {
      directory,
      seeds: directory,
      mounts: false,
      seed: 5,
      first: 0,
      step: 2,
      end: 8,
      until: Number.MAX_SAFE_INTEGER,
    },
    isolated: false,
    hangSeconds,
    targets: [readTarget],
    seeds: [],
    script,
    onFinding: (finding) => findings.push(finding),
  });
  await one.run();
  expect(one.counts).toEqual([{ inputs: 7, milliseconds: 1 }]);
  return findings;
}

test.each([
  ['hangs', 'hang', 'for (;;);'],
  ['gives up', 'died', 'process.abort();'],
  ['is killed', 'died', `process.kill(process.pid, 'SIGKILL');`],
  ['throws where nobody catches it', 'died', `throw new Error('unhandled');`],
])(
  'a process that %s is a finding, with the input, and the next goes on behind it',
  async (_, kind, atSecond) => {
    const [finding, ...more] = await watched(atSecond, kind === 'hang' ? 2 : 60);
    expect(finding).toMatchObject({ kind, target: 'read', number: { seed: 5, index: 2 } });
    expect(finding?.input.layers).toHaveLength(1);
    expect(more).toEqual([]);
  },
);

test('a process that does all that it was to do is none', async () => {
  expect(await watched('')).toEqual([]);
});
