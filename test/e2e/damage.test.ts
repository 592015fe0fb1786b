import {
  chmod,
  lutimes,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FsckReport } from '../../src/engine/upkeep/fsck-run.js';
import { chainIds, type Digest } from '../../src/spec/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { LANDFALL, peerOutput, runCommand } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const reason = needsPeer('docker-registry', 'skopeo');

/** What a test damages, by its path. */
type Damage = (path: string) => Promise<void>;

/** One bit, whatever the file's mode and with the times that it had. */
const flipBit: Damage = async (path) => {
  const { atime, mtime } = await stat(path);
  const bytes = await readFile(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  await writeFile(path, bytes);
  await utimes(path, atime, mtime);
};
const cutShort: Damage = async (path) => truncate(path, (await stat(path)).size - 1);
const empty: Damage = (path) => truncate(path, 0);
const remove: Damage = (path) => rm(path, { recursive: true });

describe.skipIf(reason !== undefined)('a damaged store', () => {
  let work: string;
  let registry: DockerRegistry;
  let layout: TinyLayout;
  let reference: string;
  let pristine: string;
  let root: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-damage-'));
    registry = await startDockerRegistry();
    layout = await makeTinyLayout(join(work, 'layout'), { platforms: ['linux/amd64', 'linux/arm64'] });
    reference = `${registry.address}/harbour/app:1`;
    await peerOutput('skopeo', [
      'copy',
      '-q',
      '--all',
      '--dest-tls-verify=false',
      `oci:${layout.dir}:${layout.tag}`,
      `docker://${reference}`,
    ]);
    pristine = join(work, 'pristine');
    await landfallJson(['--root', pristine, 'pull', reference, '--platform', 'linux/amd64']);
  });
  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(async () => {
    root = join(await mkdtemp(join(work, 'root-')), 'store');
    await peerOutput('cp', ['-a', pristine, root]);
  });

  const amd64 = (): TinyLayout['manifests'][0] => layout.manifests[0];
  const layerOf = (index: number): Digest => {
    const layer = amd64().layers[index];
    if (layer === undefined) throw new Error(`the image has no layer ${index}`);
    return layer.digest;
  };
  const blob = (digest: Digest): string => join(root, 'blobs', digest.replace(':', '/'));

  /** The directory of the snapshot of a layer, by its index. */
  const snapshot = async (layer: number): Promise<string> => {
    const chainId = chainIds(amd64().diffIds)[layer];
    for (const number of await readdir(join(root, 'snapshots'))) {
      const directory = join(root, 'snapshots', number);
      const file = JSON.parse(await readFile(join(directory, 'snapshot.json'), 'utf8')) as object;
      if ('chainId' in file && file.chainId === chainId) return directory;
    }
    throw new Error(`there is no snapshot of layer ${layer}`);
  };

  const fsck = async (...flags: string[]): Promise<{ code: number | undefined; report: FsckReport }> => {
    const { code, stdout, stderr } = await landfall(['--root', root, 'fsck', ...flags, '--output', 'json']);
    if (stdout === '') throw new Error(stderr);
    return { code, report: JSON.parse(stdout) as FsckReport };
  };
  const pull = (): Promise<unknown> =>
    landfallJson(['--root', root, 'pull', reference, '--platform', 'linux/amd64']);
  const kinds = ({ problems }: FsckReport): string[] => problems.map(({ kind }) => kind).sort();
  const states = ({ problems }: FsckReport): string[] => [...new Set(problems.map(({ state }) => state))];

  /** All that a check can find in it is what it was before the damage. */
  const expectWhole = async (): Promise<void> => {
    const { code, report } = await fsck();
    expect(report.problems).toEqual([]);
    expect(report.steps.flatMap(({ remarks }) => remarks)).toEqual([]);
    expect(report.sound).toBe(true);
    expect(code).toBe(0);
  };

  it('is not damaged to begin with, and each step says what it looked at', async () => {
    for (const flags of [[], ['--quick'], ['--repair']]) {
      const { code, report } = await fsck(...flags);
      expect(code).toBe(0);
      expect(report).toMatchObject({ root, sound: true, problems: [] });
      expect(report.steps.map(({ name, checked }) => `${name} ${checked}`)).toEqual([
        'layout 5',
        // Index, manifest, config and two layers; two snapshots.
        'database 7',
        'blobs 5',
        'manifests 3',
        'snapshots 2',
        'orphans 0',
        'partials 0',
        'index 1',
      ]);
    }
  });

  describe.each([
    ['index', () => layout.target.digest],
    ['manifest', () => amd64().manifest.digest],
    ['config', () => amd64().config.digest],
    ['layer', () => layerOf(0)],
  ])('by its %s', (what, digest) => {
    it.each([
      ['a flipped bit', flipBit, 'blob-digest'],
      ['a byte less', cutShort, 'blob-size'],
      ['nothing in it', empty, 'blob-size'],
      ['no file', remove, 'blob-missing'],
    ] as const)('with %s is found, repaired, and pulled anew', async (_, damage, kind) => {
      await damage(blob(digest()));
      const { code, report } = await fsck();
      expect(code).toBe(6);
      expect(report.sound).toBe(false);
      expect(kinds(report)).toEqual([kind]);
      expect(report.problems[0]).toMatchObject({ subject: digest(), images: [reference], state: 'found' });

      // Another one damaged alike, for the pull, which does not read layers that it does not unpack.
      const damaged = `${root}-damaged`;
      await peerOutput('cp', ['-a', root, damaged]);
      const repaired = await fsck('--repair');
      expect(kinds(repaired.report)).toEqual([kind]);
      expect(states(repaired.report)).toEqual(['repaired']);
      expect(repaired.code).toBe(0);
      await expectWhole();
      expect(await readFile(blob(digest()))).toEqual(layout.blobs.get(digest()));
      expect(await readdir(join(root, 'quarantine')).catch(() => [])).toEqual([]);

      if (what === 'layer' && damage === flipBit) return;
      root = damaged;
      await pull();
      await expectWhole();
    });
  });

  it('by a missing blob and its row is found by the document that lists it', async () => {
    await remove(blob(layerOf(1)));
    await sql(`DELETE FROM blobs WHERE digest = '${layerOf(1)}'`);
    expect(kinds((await fsck('--quick')).report)).toEqual(['blob-missing']);
    expect(states((await fsck('--repair')).report)).toEqual(['repaired']);
    await expectWhole();
  });

  it('of an older program, which recorded no documents, is checked as any other', async () => {
    for (const table of ['documents', 'links', 'chain_links']) await sql(`DELETE FROM ${table}`);
    const { code, report } = await fsck();
    expect(report.problems).toEqual([]);
    expect(code).toBe(0);
    await remove(blob(layerOf(0)));
    expect((await fsck()).report.problems).toMatchObject([{ kind: 'blob-missing', images: [reference] }]);
    for (const table of ['documents', 'links', 'chain_links']) await sql(`DELETE FROM ${table}`);
    await flipBit(blob(layout.target.digest));
    expect(states((await fsck('--repair')).report)).toEqual(['repaired']);
    await expectWhole();
  });

  it('that never was is made, and is sound', async () => {
    root = join(await mkdtemp(join(work, 'root-')), 'new');
    await expectWhole();
  });

  it('by a lost manifest still knows what the manifest listed', async () => {
    const { manifest } = amd64();
    for (const digest of [manifest.digest, layerOf(0)]) {
      await remove(blob(digest));
      await sql(`DELETE FROM blobs WHERE digest = '${digest}'`);
    }
    const { report } = await fsck();
    expect(report.problems.map(({ subject }) => subject)).toEqual([manifest.digest, layerOf(0)]);
    expect(states((await fsck('--repair')).report)).toEqual(['repaired']);
    await expectWhole();
  });

  const sql = async (statement: string): Promise<void> => {
    const { MetadataDatabase } = await import('../../src/metadata/index.js');
    await using database = await MetadataDatabase.open(join(root, 'metadata.db'), { create: false });
    await database.run(statement);
  };

  it.each([
    ['a flipped bit', 'etc/harbour', flipBit, '/etc/harbour has other content'],
    ['a file that is cut', 'etc/harbour', cutShort, '/etc/harbour has time'],
    ['no file', 'bin/hail', remove, '/bin/hail is missing'],
    [
      'a mode',
      'bin/hail',
      (path: string) => chmod(path, 0o700),
      '/bin/hail has mode 0700, and should have 0755',
    ],
    ['a time', 'bin/hail', (path: string) => utimes(path, 7, 7), '/bin/hail has time 7.000000000'],
    ["a directory's mode", 'bin', (path: string) => chmod(path, 0o777), '/bin has mode 0777'],
    [
      'a link to elsewhere',
      'etc/port',
      async (path: string): Promise<void> => {
        const { atime, mtime } = await stat(dirname(path));
        await unlink(path);
        await symlink('/etc/passwd', path);
        await lutimes(path, new Date('2001-02-03T04:05:06Z'), new Date('2001-02-03T04:05:06Z'));
        await utimes(dirname(path), atime, mtime);
      },
      '/etc/port points to /etc/passwd, and should to harbour',
    ],
    [
      'a file too many',
      'etc/shoal',
      (path: string) => writeFile(path, 'sand'),
      '/etc/shoal should not be there',
    ],
  ] as const)('by %s in a snapshot is found by reading the layer, and unpacked anew', async (...row) => {
    const [, name, damage, detail] = row;
    const directory = await snapshot(0);
    await damage(join(directory, 'fs', name));
    expect((await fsck('--quick')).code).toBe(0);
    const { code, report } = await fsck();
    expect(code).toBe(6);
    expect(kinds(report)).toEqual(['snapshot-differs']);
    expect(report.problems[0]).toMatchObject({ path: directory, images: [reference] });
    expect(report.problems[0]?.detail).toContain(detail);

    const repaired = await fsck('--repair');
    expect(states(repaired.report)).toEqual(['repaired']);
    expect(repaired.code).toBe(0);
    expect(repaired.report.problems[0]?.path).toMatch(/\/quarantine\/snapshot-\d+\.\d+$/);
    expect(await snapshot(0)).toBe(directory);
    await expectWhole();
    expect(await readdir(join(root, 'quarantine'))).toHaveLength(1);
  });

  it.each([
    ['the lowest', [0]],
    ['the topmost', [1]],
    ['every', [0, 1]],
  ])('by the directory of %s snapshot is found, repaired, and pulled anew', async (_, layers) => {
    const directories = [];
    for (const layer of layers) directories.push(await snapshot(layer));
    for (const directory of directories) await remove(directory);
    for (const flags of [['--quick'], []]) {
      const { code, report } = await fsck(...flags);
      expect(code).toBe(6);
      expect(kinds(report)).toEqual(layers.map(() => 'snapshot-missing'));
    }
    const damaged = `${root}-damaged`;
    await peerOutput('cp', ['-a', root, damaged]);
    const repaired = await fsck('--quick', '--repair');
    expect(states(repaired.report)).toEqual(['repaired']);
    expect(repaired.code).toBe(0);
    await expectWhole();

    root = damaged;
    await pull();
    await expectWhole();
  });

  it('by a snapshot and its layer at once is repaired from the blob that was fetched again', async () => {
    await remove(await snapshot(1));
    await flipBit(blob(layerOf(1)));
    const { code, report } = await fsck('--repair');
    expect(kinds(report)).toEqual(['blob-digest', 'snapshot-missing']);
    expect(states(report)).toEqual(['repaired']);
    expect(code).toBe(0);
    await expectWhole();
  });

  it('by a layer that is to be unpacked anew is noticed by the pull that unpacks it', async () => {
    await remove(await snapshot(1));
    await flipBit(blob(layerOf(1)));
    await pull();
    await expectWhole();
  });

  it('that is mounted is repaired when it is not any more', async () => {
    const directory = await snapshot(0);
    await chmod(join(directory, 'fs/etc'), 0o700);
    const command = [process.execPath, LANDFALL, '--root', root];
    const mountpoint = await mkdtemp(join(work, 'mount-'));
    const script = `${[...command, 'mount', reference, mountpoint].join(' ')} && ${[...command, 'fsck', '--repair'].join(' ')}`;
    const { code, stdout } = await runCommand('unshare', ['-m', 'sh', '-c', script], {});
    expect(stdout).toContain(`a snapshot is mounted at ${mountpoint}. Unmount ${mountpoint} first.`);
    expect(code).toBe(6);
    expect(states((await fsck('--repair')).report)).toEqual(['repaired']);
    await expectWhole();
  });

  it('without the layers that were discarded is not damaged, and fetches one to repair its snapshot', async () => {
    root = join(await mkdtemp(join(work, 'root-')), 'lean');
    const args = ['--root', root, 'pull', reference, '--platform', 'linux/amd64'];
    await landfallJson([...args, '--discard-layers']);
    const lean = await fsck();
    expect(lean.report.problems).toEqual([]);
    expect(lean.code).toBe(0);
    const unchecked = { kind: 'unchecked', reason: 'its layer is not here, or damaged' };
    expect(lean.report.steps.find(({ name }) => name === 'snapshots')?.remarks).toMatchObject([
      unchecked,
      unchecked,
    ]);
    await remove(await snapshot(0));
    expect(kinds((await fsck()).report)).toEqual(['snapshot-missing']);
    expect(states((await fsck('--repair')).report)).toEqual(['repaired']);
    expect((await fsck()).report.problems).toEqual([]);
    expect(await readFile(join(await snapshot(0), 'fs/etc/harbour'), 'utf8')).toBe('calm\n');
  });

  it('says how to repair it where its damage is in the way', async () => {
    await flipBit(blob(layout.target.digest));
    const { code, stderr } = await landfall(['--root', root, 'inspect', reference]);
    expect(code).toBe(6);
    expect(stderr).toContain('landfall fsck --repair');
  });

  it.each([
    ['missing', remove],
    ['empty', empty],
    ['of another', (path: string) => writeFile(path, '{"name":"other","parent":null}')],
  ])('by a snapshot.json that is %s is found, and written anew', async (_, damage) => {
    const directory = await snapshot(1);
    const before = await readFile(join(directory, 'snapshot.json'), 'utf8');
    await damage(join(directory, 'snapshot.json'));
    expect(kinds((await fsck('--quick')).report)).toEqual(['snapshot-incomplete']);
    expect(states((await fsck('--repair')).report)).toEqual(['repaired']);
    expect(await readFile(join(directory, 'snapshot.json'), 'utf8')).toBe(before);
    await expectWhole();
  });

  it('by its index.json is found and repaired', async () => {
    const path = join(root, 'index.json');
    const before = await readFile(path, 'utf8');
    for (const damage of [flipBit, cutShort, (): Promise<void> => writeFile(path, '{"manifests":[]}')]) {
      await damage(path);
      const { code, report } = await fsck();
      expect(code).toBe(6);
      expect(kinds(report)).toEqual(['index-differs']);
      expect(states((await fsck('--repair')).report)).toEqual(['repaired']);
      expect(await readFile(path, 'utf8')).toBe(before);
    }
    // Whoever opens the store makes what is missing, and fsck says so.
    for (const [damage, detail] of [[remove, 'it is missing'] as const, [empty, 'it is empty'] as const]) {
      await damage(path);
      const { code, report } = await fsck();
      expect(code).toBe(0);
      expect(report.problems).toMatchObject([
        { kind: 'layout-file', subject: 'index.json', detail, state: 'repaired' },
      ]);
      expect(await readFile(path, 'utf8')).toBe(before);
    }
    await expectWhole();
  });

  it('by its layout file or its modes is found and repaired', async () => {
    await writeFile(join(root, 'oci-layout'), '{"imageLayoutVer');
    await chmod(join(root, 'snapshots'), 0o755);
    await remove(join(root, 'ingest'));
    const { code, report } = await fsck('--quick');
    expect(code).toBe(6);
    expect(kinds(report)).toEqual(['layout-directory', 'layout-file', 'layout-mode']);
    expect(states((await fsck('--quick', '--repair')).report)).toEqual(['repaired']);
    expect((await stat(join(root, 'snapshots'))).mode & 0o777).toBe(0o700);
    await expectWhole();
  });

  it.each([
    ['missing', remove],
    ['empty', empty],
    ['overwritten', (path: string) => writeFile(path, Buffer.alloc(8192, 'x'))],
  ])('by a database that is %s is found, and made anew', async (_, damage) => {
    for (const suffix of ['-wal', '-shm']) await rm(join(root, `metadata.db${suffix}`), { force: true });
    await damage(join(root, 'metadata.db'));
    const { code, stderr } = await landfall(['--root', root, 'fsck']);
    expect(code).toBe(6);
    expect(stderr).toContain('landfall fsck --rebuild');
    const rebuilt = await landfall(['--root', root, 'fsck', '--rebuild']);
    expect(rebuilt.stderr).toBe('');
    expect(rebuilt.code).toBe(0);
    await expectWhole();
    await pull();
    await expectWhole();
  });

  it('by a page of its database is found', async () => {
    const path = join(root, 'metadata.db');
    const bytes = await readFile(path);
    const pageSize = bytes.readUInt16BE(16);
    // The tables' own pages stand behind the schema's; the last one belongs to one of them.
    bytes.fill(0xff, bytes.length - pageSize, bytes.length - pageSize + 64);
    await writeFile(path, bytes);
    const { code, stdout, stderr } = await landfall(['--root', root, 'fsck', '--output', 'json']);
    expect(code).toBe(6);
    expect(stdout + stderr).toMatch(/database-damaged|STORE_CORRUPT/);
  });

  describe('whose registry has lost the image', () => {
    let lost: string;

    beforeEach(async () => {
      await using other = await startDockerRegistry();
      const name = `${other.address}/harbour/app:1`;
      await peerOutput('skopeo', [
        'copy',
        '-q',
        '--dest-tls-verify=false',
        `oci:${join(work, 'single')}:latest`,
        `docker://${name}`,
      ]);
      root = join(await mkdtemp(join(work, 'root-')), 'store');
      await landfallJson(['--root', root, 'pull', name]);
      lost = name;
    });
    beforeAll(async () => {
      layout = await makeTinyLayout(join(work, 'single'), {});
      return async () => {
        layout = await makeTinyLayout(join(work, 'layout'), { platforms: ['linux/amd64', 'linux/arm64'] });
      };
    });

    it('puts a damaged blob in quarantine, keeps the snapshot, and stays damaged', async () => {
      const layer = layerOf(0);
      await flipBit(blob(layer));
      const { code, report } = await fsck('--repair');
      expect(code).toBe(6);
      expect(report.problems).toMatchObject([
        { kind: 'blob-digest', subject: layer, images: [lost], state: 'quarantined' },
      ]);
      expect(report.problems[0]?.reason).toContain('cannot be fetched again');
      expect(await readdir(join(root, 'quarantine'))).toHaveLength(1);
      await expect(stat(blob(layer))).rejects.toMatchObject({ code: 'ENOENT' });
      const again = await fsck();
      expect(again.code).toBe(6);
      expect(kinds(again.report)).toEqual(['blob-missing']);
      expect(again.report.steps.find(({ name }) => name === 'snapshots')?.remarks).toMatchObject([
        { kind: 'unchecked', reason: 'its layer is not here, or damaged' },
      ]);
      const { stdout } = await landfall(['--root', root, 'fsck', '--repair']);
      expect(stdout).toContain('could not be repaired: it cannot be fetched again');
      expect(stdout).toContain('Pull the images again, or remove them');
    });

    it('leaves a damaged blob that nothing needs to a collection', async () => {
      const layer = layerOf(0);
      await flipBit(blob(layer));
      await sql('DELETE FROM images');
      // As `rmi` does with index.json; here nobody told it.
      expect(kinds((await fsck('--quick', '--repair')).report)).toEqual(['index-differs']);
      const full = await fsck('--repair');
      expect(full.code).toBe(6);
      expect(full.report.problems[0]?.reason).toContain('nothing is known to need it');
      await landfallJson(['--root', root, 'gc']);
      expect((await fsck()).report.problems).toEqual([]);
    });

    it('says of a lost snapshot that its layer is missing too, and of what stands on it', async () => {
      await remove(blob(layerOf(0)));
      await remove(await snapshot(0));
      const { code, report } = await fsck('--repair');
      expect(code).toBe(6);
      expect(kinds(report)).toEqual(['blob-missing', 'snapshot-missing']);
      expect(states(report)).toEqual(['unrepaired']);
      expect(report.steps.find(({ name }) => name === 'snapshots')?.remarks).toMatchObject([
        { kind: 'unchecked', reason: 'its parent is damaged' },
      ]);
    });
  });

  it('tells what no row names, and does not call it damage', async () => {
    const digest = 'a'.repeat(64);
    await writeFile(join(root, 'blobs/sha256', digest), 'flotsam');
    await rename(await snapshot(1), join(root, 'snapshots/99'));
    await pull();
    const { code, report } = await fsck();
    expect(code).toBe(0);
    expect(report.problems).toEqual([]);
    expect(report.steps.find(({ name }) => name === 'orphans')?.remarks).toEqual([
      { kind: 'orphan-blob', subject: `sha256:${digest}`, bytes: 7 },
      { kind: 'orphan-snapshot', subject: 'snapshots/99' },
    ]);
    const { stdout } = await landfall(['--root', root, 'fsck', '--quick']);
    expect(stdout).toContain('1 blob (7 B) for gc to remove; 1 snapshot for gc to remove');
    expect(stdout).toContain('the store is sound');
  });
});
