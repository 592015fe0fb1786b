import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { landfallAt, MountNamespace, outputAt } from '../support/mount-namespace.js';
import { archive, END, file } from '../support/tar-builder.js';
import { makeTinyLayout } from '../support/tiny-image.js';

const MIB = 1 << 20;
const COMMAND = ['--progress', 'none', '--output', 'json', 'unpack'] as const;

describe('a disk of 1200 MiB', { timeout: 120_000 }, () => {
  it('is not filled by a layer that is small as compressed', async () => {
    await using place = await MountNamespace.start();
    const [layout, disk] = [join(place.directory, 'layout'), join(place.directory, 'disk')];
    for (const directory of [layout, disk]) await mkdir(place.reach(directory));
    await outputAt(place, 'mount', '-t', 'tmpfs', '-o', 'size=1200m', 'tmpfs', disk);
    // Some 270 times as large as compressed; it would fit, and leave 9 % of the disk.
    const hollow = [file('noise', randomBytes(4 * MIB)), file('hollow', Buffer.alloc(1088 * MIB))];
    await makeTinyLayout(place.reach(layout), { layers: [archive(...hollow, END)], compression: 'zstd' });
    const to = join(disk, 'tree');
    const refused = await landfallAt(place, [...COMMAND, `oci:${layout}:latest`, to]);
    expect(refused.code, refused.stderr).toBe(7);
    expect(JSON.parse(refused.stderr)).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining('less than 15 % of the disk is free') as string,
    });
    const room = Number(await outputAt(place, 'stat', '-f', '-c', '%a', disk)) * 4096;
    expect(room).toBeGreaterThan(1190 * MIB);
    const allowed = ['--unpack-limit', 'low-space-ratio=1000'];
    const done = await landfallAt(place, [...allowed, ...COMMAND, `oci:${layout}:latest`, to]);
    expect(done.code, done.stderr).toBe(0);
  });
});
