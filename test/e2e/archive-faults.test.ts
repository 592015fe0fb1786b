import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../fuzz/random.js';
import { type CommandResult, LANDFALL, landfall, landfallJson } from '../support/landfall-command.js';
import { landfallAt, MountNamespace, outputAt } from '../support/mount-namespace.js';
import { rounds } from '../support/rounds.js';
import { makeTar, makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

const KILLS = rounds({ short: 3, long: 40 });
const MIB = 1 << 20;
const NAMES = ['docker.io/team/one:1', 'docker.io/team/two:1', 'docker.io/team/three:1'];

/** What breaks off while an archive is written or read leaves nothing that is half there. */
describe('archives and what goes wrong', { timeout: 240_000 }, () => {
  let work: string;
  let root: string;
  let file: string;
  let whole: Buffer;
  let saveMs: number;
  let loadMs: number;

  const killedAfter = (ms: number, args: readonly string[]): Promise<CommandResult> =>
    landfall(args, {
      onStart: (child) => {
        const timer = setTimeout(() => child.kill('SIGKILL'), ms);
        child.on('exit', () => clearTimeout(timer));
      },
    });
  const timed = async (args: readonly string[]): Promise<number> => {
    const before = performance.now();
    expect(await landfall(args)).toMatchObject({ code: 0 });
    return performance.now() - before;
  };

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-archive-faults-'));
    root = join(work, 'root');
    file = join(work, 'images.tar');
    const shared = await makeTar([{ path: 'shared', content: randomBytes(8 * MIB) }]);
    for (const name of NAMES) {
      const own = await makeTar([{ path: 'own', content: randomBytes(6 * MIB) }]);
      const layout: TinyLayout = await makeTinyLayout(join(work, name.replace(/\W/g, '-')), {
        layers: [shared, own],
      });
      await landfallJson(['copy', '--root', root, `oci:${layout.dir}`, name]);
    }
    saveMs = await timed(['save', '--root', root, ...NAMES, '-o', file]);
    loadMs = await timed(['load', '--root', join(work, 'whole'), '-i', file]);
    whole = await readFile(file);
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it(`SIGKILL in mid-save, at ${KILLS} moments, leaves no archive, and the next save is whole and alone`, async () => {
    const random = new Random(1);
    for (let kill = 0; kill < KILLS; kill += 1) {
      const directory = await mkdtemp(join(work, 'saved-'));
      const target = join(directory, 'images.tar');
      const split = kill % 2 === 1 ? ['--split', '4M'] : [];
      const save = ['save', '--root', root, ...NAMES, '-o', target, ...split];
      const killed = await killedAfter(saveMs * (0.3 + random.below(700) / 1000), save);
      const named = (await readdir(directory)).filter((name) => !name.includes('.partial'));
      if (killed.code === undefined && split.length === 0) {
        // A file that has its name is whole, if it was killed right after.
        for (const name of named) expect((await readFile(join(directory, name))).equals(whole)).toBe(true);
      }
      expect(await landfall(save)).toMatchObject({ code: 0 });
      expect((await readdir(directory)).filter((name) => /^\.|\.partial/.test(name))).toEqual([]);
      // What was kept of the one that was killed is in it, as the first would have written it.
      if (split.length === 0) expect((await readFile(target)).equals(whole)).toBe(true);
      expect(await landfall(['verify', target])).toMatchObject({ code: 0 });
      await rm(directory, { recursive: true });
    }
  });

  it(`SIGKILL in mid-load, at ${KILLS} moments, leaves no image that is not whole, and the next load goes on`, async () => {
    const random = new Random(2);
    for (let kill = 0; kill < KILLS; kill += 1) {
      const store = join(await mkdtemp(join(work, 'loaded-')), 'root');
      await killedAfter(loadMs * (0.3 + random.below(700) / 1000), ['load', '--root', store, '-i', file]);
      expect(await landfall(['verify', '--root', store])).toMatchObject({ code: 0 });
      expect(await landfall(['load', '--root', store, '-i', file])).toMatchObject({ code: 0 });
      const listed = await landfallJson<{ name: string }[]>(['images', '--root', store]);
      expect(listed.map(({ name }) => name).sort()).toEqual([...NAMES].sort());
      expect(await landfall(['fsck', '--root', store])).toMatchObject({ code: 0 });
      await rm(store, { recursive: true });
    }
  });

  it('two loads of one archive into one store at once bring each blob once', async () => {
    const store = join(await mkdtemp(join(work, 'twice-')), 'root');
    const both = await Promise.all([1, 2].map(() => landfall(['load', '--root', store, '-i', file])));
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(await landfall(['verify', '--root', store, '--diff-ids'])).toMatchObject({ code: 0 });
  });

  it('a full disk leaves no archive, and no image that is not whole', async () => {
    await using place = await MountNamespace.start();
    const disk = join(place.directory, 'disk');
    await mkdir(place.reach(disk));
    await outputAt(place, 'mount', '-t', 'tmpfs', '-o', `size=${16 * MIB}`, 'tmpfs', disk);
    for (const split of [[], ['--split', '1M']]) {
      const save = ['save', '--root', root, ...NAMES, '-o', join(disk, 'images.tar'), ...split];
      expect(await landfallAt(place, save)).toMatchObject({ code: 8 });
      expect(await readdir(place.reach(disk))).toEqual([]);
    }
    const store = join(disk, 'root');
    const loaded = await landfallAt(place, ['load', '--root', store, '-i', file]);
    expect(loaded.code).toBe(8);
    expect(await landfallAt(place, ['verify', '--root', store])).toMatchObject({ code: 0 });
    await rm(place.reach(store), { recursive: true });
    await outputAt(place, 'sh', '-c', `gzip -1 < ${file} > ${file}.gz`);
    const args = [
      `TMPDIR=${disk}`,
      process.execPath,
      LANDFALL,
      'load',
      '--root',
      join(work, 'spooled'),
      '-i',
      `${file}.gz`,
    ];
    const spooled = await place.run('env', args);
    expect(spooled).toMatchObject({ code: 8, stderr: expect.stringContaining('TMPDIR') as string });
    expect(await readdir(place.reach(disk))).toEqual([]);
  });
});
