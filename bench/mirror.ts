/*
 * Mirroring: a set of 60 images for two platforms in 12 repositories, with shared layers, cosign signatures and SBOMs that are signed in
 * turn. From registry to registry by `landfall sync` beside `skopeo sync --all`, which leaves the referrers behind; and into an archive by
 * `landfall sync` beside one `skopeo copy --all` for each image, into an archive of its own. Method: every destination is new, the two take
 * turns, five rounds after one to warm up; printed are median, minimum and maximum of the wall time, processor time and peak memory, and the
 * ratio of the medians with its spread by round.
 *
 * Then a sync of 500 tags that are there already: how many requests the source sees.
 *
 * Usage: npm run bench:mirror [-- --rounds 5]
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { publishSignedSet, type SignedSet } from '../fixtures/signed-set.js';
import { renderTable } from '../src/cli/format/text.js';
import { RegistryClient } from '../src/registry/index.js';
import type { Sample } from './contract.js';
import { describeMachine, thisMachine } from './machine.js';
import { measureCommand } from './measure.js';
import { LANDFALL_COMMAND } from './peers/landfall.js';
import { ProgramsOnPath } from './programs.js';
import { startRegistry, type StartedRegistry } from './registry.js';
import { ratioOf, summarize } from './statistics.js';
import { inWorkspace, type Workspace } from './workspace.js';
import { formatSize } from '../src/spec/index.js';

const MIB = 1 << 20;
const SET = { repositories: 12, tags: 5, baseBytes: 4 * MIB, repositoryBytes: MIB, tagBytes: MIB / 8 };
/** Of the peer's time. */
const AT_MOST = 0.5;
const MANY_TAGS = 500;

const say = (text: string): void => console.error(text);

interface Bench {
  readonly work: string;
  readonly registry: StartedRegistry;
  readonly set: SignedSet;
}

/** What is measured in turn, each into a directory of its own that is new. */
type Contest = readonly (readonly [
  name: string,
  run: (bench: Bench, directory: string) => Promise<Sample>,
])[];

const BETWEEN_REGISTRIES: Contest = [
  ['landfall sync', landfallToRegistry],
  ['skopeo sync --all', skopeoToRegistry],
];
const INTO_ARCHIVES: Contest = [
  ['landfall sync to an archive', landfallToArchive],
  ['skopeo copy --all of each image', skopeoToArchives],
];

async function measure({ work }: Workspace): Promise<number> {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });
  console.log(describeMachine(thisMachine()));
  await using registry = await startRegistry(join(work, 'registry'));
  await using client = new RegistryClient();
  const set = await publishSignedSet(client, registry.address, SET);
  const bytes = [...set.blobs.values()].reduce((sum, size) => sum + size, 0);
  console.log(`${set.images.size} images, ${set.blobs.size} distinct blobs, ${formatSize(bytes)}\n`);
  const bench = { work, registry, set };
  const rounds = Number(values.rounds);
  let missed = 0;
  for (const contest of [BETWEEN_REGISTRIES, INTO_ARCHIVES]) missed += await compete(contest, bench, rounds);
  missed += await countRequests(bench, client);
  return missed;
}

async function compete(contest: Contest, bench: Bench, rounds: number): Promise<number> {
  const samples = new Map<string, Sample[]>(contest.map(([name]) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, run] of contest) {
      const directory = join(bench.work, `round-${round}`);
      await mkdir(directory);
      const sample = await run(bench, directory);
      await rm(directory, { recursive: true });
      say(`${round === 0 ? 'warming up' : `round ${round}`}  ${name}: ${sample.wallSeconds.toFixed(2)} s`);
      if (round > 0) samples.get(name)?.push(sample);
    }
  }
  return report(samples);
}

function report(samples: ReadonlyMap<string, readonly Sample[]>): number {
  const [ours = [], theirs = []] = [...samples.values()].map((all) => all.map((one) => one.wallSeconds));
  const { ofMedians, byRound } = ratioOf(ours, theirs);
  const met = ofMedians <= AT_MOST;
  console.log(
    renderTable(
      ['WHAT', 'MEDIAN', 'MIN', 'MAX', 'CPU', 'PEAK'].map((title) => ({ title })),
      [...samples].map(([name, all]) => {
        const wall = summarize(all.map(({ wallSeconds }) => wallSeconds));
        const cpu = summarize(all.map(({ cpuSeconds }) => cpuSeconds));
        const peak = summarize(all.map(({ peakBytes }) => peakBytes));
        const seconds = (value: number): string => `${value.toFixed(2)} s`;
        return [
          name,
          ...[wall.median, wall.minimum, wall.maximum, cpu.median].map(seconds),
          formatSize(peak.maximum),
        ];
      }),
    ),
  );
  const spread = `${byRound.minimum.toFixed(3)} to ${byRound.maximum.toFixed(3)} by round`;
  console.log(`${ofMedians.toFixed(3)} × (${spread}), at most ${AT_MOST}: ${met ? 'met' : 'MISSED'}\n`);
  return met ? 0 : 1;
}

