/*
 * Draws docs/timeline.svg: the timeline of a real pull, of two images that have three of their four layers in common, from
 * docker-registry on loopback, over a network that is slowed down to 30 MB/s by `--limit-rate`. The images are those of the
 * benchmark; they are asked for by the name of a registry that does not exist, and found by a `hosts.toml`.
 *
 * Usage: npm run build && node dist/bench/timeline.js [FILE.svg]
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { endAll, output } from './bound-process.js';
import { cacheDirectory, ImageCache } from './images/image-cache.js';
import { publish } from './images/publish.js';
import { WITH_GO, WITH_RUST } from './images/shared-layers.js';
import { LANDFALL_COMMAND } from './peers/landfall.js';
import { startRegistry } from './registry.js';

const NAME = 'registry.example';
const RATE = '30M';

async function draw(work: string, picture: string): Promise<void> {
  const images = new ImageCache(cacheDirectory(), work, console.log);
  const place = join(work, 'registry');
  await mkdir(place);
  await using registry = await startRegistry(place);
  const published = [await publish(WITH_GO, images, registry), await publish(WITH_RUST, images, registry)];
  const hosts = join(work, 'hosts', NAME);
  await mkdir(hosts, { recursive: true });
  await writeFile(join(hosts, 'hosts.toml'), `server = "http://${registry.address}"\n`);
  const references = published.map(({ reference }) => reference.replace(registry.address, NAME));
  const where = ['--root', join(work, 'store'), '--hosts-dir', join(work, 'hosts'), '--limit-rate', RATE];
  console.log(
    await output(process.execPath, [
      LANDFALL_COMMAND,
      ...['pull', ...where, '--progress', 'none', '--timeline', picture],
      ...references,
    ]),
  );
}

const picture = resolve(process.argv[2] ?? join(import.meta.dirname, '../../docs/timeline.svg'));
const work = await mkdtemp(join(tmpdir(), 'landfall-timeline-'));
try {
  await draw(work, picture);
} finally {
  endAll();
  await rm(work, { recursive: true, force: true });
}
