import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { FAULT_POINTS, type FaultPoint } from '../../src/system/index.js';
import type { ExpectedImage } from '../support/expected-image.js';
import { type CommandResult, LANDFALL } from '../support/landfall-command.js';
import { landfallAt, MountNamespace, outputAt } from '../support/mount-namespace.js';
import { isLong } from '../support/rounds.js';
import { filesIn, type ServedImages, serveImages } from '../support/served-images.js';
import { leftovers, mountFaults, storeFaults } from '../support/store-faults.js';

/**
 * What a process does that dies, on a store that has the image `kept`, and `other` where it is not what is
 * pulled.
 */
interface Scenario {
  /** Arguments of node. */
  readonly run: readonly string[];
  readonly before?: readonly (readonly string[])[];
  /** What was done already may be refused, where the process died after it: the reason it gives. */
  readonly unless?: RegExp;
  /** What ends what the command began, with its exit codes. */
  readonly after?: readonly { readonly args: readonly string[]; readonly codes: readonly number[] }[];
  /** What the store has in the end, besides `kept`. */
  readonly images: readonly ExpectedImage[];
}

const ENGINE = new URL('../../dist/src/engine/store.js', import.meta.url);

/**
 * Fills a snapshot on top of an image and commits it, then removes it, whatever an earlier run has left of
 * it.
 */
const COMMIT_SNAPSHOT = `
import { openStore } from ${JSON.stringify(ENGINE.href)};
const [root, parent] = process.argv.slice(2);
const store = await openStore({ root });
const { snapshotter } = store;
if ((await snapshotter.stat('finished')) === undefined) {
  if ((await snapshotter.stat('working')) === undefined) await snapshotter.prepare('working', parent);
  await snapshotter.commit('working', 'finished');
}
if ((await snapshotter.stat('working')) !== undefined) throw new Error('it is still being worked on');
await snapshotter.remove('finished');
await store.close();
`;

describe('a process that dies', () => {
  let work: string;
  let namespace: MountNamespace;
  let served: ServedImages;
  let kept: ExpectedImage;
  let other: ExpectedImage;
  let bare: string;
  let full: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-fault-'));
    namespace = await MountNamespace.start();
    served = await serveImages({ count: 2, shared: [filesIn('usr', 5, 3000), filesIn('lib', 5, 3000)] });
    [kept, other = kept] = served.images;
    await writeFile(join(work, 'commit-snapshot.mjs'), COMMIT_SNAPSHOT);
    bare = join(work, 'bare');
    full = join(work, 'full');
    expect(await landfall(bare, ['pull', kept.name])).toMatchObject({ code: 0 });
    expect(await landfall(full, ['pull', kept.name, other.name])).toMatchObject({ code: 0 });
  });

  afterAll(async () => {
    await served[Symbol.asyncDispose]();
    await namespace[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const landfall = (root: string, args: readonly string[]): Promise<CommandResult> =>
    landfallAt(namespace, optionsOf(root, args));
  const optionsOf = (root: string, args: readonly string[]): string[] => [
    ...['--root', root, '--progress', 'none'],
    ...args,
  ];

  const nths = isLong ? [1, 2, 3] : [1];
  const cases = FAULT_POINTS.flatMap((point) =>
    nths.filter((nth) => nth === 1 || comesOften(point)).map((nth) => [point, nth] as const),
  );

  it.each(cases)('at %s, time %i, leaves a sound store', { timeout: 240_000 }, async (point, nth) => {
    const target = join(namespace.directory, 'target');
    await namespace.run('mkdir', ['-p', target]);
    const { before = [], run, unless, after = [], images } = scenarioOf(point, target);
    const root = join(work, `${point.replace(':', '-')}-${nth}`);
    await outputAt(namespace, 'cp', '-a', isPull(point) ? bare : full, root);
    for (const args of before) expect(await landfall(root, args)).toMatchObject({ code: 0 });
    const line = run.map((arg) => arg.replace('ROOT', root));
    const dead = await namespace.run(process.execPath, line, {
      env: { LANDFALL_FAULT_POINT: `${point}:${nth}` },
    });
    expect(dead, 'the point is never reached').toMatchObject({ signal: 'SIGKILL' });

    const tagged = { ...other, name: kept.name };
    const known = [kept, other, tagged];
    expect(await storeFaults(namespace, root, known)).toEqual([]);
    for (const image of images) {
      if (image !== other || !isPull(point)) {
        expect(await mountFaults(namespace, root, image, join(namespace.directory, 'look'))).toEqual([]);
      }
    }

    const again = await namespace.run(process.execPath, line);
    if (again.code !== 0) expect(again.stderr).toMatch(unless ?? /^$/);
    for (const { args, codes } of after) expect(codes).toContain((await landfall(root, args)).code);
    expect(await landfall(root, ['gc'])).toMatchObject({ code: 0 });
    expect(await storeFaults(namespace, root, known)).toEqual([]);
    expect(await leftovers(namespace, root, images)).toEqual([]);
    for (const image of images) {
      expect(await mountFaults(namespace, root, image, join(namespace.directory, 'look'))).toEqual([]);
    }
    await rm(root, { recursive: true });
  });

  function scenarioOf(point: FaultPoint, target: string): Scenario {
    const command = (...args: string[]): string[] => [LANDFALL, ...optionsOf('ROOT', args)];
    const [step] = point.split(':');
    switch (step) {
      case 'blob-commit':
      case 'layer-commit':
      case 'image-put':
        return { run: command('pull', other.name), images: [kept, other] };
      case 'discard-layers':
        return { run: command('pull', '--discard-layers', other.name), images: [kept, other] };
      case 'prepare':
        return {
          run: command('mount', '--rw', kept.name, target),
          unless: /is mounted at .* already/,
          after: [{ args: ['umount', target], codes: [0] }],
          images: [kept, other],
        };
      case 'snapshot-commit': {
        const top = [...kept.chains.keys()].at(-1) ?? '';
        return { run: [join(work, 'commit-snapshot.mjs'), 'ROOT', top], images: [kept, other] };
      }
      case 'gc':
        // The name's former image is garbage then.
        return {
          before: [['tag', other.name, kept.name]],
          run: command('gc'),
          images: [other, { ...other, name: kept.name }],
        };
      case 'rmi':
        return { run: command('rmi', other.name), unless: /no image|not found/i, images: [kept] };
      default:
        throw new Error(`no test reaches ${point}`);
    }
  }
});

function isPull(point: FaultPoint): boolean {
  return /^(blob-commit|layer-commit|image-put|discard-layers):/.test(point);
}

/** Whether a process comes there several times, in these scenarios. */
function comesOften(point: FaultPoint): boolean {
  return point.startsWith('blob-commit:') || point === 'gc:blob-removed';
}