async function landfallToRegistry(bench: Bench, directory: string): Promise<Sample> {
  await using destination = await startRegistry(join(directory, 'destination'));
  return await sync(bench, directory, `docker://${destination.address}`);
}

async function landfallToArchive(bench: Bench, directory: string): Promise<Sample> {
  return await sync(bench, directory, `oci-archive:${join(directory, 'images.tar')}`);
}

async function sync({ registry }: Bench, directory: string, to: string): Promise<Sample> {
  const file = join(directory, 'mirror.yaml');
  const source = { registry: registry.address, repositories: ['set/*'], referrers: true };
  await writeFile(file, JSON.stringify({ sources: [source] }));
  const root = join(directory, 'root');
  return await measureCommand(process.execPath, [
    ...[
      LANDFALL_COMMAND,
      'sync',
      '-f',
      file,
      '--to',
      to,
      '--root',
      root,
      '--progress',
      'none',
      '--output',
      'json',
    ],
  ]);
}

async function skopeoToRegistry({ registry, set }: Bench, directory: string): Promise<Sample> {
  await using destination = await startRegistry(join(directory, 'destination'));
  const file = join(directory, 'skopeo.yaml');
  const images = Object.fromEntries(set.repositories.map((name) => [withoutHost(name), []]));
  await writeFile(file, JSON.stringify({ [registry.address]: { 'tls-verify': false, images } }));
  return await measureCommand('skopeo', [
    ...['sync', '--all', '--src', 'yaml', '--dest', 'docker', '--dest-tls-verify=false'],
    ...[file, `${destination.address}/set`],
  ]);
}

async function skopeoToArchives({ set }: Bench, directory: string): Promise<Sample> {
  const copies = [...set.images.keys()].map(
    (name, at) =>
      `skopeo copy --quiet --all --src-tls-verify=false docker://${name} oci-archive:${directory}/${at}.tar`,
  );
  return await measureCommand('bash', ['-e', '-c', copies.join('\n')]);
}

/** What the source is asked by a sync of what is there. */
async function countRequests({ work }: Bench, client: RegistryClient): Promise<number> {
  await using source = await startRegistry(join(work, 'many'));
  await using destination = await startRegistry(join(work, 'many-mirrored'));
  await publishSignedSet(client, source.address, { repositories: 1, tags: MANY_TAGS, prefix: 'many' });
  const file = join(work, 'many.yaml');
  const tags = { include: '1\\..*' };
  await writeFile(
    file,
    JSON.stringify({ sources: [{ registry: source.address, repositories: ['many/app-00'], tags }] }),
  );
  const args = [
    LANDFALL_COMMAND,
    'sync',
    '-f',
    file,
    '--to',
    `docker://${destination.address}`,
    '--progress',
    'none',
  ];
  const root = ['--root', join(work, 'many-root')];
  await measureCommand(process.execPath, [...args, ...root]);
  await Promise.all([source, destination].map((registry) => registry.takeRequests()));
  const { wallSeconds } = await measureCommand(process.execPath, [...args, ...root]);
  const asked = (await source.takeRequests()).length;
  const looked = (await destination.takeRequests()).length;
  const most = MANY_TAGS + 1;
  const met = asked <= most;
  console.log(
    `a sync of ${MANY_TAGS} tags that are there: ${asked} requests at the source, at most ${most}: ${met ? 'met' : 'MISSED'}; ${looked} at the destination; ${wallSeconds.toFixed(2)} s`,
  );
  return met ? 0 : 1;
}

function withoutHost(name: string): string {
  return name.slice(name.indexOf('/') + 1);
}

if (!new ProgramsOnPath(say).have('docker-registry', 'skopeo', 'bash')) process.exitCode = 1;
else process.exitCode = await inWorkspace(tmpdir(), measure, say);
