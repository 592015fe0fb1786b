import { closeSync, mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TarReader } from '../../src/unpack/tar/tar-reader.js';
import { archive, file } from '../support/tar-builder.js';
import { removeTree } from '../support/unpack-fixture.js';
import { type Extract, extractLayer } from './extract-layer.js';
import { readFinding, writeFinding } from './finding.js';
import { FuzzLoop } from './fuzz-loop.js';
import { Random } from './random.js';
import { FuzzSandbox, SANDBOXES } from './sandbox.js';
import { shrink } from './shrink.js';
import { createExtractTarget } from './targets/extract.js';
import type { Violation, ViolationKind } from './violation.js';

let root: string;
let sandbox: FuzzSandbox;
let loop: FuzzLoop;
beforeEach(() => {
  root = mkdtempSync(join(SANDBOXES, 'landfall-faults-'));
  sandbox = new FuzzSandbox(root);
  loop = new FuzzLoop({ sandbox, mounts: false });
});
afterEach(async () => {
  loop[Symbol.dispose]();
  sandbox[Symbol.dispose]();
  await removeTree(root);
});

/** The real one, after something is done for each entry of an archive that is read whole. */
function after(sabotage: (path: string, directory: string) => void): Extract {
  return (bytes, directory, way, random) => {
    const entry = ({ path }: { path: string }): void => sabotage(path, directory);
    const reader = new TarReader({ entry, data: () => undefined, endEntry: () => undefined });
    reader.push(bytes);
    return extractLayer(bytes, directory, way, random);
  };
}

const opened: number[] = [];
const kept: Buffer[] = [];
afterEach(() => {
  opened.splice(0).forEach((fd) => closeSync(fd));
  kept.splice(0);
});

const FAULTS: readonly (readonly [fault: string, kind: ViolationKind, extract: Extract])[] = [
  [
    'follows a path that climbs',
    'escape',
    after((path, directory) => {
      if (path === '../outside/sentinel') writeFileSync(join(directory, path), 'overwritten');
    }),
  ],
  [
    'makes a new file beside the directory',
    'escape',
    after((path, directory) => {
      if (path.startsWith('../')) writeFileSync(join(directory, '../new'), '');
    }),
  ],
  [
    'forgets a descriptor',
    'leak',
    after((path) => {
      if (path.includes('.wh.')) opened.push(openSync('/dev/null', 'r'));
    }),
  ],
  [
    'takes a name for what it is not',
    'crash',
    after((path) => {
      if (path.includes('__proto__')) throw new TypeError('not a function');
    }),
  ],
  [
    'lets a chunk decide',
    'differs',
    (bytes, directory, way, random) =>
      extractLayer(way.chunking === 511 ? bytes.subarray(0, 512) : bytes, directory, way, random),
  ],
  [
    'believes a size',
    'memory',
    after((path) => {
      if (path.includes('constructor')) kept.push(Buffer.alloc(300 * 2 ** 20, 1));
    }),
  ],
];

/** The first violation that some inputs meet, with the input. */
async function firstViolation(
  extract: Extract,
  inputs: number,
): Promise<[Violation, Buffer, number] | undefined> {
  const target = createExtractTarget(extract);
  for (let index = 0; index < inputs; index++) {
    const input = target.generate(new Random(3, index), []);
    const violation = await loop.check(target, input, { seed: 3, index });
    if (violation !== undefined) return [violation, Buffer.concat(input.layers), index];
  }
  return undefined;
}

describe('a writer that', () => {
  test.each(FAULTS)('%s is found out', async (_, kind, extract) => {
    const [violation] = (await firstViolation(extract, 1000)) ?? [];
    expect(violation?.kind, violation?.message).toBe(kind);
  });

  test('has no fault is found in order', async () => {
    expect(await firstViolation(extractLayer, 300)).toBeUndefined();
  });
});

test('what is found is made smaller, and found again from its file', async () => {
  const extract = after((path) => {
    if (path === 'd') throw new TypeError('not a function');
  });
  const target = createExtractTarget(extract);
  const number = { seed: 3, index: 0 };
  const many = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => file(name, Buffer.alloc(1000, name)));
  const input = { layers: [archive(...many)] };
  const isFaulty = async (smaller: typeof input): Promise<boolean> =>
    (await loop.check(target, { layers: smaller.layers }, number))?.kind === 'crash';
  const small = await shrink(input, (smaller) => isFaulty({ layers: [...smaller.layers] }));
  expect(small.layers).toEqual([file('d', Buffer.alloc(1000, 'd'))]);
  const path = writeFinding(root, {
    target: 'extract',
    kind: 'crash',
    message: 'two\nlines',
    number,
    input: small,
  });
  const again = readFinding(path);
  expect(again).toMatchObject({ kind: 'crash', message: 'two\nlines', number });
  expect(await isFaulty({ layers: [...again.input.layers] })).toBe(true);
});
