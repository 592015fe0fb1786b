/*
 * How fast `landfall serve` gives out blobs beside docker-registry, and what memory that takes. Method: both hold the same blobs of
 * random bytes, pushed to each over the registry API and in the page cache by a first round that is not counted; one client, a
 * process of its own, keeps 500 connections busy with whole blobs for some seconds, one server after the other in each
 * round, the first one first in every other round. Printed are the median of the throughput, minimum and maximum, the ratio within a round,
 * and the resident memory: before the first round, after the second and after the last, and at most (VmHWM).
 *
 * Usage: npm run bench:serve [-- --rounds 5 --seconds 4 --connections 500]
 */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { renderTable } from '../src/cli/format/text.js';
import { bound, end, output } from './bound-process.js';
import { describeMachine, thisMachine } from './machine.js';
import { startRegistry } from './registry.js';
import { ratioOf, type Summary, summarize } from './statistics.js';
import { inWorkspace, type Workspace } from './workspace.js';
import { formatSize } from '../src/spec/index.js';

const MIB = 1 << 20;
const BLOBS = 8;
const BLOB_BYTES = 16 * MIB;
const REPOSITORY = 'bench/blobs';
const AT_LEAST = 0.9;
const LANDFALL = resolve(import.meta.dirname, '../bin/landfall.js');
const CLIENT = resolve(import.meta.dirname, 'serve-client.js');

interface Contestant extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
}

interface Outcome {
  readonly bytes: number;
  readonly answers: number;
  readonly failures: number;
  readonly seconds: number;
}

async function measure({ work }: Workspace): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      connections: { type: 'string', default: '500' },
    },
  });
  console.log(describeMachine(thisMachine()));
  await using landfall = await startLandfall(join(work, 'landfall'));
  await using other = await startOther(join(work, 'registry'));
  const contestants = [landfall, other];
  const paths = await pushBlobs(contestants);
  const rates = new Map(contestants.map(({ name }): [string, number[]] => [name, []]));
  const memory = new Map<string, number[]>();
  for (const one of contestants) memory.set(one.name, [(await memoryOf(one.pid)).VmRSS]);
  for (let round = 0; round <= Number(values.rounds); round += 1) {
    for (const one of round % 2 === 0 ? contestants : contestants.toReversed()) {
      const given = [String(one.port), values.connections, values.seconds, ...paths];
      const outcome = JSON.parse(await output(process.execPath, [CLIENT, ...given])) as Outcome;
      if (outcome.failures > 0) throw new Error(`${one.name}: ${outcome.failures} connections failed`);
      if (round > 0) rates.get(one.name)?.push(outcome.bytes / outcome.seconds);
      memory.get(one.name)?.push((await memoryOf(one.pid)).VmRSS);
    }
  }
  report({ contestants, rates, memory, connections: values.connections });
  for (const one of contestants) {
    console.log(`${one.name}: at most ${formatSize((await memoryOf(one.pid)).VmHWM)} of memory`);
  }
  return 0;
}

function report(o: {
  readonly contestants: readonly Contestant[];
  readonly rates: ReadonlyMap<string, readonly number[]>;
  readonly memory: ReadonlyMap<string, readonly number[]>;
  readonly connections: string;
}): void {
  const title = ['SERVER', 'MEDIAN', 'MIN', 'MAX', 'MEMORY BEFORE', 'AFTER 2', 'AT THE END'];
  const rate = (bytes: number): string => `${formatSize(bytes)}/s`;
  const rows = o.contestants.map(({ name }) => {
    const { median, minimum, maximum }: Summary = summarize(o.rates.get(name) ?? []);
    const taken = o.memory.get(name) ?? [];
    const reported = [taken[0], taken[3], taken.at(-1)].map((bytes) => formatSize(bytes ?? NaN));
    return [name, rate(median), rate(minimum), rate(maximum), ...reported];
  });
  console.log(`${BLOBS} blobs of ${formatSize(BLOB_BYTES)}, ${o.connections} downloads at once`);
  console.log(
    renderTable(
      title.map((text) => ({ title: text })),
      rows,
    ),
  );
  const [own, other] = o.contestants.map(({ name }) => o.rates.get(name) ?? []);
  const { ofMedians, byRound } = ratioOf(own ?? [], other ?? []);
  console.log(
    `ratio of the medians ${ofMedians.toFixed(2)} ×, within a round ${byRound.median.toFixed(2)} × (${byRound.minimum.toFixed(2)} to ${byRound.maximum.toFixed(2)}); at least ${AT_LEAST} ×: ${ofMedians >= AT_LEAST ? 'met' : 'MISSED'}`,
  );
}

async function startLandfall(directory: string): Promise<Contestant> {
  await mkdir(directory, { recursive: true });
  const options = ['serve', '--writable', '--listen', '127.0.0.1:0', '--root', join(directory, 'root')];
  const quiet = ['--output', 'json', '--log-level', 'warn'];
  const child = bound(
    spawn(process.execPath, [LANDFALL, ...options, ...quiet], {
      env: { PATH: process.env['PATH'] ?? '', HOME: directory },
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  let said = '';
  for await (const line of createInterface({ input: child.stdout })) {
    said += line;
    if (line === '}') break;
  }
  const { port } = JSON.parse(said) as { port: number };
  return { name: 'landfall serve', port, pid: child.pid ?? 0, [Symbol.asyncDispose]: () => end(child) };
}

async function startOther(directory: string): Promise<Contestant> {
  const registry = await startRegistry(directory);
  const port = Number(registry.address.split(':')[1]);
  return {
    name: 'docker-registry',
    port,
    pid: registry.pid,
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}

/** Pushes the same blobs to each, and gives the paths that they are had at. */
async function pushBlobs(contestants: readonly Contestant[]): Promise<readonly string[]> {
  const paths: string[] = [];
  for (let n = 0; n < BLOBS; n += 1) {
    const bytes = randomBytes(BLOB_BYTES);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    for (const { name, port } of contestants) {
      const at = `http://127.0.0.1:${port}`;
      const begun = await fetch(`${at}/v2/${REPOSITORY}/blobs/uploads/`, { method: 'POST' });
      const place = new URL(begun.headers.get('location') ?? '', at);
      place.searchParams.set('digest', digest);
      const { status } = await fetch(place, { method: 'PUT', body: bytes });
      if (status !== 201) throw new Error(`${name} answered the push of a blob with ${status}`);
    }
    paths.push(`/v2/${REPOSITORY}/blobs/${digest}`);
  }
  return paths;
}

async function memoryOf(pid: number): Promise<{ VmRSS: number; VmHWM: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) * 1024;
  return { VmRSS: bytes('VmRSS'), VmHWM: bytes('VmHWM') };
}

process.exitCode = await inWorkspace(tmpdir(), measure, (text) => {
  console.error(text);
});
