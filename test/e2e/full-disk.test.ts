import { randomBytes } from 'node:crypto';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ExpectedImage } from '../support/expected-image.js';
import type { CommandResult } from '../support/landfall-command.js';
import { landfallAt, MountNamespace, outputAt, type Place } from '../support/mount-namespace.js';
import { needsPeer } from '../support/peers.js';
import { PowerCutDisk } from '../support/power-cut-disk.js';
import { filesIn, type ServedImages, serveImages } from '../support/served-images.js';
import { leftovers, mountFaults, storeFaults } from '../support/store-faults.js';

const MIB = 1 << 20;
const DISK = 64 * MIB;
const reason = needsPeer('mkfs.ext4');

interface SmallDisk extends AsyncDisposable {
  readonly place: Place;
  readonly path: string;
  readonly target: string;
}

const DISKS: Readonly<Record<string, () => Promise<SmallDisk>>> = {
  tmpfs: async () => {
    const place = await MountNamespace.start();
    const path = join(place.directory, 'mounted');
    await mkdir(place.reach(path));
    await outputAt(place, 'mount', '-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', path);
    const target = join(place.directory, 'target');
    return { place, path, target, [Symbol.asyncDispose]: () => place[Symbol.asyncDispose]() };
  },
  ext4: async () => {
    const place = await PowerCutDisk.start({ size: DISK });
    const target = join(place.scratch, 'target');
    return { place, path: place.path, target, [Symbol.asyncDispose]: () => place[Symbol.asyncDispose]() };
  },
};

