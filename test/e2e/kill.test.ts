import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEBIAN_IMAGE_PEERS, type ServedDebianImage, serveDebianImage } from '../support/debian-image.js';
import { LANDFALL, landfall } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { rounds } from '../support/rounds.js';
import { listMounted, withoutUnlistedTimes } from '../support/tree-listing.js';

const reason = needsPeer('docker-registry', ...DEBIAN_IMAGE_PEERS);
const KILLS = rounds({ short: 6, long: 20 });

/** A pull that dies without a chance to clean up, at whatever moment, never spoils what the next one makes. */
describe.skipIf(reason !== undefined)('SIGKILL in mid-pull', () => {
  let work: string;
  let image: ServedDebianImage;
  let reference: string;
  let listed: ReadonlySet<string>;
  let expected: string[];
  let wholeMs: number;

  const pull = (root: string, killAfterMs?: number): ReturnType<typeof landfall> =>
    landfall(['--root', root, '--progress', 'none', 'pull', reference], {
      onStart: (child) => {
        if (killAfterMs === undefined) return;
        const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
        child.on('exit', () => clearTimeout(timer));
      },
    });

  const mounted = async (root: string): Promise<string[]> => {
    const target = join(work, 'target');
    await mkdir(target, { recursive: true });
    const run = `${process.execPath} ${LANDFALL} --root ${root}`;
    const listing = await listMounted(`${run} mount ${reference} ${target}`, target);
    await landfall(['--root', root, 'umount', target]);
    return withoutUnlistedTimes(listing, listed);
  };

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-kill-'));
    image = await serveDebianImage();
    ({ reference, listed } = image);
    const root = join(work, 'whole');
    const before = performance.now();
    expect(await pull(root)).toMatchObject({ code: 0 });
    wholeMs = performance.now() - before;
    expected = await mounted(root);
    await rm(root, { recursive: true });
  }, 300_000);

  afterAll(async () => {
    await image[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it(
    `at ${KILLS} random moments, then pulling again, ends with a correct image`,
    { timeout: 1_200_000 },
    async () => {
      let killed = 0;
      for (let round = 0; round < KILLS; round++) {
        const root = join(work, `root-${round}`);
        const moment = Math.random() * wholeMs;
        if ((await pull(root, moment)).signal === 'SIGKILL') killed++;
        const again = await pull(root);
        expect({ round, moment, ...again }, again.stderr).toMatchObject({ code: 0 });
        expect(await damagedBlobs(root)).toEqual([]);
        expect(await mounted(root)).toEqual(expected);
        // What the killed one left half-done goes with the next collection.
        expect(await landfall(['--root', root, 'gc'])).toMatchObject({ code: 0 });
        expect(await readdir(join(root, 'snapshots'))).toHaveLength(4);
        expect(await readdir(join(root, 'ingest'))).toEqual([]);
        expect(await mounted(root)).toEqual(expected);
        await rm(root, { recursive: true });
      }
      expect(killed).toBeGreaterThan(KILLS / 2);
    },
  );
});

async function damagedBlobs(root: string): Promise<string[]> {
  const directory = join(root, 'blobs/sha256');
  const names = await readdir(directory);
  const digests = await Promise.all(
    names.map(async (name) =>
      createHash('sha256')
        .update(await readFile(join(directory, name)))
        .digest('hex'),
    ),
  );
  return names.filter((name, i) => digests[i] !== name);
}
