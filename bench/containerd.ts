/*
 * What a pod waits for on a containerd node: CRI PullImage at a containerd whose snapshotter is `landfall daemon`, beside the same
 * containerd with overlayfs, of the image of case (a), cold and with what landfall has pulled before; and Snapshots.Prepare of a container's
 * own layer on that image. Method: stores are new for each pull, the two take turns, five rounds after one to warm up; Prepare is called
 * once of each in turn, 100 times after 100 to warm up. Printed are median, minimum and maximum, and what was promised.
 *
 * Usage: npm run bench:containerd [-- --rounds 5]
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { renderTable } from '../src/cli/format/text.js';
import { ContainerdConnection } from '../src/daemon/containerd/connection.js';
import { whyNoCriClient } from './cri/cri-client.js';
import { type Engine, startContainerd, startLandfall } from './cri/engines.js';
import { cacheDirectory, ImageCache } from './images/image-cache.js';
import { publish } from './images/publish.js';
import { SEVEN_LAYERS } from './images/seven-layers.js';
import { describeMachine, thisMachine } from './machine.js';
import { ProgramsOnPath } from './programs.js';
import { startRegistry } from './registry.js';
import { summarize } from './statistics.js';
import { inWorkspace, type Workspace } from './workspace.js';

const OVERLAYFS = 'containerd, overlayfs';
const LANDFALL = 'containerd, landfall';
const PRE_PULLED = 'containerd, landfall has it';
const PREPARES = 100;
/** A node's daemon is seldom a new one. */
const WARMUP = 100;

/**
 * How much faster a cold pull is to be, as a ratio; how long a warm one may take; what Prepare may cost more,
 * in milliseconds.
 */
const COLD_AT_MOST = 0.5;
const WARM_AT_MOST_MS = 50;
const PREPARE_AT_MOST_MS = 3;

/** So that containerd collects nothing meanwhile. */
const KEPT = { 'containerd.io/gc.root': new Date().toISOString() };

const say = (text: string): void => console.error(text);

async function measure({ work }: Workspace): Promise<number> {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });
  console.log(describeMachine(thisMachine()));
  const cache = new ImageCache(cacheDirectory(), join(work, 'scratch'), say);
  await using registry = await startRegistry(join(work, 'registry'));
  const { reference } = await publish(SEVEN_LAYERS, cache, registry);
  const times = new Map<string, number[]>([
    [OVERLAYFS, []],
    [LANDFALL, []],
    [PRE_PULLED, []],
  ]);
  for (let round = 0; round <= Number(values.rounds); round += 1) {
    for (const name of times.keys()) {
      const took = await pullOnce(name, join(work, `run-${round}`), reference);
      say(`${round === 0 ? 'warming up' : `round ${round}`}  ${name}: ${took.toFixed(0)} ms`);
      if (round > 0) times.get(name)?.push(took);
    }
  }
  for (const [name, prepares] of await measurePrepare(join(work, 'prepare'), reference))
    times.set(name, prepares);
  report(times);
  return 0;
}

async function pullOnce(name: string, directory: string, reference: string): Promise<number> {
  await using node = await startNode(name, directory);
  if (name === PRE_PULLED) await node.landfall?.client.pull(reference);
  return await timed(() => node.containerd.client.pull(reference));
}

interface Node extends AsyncDisposable {
  readonly containerd: Engine;
  readonly landfall: Engine | undefined;
}

async function startNode(name: string, directory: string): Promise<Node> {
  const own = join(directory, 'containerd');
  if (name === OVERLAYFS) {
    const containerd = await startContainerd(own, { name });
    return {
      containerd,
      landfall: undefined,
      [Symbol.asyncDispose]: () => containerd[Symbol.asyncDispose](),
    };
  }
  const proxy = join(directory, 'snapshotter.sock');
  const landfall = await startLandfall(join(directory, 'landfall'), ['--snapshotter', `unix://${proxy}`]);
  const containerd = await startContainerd(own, { name, snapshotter: 'landfall', proxy });
  return {
    containerd,
    landfall,
    [Symbol.asyncDispose]: async () => {
      await containerd[Symbol.asyncDispose]();
      await landfall[Symbol.asyncDispose]();
    },
  };
}

