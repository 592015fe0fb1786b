import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ExpectedImage } from '../support/expected-image.js';
import { landfall, peerOutput } from '../support/landfall-command.js';
import { HERE } from '../support/mount-namespace.js';
import { needsPeer } from '../support/peers.js';
import { isLong } from '../support/rounds.js';
import { filesIn, type ServedImages, serveImages } from '../support/served-images.js';
import { storeFaults } from '../support/store-faults.js';
import { listTree } from '../support/tree-listing.js';

const reason = needsPeer('skopeo', 'umoci');
/** How often other tools read the image while the store is being changed. */
const READS = isLong ? 100 : 5;
/** How often each change is made, at the least, while they do. */
const CHANGES = isLong ? 20 : 2;

describe.skipIf(reason !== undefined)('a store that is being changed', () => {
  let work: string;
  let root: string;
  let served: ServedImages;
  let image: ExpectedImage;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-in-use-'));
    root = join(work, 'root');
    served = await serveImages({ count: 3, shared: [filesIn('usr', 5, 3000), filesIn('lib', 5, 30_000)] });
    image = served.images[0];
    await succeed('pull', image.name);
  });

  afterAll(async () => {
    await served[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it(`is read by skopeo and umoci as an OCI layout, ${READS} times each`, { timeout: 600_000 }, async () => {
    const [, second = image, third = image] = served.images;
    let reading = true;
    const times: number[] = [];
    const meanwhile = async (act: () => Promise<unknown>): Promise<void> => {
      const which = times.push(0) - 1;
      for (let time = 1; reading; time++) {
        await act();
        times[which] = time;
      }
    };
    // However slow the machine is: the readers go on until there were changes enough beside them.
    const read = async (act: (n: number) => Promise<void>): Promise<void> => {
      for (let n = 0; n < READS || Math.min(...times) < CHANGES; n++) await act(n);
    };
    const changes = [
      meanwhile(async () => {
        await succeed('pull', second.name);
        await succeed('rmi', second.name);
      }),
      meanwhile(async () => {
        await succeed('pull', third.name);
        await succeed('tag', image.name, third.name);
        await succeed('gc');
        await succeed('rmi', third.name);
      }),
      meanwhile(readIndex),
    ];
    // A change that fails is told at the end; the readers go on until then.
    const changed = Promise.all(changes);
    changed.catch(() => undefined);
    try {
      await Promise.race([Promise.all([read(copy), read(inspect), read(unpack)]), changed]);
    } finally {
      reading = false;
    }
    await changed;
    expect(await storeFaults(HERE, root, served.images)).toEqual([]);
  });

  async function copy(n: number): Promise<void> {
    const directory = join(work, `copy-${n}`);
    await peerOutput('skopeo', ['copy', '-q', `oci:${root}:${image.name}`, `dir:${directory}`]);
    const manifest = image.layout.blobs.get(image.layout.target.digest);
    expect(await readFile(join(directory, 'manifest.json'))).toEqual(manifest);
    await rm(directory, { recursive: true });
  }

  async function inspect(): Promise<void> {
    const raw = await peerOutput('skopeo', ['inspect', '--raw', `oci:${root}:${image.name}`]);
    expect(raw).toBe(image.layout.blobs.get(image.layout.target.digest)?.toString());
  }

  async function unpack(n: number): Promise<void> {
    expect((await peerOutput('umoci', ['ls', '--layout', root])).split('\n')).toContain(image.name);
    const bundle = join(work, `bundle-${n}`);
    await peerOutput('umoci', ['unpack', '--image', `${root}:${image.name}`, bundle]);
    const listing = (await listTree(join(bundle, 'rootfs'))).filter((line) => line.startsWith('content'));
    expect(listing).toEqual(image.tree.filter((line) => line.startsWith('content')));
    await rm(bundle, { recursive: true });
  }

  async function readIndex(): Promise<void> {
    const index = JSON.parse(await readFile(join(root, 'index.json'), 'utf8')) as { manifests: object[] };
    expect(JSON.stringify(index.manifests)).toContain(`"${image.name}"`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }

  async function succeed(...args: string[]): Promise<void> {
    const { code, stderr } = await landfall(['--root', root, '--progress', 'none', ...args]);
    if (code !== 0) throw new Error(`landfall ${args.join(' ')} exits with ${code}: ${stderr}`);
  }
});
