import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { outputAt } from './mount-namespace.js';
import { needsPeer } from './peers.js';
import { PowerCutDisk } from './power-cut-disk.js';

const reason = needsPeer('mkfs.ext4');

/**
 * A harness whose cuts lose nothing would prove nothing, and so would one whose cuts lose what was synced.
 */
describe.skipIf(reason !== undefined)('a cut of the power', () => {
  it('loses the files of a writer that does not sync', async () => {
    await using disk = await PowerCutDisk.start();
    await mkdir(disk.reach(join(disk.path, 'kept')));
    await disk.sync();
    for (const name of ['a', 'b', 'c'])
      await writeFile(disk.reach(join(disk.path, 'kept', name)), 'x'.repeat(9000));
    await using after = await disk.cut();
    expect(await readdir(disk.reach(disk.path))).toContain('kept');
    expect(await readdir(disk.reach(after.path))).toContain('kept');
    expect(await readdir(disk.reach(join(disk.path, 'kept')))).toEqual(['a', 'b', 'c']);
    expect(await readdir(disk.reach(join(after.path, 'kept')))).toEqual([]);
  });

  it('keeps those of one that syncs the file and its directory', async () => {
    await using disk = await PowerCutDisk.start();
    await syncedWrite(disk.reach(disk.path), 'a', 'x'.repeat(9000));
    await writeFile(disk.reach(join(disk.path, 'b')), 'x'.repeat(9000));
    await using after = await disk.cut();
    expect(await readFile(disk.reach(join(after.path, 'a')), 'utf8')).toBe('x'.repeat(9000));
  });

  it('shows each cut as its own moment', async () => {
    await using disk = await PowerCutDisk.start({ commitSeconds: 300 });
    await syncedWrite(disk.reach(disk.path), 'a', '1');
    await using first = await disk.cut();
    await syncedWrite(disk.reach(disk.path), 'b', '2');
    await using second = await disk.cut();
    expect(await readdir(disk.reach(first.path))).toEqual(['a', 'lost+found']);
    expect(await readdir(disk.reach(second.path))).toEqual(['a', 'b', 'lost+found']);
  });

  it('is followed by another boot', async () => {
    await using disk = await PowerCutDisk.start();
    const boot = (): Promise<string> => outputAt(disk, 'cat', '/proc/sys/kernel/random/boot_id');
    const boots = [await boot()];
    for (let cut = 0; cut < 2; cut++) {
      await using after = await disk.cut();
      boots.push(await boot());
      expect(await readdir(disk.reach(after.path))).toEqual(['lost+found']);
    }
    expect(new Set(boots).size).toBe(3);
    const here = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    expect(boots[0], 'elsewhere nothing changes').toBe(here);
  });
});

async function syncedWrite(directory: string, name: string, content: string): Promise<void> {
  for (const path of [join(directory, name), directory]) {
    const handle = await open(path, path === directory ? 'r' : 'w');
    try {
      if (path !== directory) await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
