import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CALLERS } from '../../../src/unpack/terms/ownership.js';
import { Sandbox } from '../../support/extract-layer.js';
import { needsPeer } from '../../support/peers.js';

const GiB = 2 ** 30;
/** More than the octal digits of a header can say. */
const SIZE = 9 * GiB + 5;
/** Offsets of the only bytes that are not zero. */
const PIECES: readonly (readonly [offset: number, text: string])[] = [
  [0, 'begin'],
  [5 * GiB + 1000, 'middle'],
  [SIZE - 3, 'end'],
];

const gnu = (...options: string[]): string[] => ['tar', '-S', ...options];

/** A file of 9 GiB that is almost all hole takes no time and no room, in every format that has holes. */
describe.skipIf(needsPeer('bsdtar') !== undefined)('a sparse file of more than 8 GiB', () => {
  let root = '';
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'landfall-huge-'));
    const fd = openSync(join(root, 'huge'), 'w');
    for (const [offset, text] of PIECES) writeSync(fd, text, offset);
    ftruncateSync(fd, SIZE);
    closeSync(fd);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it.each([
    { name: 'GNU tar, gnu', command: gnu('--format=gnu') },
    { name: 'GNU tar, pax, sparse 0.0', command: gnu('--format=posix', '--sparse-version=0.0') },
    { name: 'GNU tar, pax, sparse 0.1', command: gnu('--format=posix', '--sparse-version=0.1') },
    { name: 'GNU tar, pax, sparse 1.0', command: gnu('--format=posix', '--sparse-version=1.0') },
    { name: 'bsdtar, pax', command: ['bsdtar', '--format=pax'] },
  ])('comes out of $name', ({ command: [program = '', ...options] }) => {
    const archive = join(root, 'archive.tar');
    execFileSync(program, [...options, '-cf', archive, '-C', root, 'huge'], { stdio: 'pipe' });
    const sandbox = new Sandbox();
    try {
      sandbox.extract(readFileSync(archive), { ownership: CALLERS });
      const made = join(sandbox.layer, 'huge');
      const { size, blocks } = lstatSync(made);
      expect(size).toBe(SIZE);
      expect(blocks * 512).toBeLessThan(2 ** 20);
      const fd = openSync(made, 'r');
      for (const [offset, text] of PIECES) {
        const around = Buffer.alloc(text.length + 20);
        const from = Math.max(0, offset - 10);
        const length = readSync(fd, around, 0, around.length, from);
        const expected = Buffer.alloc(length);
        expected.write(text, offset - from, 'latin1');
        expect(around.subarray(0, length)).toEqual(expected);
      }
      closeSync(fd);
    } finally {
      sandbox.remove();
    }
  });
});
