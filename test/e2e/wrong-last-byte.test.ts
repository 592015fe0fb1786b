import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FsckReport } from '../../src/engine/upkeep/fsck-run.js';
import { MetadataDatabase } from '../../src/metadata/index.js';
import type { Descriptor } from '../../src/spec/index.js';
import { imageSteps } from '../support/image-steps.js';
import { isLong } from '../support/rounds.js';
import { type Reply, ScriptedRegistry, type SeenRequest } from '../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const MEBIBYTE = 1024 * 1024;
const PLATFORM = ['--platform', 'linux/amd64'];
const VERIFIED_FIRST = [
  ['over one connection, verified first', false, true],
  ['over several connections, verified first', true, true],
] as const;

/**
 * Gzip ends with the length of what it holds, zstd in the midst of a block, and a tar in zeros that say
 * nothing.
 */
describe.each(['gzip', 'zstd', 'none'] as const)(
  'a layer that is wrong in its last byte (%s)',
  (compression) => {
    let work: string;
    let layout: TinyLayout;
    let content: Buffer;

    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), 'landfall-last-byte-'));
      content = randomBytes(24 * MEBIBYTE);
      layout = await makeTinyLayout(join(work, 'layout'), {
        layers: [
          [
            { path: 'first', content: 'calm\n' },
            { path: 'cargo', content },
          ],
        ],
        compression,
      });
    });
    afterAll(() => rm(work, { recursive: true, force: true }));

    const layer = (): Descriptor => {
      const [only] = layout.manifests[0].layers;
      if (only === undefined) throw new Error('the image has no layer');
      return only;
    };

    /**
     * A registry that sends the layer at this speed on each connection, and its last byte wrong while
     * `isLying`.
     */
    async function serve(
      bytesPerSecond: number | undefined,
      isLying: () => boolean,
    ): Promise<ScriptedRegistry> {
      const body = Buffer.from(layout.blobs.get(layer().digest) ?? '');
      const first = ({ line }: SeenRequest): Reply | undefined =>
        line.endsWith(layer().digest)
          ? {
              body,
              ranges: true,
              ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
              ...(isLying() ? { corrupt: body.length - 1 } : {}),
            }
          : undefined;
      return ScriptedRegistry.start(imageSteps(layout, { repository: 'harbour/app', tag: '1', first }));
    }

    it.each([
      ['over one connection', false, false],
      ['over several connections', true, false],
      // What verifies first reads no layer before, in whatever form it is.
      ...(compression === 'gzip' || isLong ? VERIFIED_FIRST : []),
    ] as const)('that comes %s fails with 6 and leaves nothing', async (_name, several, verifyFirst) => {
      const root = join(await mkdtemp(join(work, 'root-')), 'store');
      let lying = true;
      const { digest } = layer();
      await using registry = await serve(several ? 8 * MEBIBYTE : undefined, () => lying);
      const reference = `${registry.address}/harbour/app:1`;
      const flags = ['--concurrency', several ? '4' : '1', ...(verifyFirst ? ['--verify-first'] : [])];
      const pull = ['--root', root, ...flags.slice(0, 2), 'pull', reference, ...PLATFORM, ...flags.slice(2)];

      const { code, stderr } = await landfall([...pull, '--output', 'json']);
      expect(code, stderr).toBe(6);
      const wholes = (): number =>
        registry.sent.of(`/v2/harbour/app/blobs/${digest}`).filter(({ start }) => start === 0).length;
      // Asked for once more, since a byte may be wrong by a mishap on the way, and no more.
      expect(wholes()).toBe(2);
      const requests = registry.requests.filter(({ line }) => line.endsWith(digest));
      expect(requests.length > 2).toBe(several);

      for (const directory of ['blobs/sha256', 'ingest', 'snapshots', 'quarantine'])
        expect(await contents(join(root, directory), digest), directory).toEqual([]);
      await using database = await MetadataDatabase.open(join(root, 'metadata.db'), { create: false });
      expect(await database.all(`SELECT digest FROM blobs WHERE digest = '${digest}'`)).toEqual([]);
      expect(await database.all('SELECT * FROM snapshots')).toEqual([]);
      expect(await database.all('SELECT * FROM images')).toEqual([]);
      await database.close();

      lying = false;
      await landfallJson(pull);
      // All of it came anew: nothing of what came before was taken for good.
      expect(wholes()).toBe(3);
      const { sound } = await landfallJson<FsckReport>(['--root', root, 'fsck']);
      expect(sound).toBe(true);
      const [snapshot = ''] = await readdir(join(root, 'snapshots'));
      expect((await readFile(join(root, 'snapshots', snapshot, 'fs/cargo'))).equals(content)).toBe(true);
    });
  },
);

/** What is in a directory of a store; of blobs, only those with this digest. */
async function contents(directory: string, digest: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return directory.includes('blobs') ? names.filter((name) => digest.endsWith(name)) : names;
}