describe.skipIf(reason !== undefined).each(Object.keys(DISKS))(
  'a full disk, %s',
  { timeout: 240_000 },
  (kind) => {
    let small: ServedImages;
    let wide: ServedImages;
    let hollow: ServedImages;
    let huge: ServedImages;
    let disk: SmallDisk;
    let root: string;

    const command = (...args: string[]): Promise<CommandResult> =>
      landfallAt(disk.place, ['--root', root, '--progress', 'none', ...args]);
    const faults = (): Promise<string[]> =>
      storeFaults(
        disk.place,
        root,
        [small, wide, hollow, huge].flatMap(({ images }) => images),
      );
    const isWhole = async (image: ExpectedImage): Promise<void> => {
      expect(await mountFaults(disk.place, root, image, disk.target)).toEqual([]);
    };
    /** Takes all that is left, in a file beside the store. */
    const fill = (): Promise<CommandResult> => {
      const script =
        'dd if=/dev/zero of="$1" bs=64k; dd if=/dev/zero of="$1" bs=512 oflag=append conv=notrunc; sync -f "$1"';
      return disk.place.run('sh', ['-c', script, 'fill', join(disk.path, 'filling')]);
    };
    const makeRoom = (): Promise<CommandResult> => disk.place.run('rm', ['-f', join(disk.path, 'filling')]);

    beforeAll(async () => {
      small = await serveImages();
      // Twice its size: as a blob, and unpacked.
      const content = randomBytes(10 * MIB);
      wide = await serveImages({ shared: [[{ path: 'wide', content }]], blobs: { bytesPerSecond: 1e7 } });
      // Small as a blob, and larger than what is left beside the other.
      hollow = await serveImages({
        shared: [filesIn('usr', 9, 900), [{ path: 'hollow', content: Buffer.alloc(40 * MIB) }]],
      });
      huge = await serveImages({ shared: [[{ path: 'huge', content: randomBytes(DISK) }]] });
    });

    afterAll(async () => {
      for (const served of [small, wide, hollow, huge]) await served[Symbol.asyncDispose]();
    });

    it('refuses at once what cannot fit', async () => {
      await using started = await start();
      disk = started;
      const [kept] = small.images;
      const [image] = huge.images;
      expect(await command('pull', kept.name)).toMatchObject({ code: 0 });
      const before = huge.registry.lines().length;
      const refused = await command('--output', 'json', 'pull', image.name);
      expect(refused.code, refused.stderr).toBe(8);
      expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'NO_SPACE' });
      const layers = image.layout.manifests[0].layers.map(({ digest }) => digest);
      const asked = huge.registry.lines().slice(before);
      expect(asked.filter((line) => layers.some((digest) => line.includes(digest)))).toEqual([]);
      expect(await faults()).toEqual([]);
      await isWhole(kept);
    });

    it('stops what fits as it is and not unpacked, and goes on with it when there is room', async () => {
      await using started = await start();
      disk = started;
      const [kept] = small.images;
      const [other] = wide.images;
      const [image] = hollow.images;
      expect(await command('pull', kept.name, other.name)).toMatchObject({ code: 0 });
      const failed = await command('--output', 'json', 'pull', image.name);
      expect(failed.code, failed.stderr).toBe(8);
      expect(JSON.parse(failed.stderr)).toMatchObject({ code: 'NO_SPACE' });
      expect(await faults()).toEqual([]);
      await isWhole(kept);
      await isWhole(other);
      expect(await command('rmi', other.name)).toMatchObject({ code: 0 });
      const sent = hollow.registry.sent.total();
      expect(await command('pull', image.name)).toMatchObject({ code: 0 });
      // What had arrived had been kept; only what was on its way just then may come again.
      expect(hollow.registry.sent.total() - sent).toBeLessThan(100_000);
      expect(await command('gc')).toMatchObject({ code: 0 });
      expect(await faults()).toEqual([]);
      expect(await leftovers(disk.place, root, [kept, image])).toEqual([]);
      await isWhole(image);
    });

    it('stops a download in its middle, and goes on from there when there is room', async () => {
      await using started = await start();
      disk = started;
      const [kept] = small.images;
      const [other] = wide.images;
      expect(await command('pull', kept.name)).toMatchObject({ code: 0 });
      // The pull has looked, and finds room; then somebody else takes it.
      let filled: Promise<CommandResult> | undefined;
      const layer = other.layout.manifests[0].layers[0]?.digest ?? '';
      const watch = setInterval(() => {
        if (filled === undefined && wide.registry.sent.total(`/v2/team/app/blobs/${layer}`) > 0)
          filled = fill();
      }, 1);
      const failed = await command('--output', 'json', 'pull', other.name);
      clearInterval(watch);
      await filled;
      if (failed.code !== 0) {
        expect(failed.code, failed.stderr).toBe(8);
        expect(JSON.parse(failed.stderr)).toMatchObject({ code: 'NO_SPACE' });
      }
      await makeRoom();
      expect(await faults()).toEqual([]);
      await isWhole(kept);
      expect(await command('pull', other.name)).toMatchObject({ code: 0 });
      expect(await faults()).toEqual([]);
      await isWhole(other);
    });

    it.each(['rmi', 'gc'])('lets %s make room where there is none at all', async (what) => {
      await using started = await start();
      disk = started;
      const [kept] = small.images;
      const [other] = wide.images;
      expect(await command('pull', kept.name, other.name)).toMatchObject({ code: 0 });
      if (what === 'gc') expect(await command('tag', kept.name, other.name)).toMatchObject({ code: 0 });
      await fill();
      const { bavail } = await disk.place
        .run('stat', ['-f', '-c', '%a', disk.path])
        .then(({ stdout }) => ({ bavail: Number(stdout) }));
      expect(bavail).toBe(0);
      const args = what === 'rmi' ? ['rmi', other.name] : ['gc'];
      const done = await command(...args);
      expect({ code: done.code, stderr: done.stderr }).toMatchObject({ code: 0 });
      const free = Number((await disk.place.run('stat', ['-f', '-c', '%a', disk.path])).stdout);
      expect(free * 4096).toBeGreaterThan(15 * MIB);
      const names = what === 'rmi' ? [kept] : [kept, { ...kept, name: other.name }];
      expect(await storeFaults(disk.place, root, names)).toEqual([]);
      await isWhole(kept);
    });

    async function start(): Promise<SmallDisk> {
      const started = await DISKS[kind]?.();
      if (started === undefined) throw new Error(`no disk is of the kind ${kind}`);
      root = join(started.path, 'store');
      expect(await readdir(started.place.reach(started.path))).not.toContain('store');
      return started;
    }
  },
);