/** Of a container's layer on the image, in milliseconds, of each in turn. */
async function measurePrepare(directory: string, reference: string): Promise<Map<string, number[]>> {
  await using overlayfs = await startNode(OVERLAYFS, join(directory, 'overlayfs'));
  await using landfall = await startNode(LANDFALL, join(directory, 'landfall'));
  const nodes = [
    { name: 'Prepare, overlayfs', node: overlayfs, snapshotter: 'overlayfs' },
    { name: 'Prepare, landfall', node: landfall, snapshotter: 'landfall' },
  ];
  const times = new Map<string, number[]>(nodes.map(({ name }) => [name, []]));
  const parents = new Map<string, string>();
  for (const { name, node } of nodes) {
    const id = await node.containerd.client.pull(reference);
    parents.set(name, await chainOf(node.containerd, id));
  }
  for (let round = 0; round < WARMUP + PREPARES; round += 1) {
    for (const { name, node, snapshotter } of nodes) {
      using connection = new ContainerdConnection(node.containerd.socket, 'k8s.io');
      const key = `container-${round}`;
      const parent = parents.get(name) ?? '';
      // The connection is not what is measured.
      await connection.call('snapshots/Stat', { snapshotter, key: parent });
      const took = await timed(() =>
        connection.call('snapshots/Prepare', { snapshotter, key, parent, labels: KEPT }),
      );
      await connection.call('snapshots/Remove', { snapshotter, key });
      if (round >= WARMUP) times.get(name)?.push(took);
    }
  }
  return times;
}

/** The chain ID of an image's layers, of which containerd's CRI tells in its verbose status. */
async function chainOf({ client }: Engine, image: string): Promise<string> {
  const { info } = await client.call<{ info?: { info?: string } }>('ImageStatus', {
    image: { image },
    verbose: true,
  });
  return (JSON.parse(info?.info ?? '{}') as { chainID: string }).chainID;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

function report(times: ReadonlyMap<string, readonly number[]>): void {
  const medianOf = (name: string): number => summarize(times.get(name) ?? []).median;
  const cold = medianOf(LANDFALL) / medianOf(OVERLAYFS);
  const more = medianOf('Prepare, landfall') - medianOf('Prepare, overlayfs');
  const met = (is: boolean): string => (is ? 'met' : 'MISSED');
  const promises = new Map([
    [LANDFALL, `${cold.toFixed(3)} ×, at most ${COLD_AT_MOST}: ${met(cold <= COLD_AT_MOST)}`],
    [PRE_PULLED, `at most ${WARM_AT_MOST_MS} ms: ${met(medianOf(PRE_PULLED) <= WARM_AT_MOST_MS)}`],
    [
      'Prepare, landfall',
      `${more.toFixed(2)} ms more, at most ${PREPARE_AT_MOST_MS}: ${met(more <= PREPARE_AT_MOST_MS)}`,
    ],
  ]);
  console.log(
    renderTable(
      ['WHAT', 'MEDIAN', 'MIN', 'MAX', 'TARGET'].map((title) => ({ title })),
      [...times].map(([name, samples]) => {
        const ms = (value: number): string => `${value.toFixed(2)} ms`;
        const { median, minimum, maximum } = summarize(samples);
        return [name, ms(median), ms(minimum), ms(maximum), promises.get(name) ?? ''];
      }),
    ),
  );
}

const reason = await whyNoCriClient();
if (reason !== undefined) say(reason);
if (reason !== undefined || !new ProgramsOnPath(say).have('docker-registry', 'containerd', 'ctr'))
  process.exitCode = 1;
else process.exitCode = await inWorkspace(tmpdir(), measure, say);
