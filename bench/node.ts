/*
 * What a kubelet waits for: PullImage of an image that is here, ImageStatus, and ListImages of 500 images, of `landfall daemon` beside
 * containerd's CRI plugin, in one run through one client with upstream's own stubs. Each has pulled the same 500 images before. Method:
 * one call of each engine in turn, 200 times after 20 to warm up; printed are median, minimum and maximum of the time that the client sees, and
 * the ratio of the medians.
 *
 * Then the memory of the daemon (VmRSS, VmHWM of its process): before its first pull, and at most while ten different images of three
 * layers of 16 MB are pulled at once into an empty store.
 *
 * Usage: npm run bench:node [-- --images 500]
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pLimit from 'p-limit';
import { renderTable } from '../src/cli/format/text.js';
import type { ImageRecipe } from './contract.js';
import { type CriMethod, whyNoCriClient } from './cri/cri-client.js';
import { startContainerd, startLandfall } from './cri/engines.js';
import { ImageCache } from './images/image-cache.js';
import { publish } from './images/publish.js';
import { describeMachine, thisMachine } from './machine.js';
import { ProgramsOnPath } from './programs.js';
import { startRegistry, type StartedRegistry } from './registry.js';
import { summarize } from './statistics.js';
import { inWorkspace, type Workspace } from './workspace.js';
import { formatSize } from '../src/spec/index.js';

const ROUNDS = 200;
const WARMUP = 20;
/** Images that are pulled at once to fill a store. */
const FILLING = 8;
const MIB = 1 << 20;
const CONCURRENT_PULLS = 10;

async function measure({ work }: Workspace): Promise<number> {
  const { values } = parseArgs({ options: { images: { type: 'string', default: '500' } } });
  console.log(describeMachine(thisMachine()));
  const cache = new ImageCache(join(work, 'images'), work, () => undefined);
  await using registry = await startRegistry(join(work, 'registry'));
  const names = await published(
    registry,
    cache,
    Array.from({ length: Number(values.images) }, (_, n) => tiny(n)),
  );
  await measureCalls(work, names);
  const large = Array.from({ length: CONCURRENT_PULLS }, (_, n) => layered(n));
  await measureMemory(work, await published(registry, cache, large));
  return 0;
}

async function published(
  registry: StartedRegistry,
  cache: ImageCache,
  recipes: readonly ImageRecipe[],
): Promise<readonly string[]> {
  const limit = pLimit(FILLING);
  return await Promise.all(
    recipes.map((recipe) => limit(async () => (await publish(recipe, cache, registry)).reference)),
  );
}

async function measureCalls(work: string, names: readonly string[]): Promise<void> {
  await using landfall = await startLandfall(join(work, 'landfall'));
  await using containerd = await startContainerd(join(work, 'containerd'));
  const engines = [landfall, containerd];
  for (const { client } of engines) {
    const limit = pLimit(FILLING);
    await Promise.all(names.map((name) => limit(() => client.pull(name))));
  }
  const image = { image: { image: names[0] ?? '' } };
  const calls: readonly [string, CriMethod, object, number][] = [
    ['PullImage of what is here', 'PullImage', image, 2],
    ['ImageStatus', 'ImageStatus', image, 3],
    [`ListImages of ${names.length}`, 'ListImages', {}, 3],
  ];
  const rows: string[][] = [];
  for (const [title, method, request, atMost] of calls) {
    const micros = new Map(engines.map(({ name }): [string, number[]] => [name, []]));
    for (let round = 0; round < WARMUP + ROUNDS; round += 1) {
      for (const { name, client } of engines) {
        const { error, micros: took } = await client.ask(method, request);
        if (error !== undefined) throw new Error(`${name}: ${method}: ${error.message}`);
        if (round >= WARMUP) micros.get(name)?.push(took);
      }
    }
    const [own, other] = engines.map(({ name }) => summarize(micros.get(name) ?? []));
    for (const [name, summary] of [[landfall.name, own] as const, [containerd.name, other] as const])
      if (summary !== undefined)
        rows.push([title, name, ms(summary.median), ms(summary.minimum), ms(summary.maximum), '']);
    const ratio = (own?.median ?? NaN) / (other?.median ?? NaN);
    rows.push([
      title,
      'ratio',
      `${ratio.toFixed(2)} ×`,
      '',
      '',
      `at most ${atMost} ×: ${ratio <= atMost ? 'met' : 'MISSED'}`,
    ]);
  }
  console.log(
    renderTable(
      ['CALL', 'ENGINE', 'MEDIAN', 'MIN', 'MAX', 'TARGET'].map((title) => ({ title })),
      rows,
    ),
  );
}

async function measureMemory(work: string, names: readonly string[]): Promise<void> {
  await using landfall = await startLandfall(join(work, 'memory'));
  await landfall.client.list();
  const { VmRSS: idle } = await memoryOf(landfall.pid);
  await Promise.all(names.map((name) => landfall.client.pull(name)));
  const { VmHWM: most } = await memoryOf(landfall.pid);
  const line = (what: string, bytes: number, atMost: number): string =>
    `${what}: ${formatSize(bytes)}, at most ${atMost} MB: ${bytes <= atMost * 1e6 ? 'met' : 'MISSED'}`;
  console.log(line('memory before the first pull', idle, 110));
  console.log(line(`memory of ${names.length} pulls at once`, most, 250));
}

const ms = (micros: number): string => `${(micros / 1000).toFixed(2)} ms`;

async function memoryOf(pid: number): Promise<{ VmRSS: number; VmHWM: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) * 1024;
  return { VmRSS: bytes('VmRSS'), VmHWM: bytes('VmHWM') };
}

function tiny(n: number): ImageRecipe {
  return {
    name: `tiny-${n}`,
    version: 1,
    async build(layout, scratch) {
      await mkdir(join(scratch, 'layer'));
      await writeFile(join(scratch, 'layer', 'file'), `the image number ${n}\n`);
      await layout.addTree(join(scratch, 'layer'), 'gzip');
    },
  };
}

function layered(n: number): ImageRecipe {
  return {
    name: `layered-${n}`,
    version: 1,
    async build(layout, scratch) {
      for (const layer of [0, 1, 2]) {
        const tree = join(scratch, `layer-${layer}`);
        await mkdir(tree);
        await writeFile(join(tree, `file-${layer}`), randomBytes(16 * MIB));
        await layout.addTree(tree, 'gzip');
      }
    },
  };
}

const say = (text: string): void => console.error(text);
const reason = await whyNoCriClient();
if (reason !== undefined) say(reason);
if (
  reason !== undefined ||
  !new ProgramsOnPath(say).have('docker-registry', 'containerd', 'ctr', 'tar', 'gzip')
)
  process.exitCode = 1;
else process.exitCode = await inWorkspace(tmpdir(), measure, say);
