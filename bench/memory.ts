/*
 * Peak memory of a pull, for a small and a large layer. Method: an image with one layer of bytes that hardly compress is
 * served by docker-registry on loopback; `landfall pull` (download, verify, unpack) and `skopeo copy` to an OCI layout
 * (download, verify) pull it in turn into an empty store; each one's high-water mark (VmHWM in /proc) is read until it
 * ends. One round to warm up, then five; printed are median, minimum, maximum, and the ratio of the medians.
 *
 * Usage: node dist/bench/memory.js [MIB …]        default: 100 1024
 */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import tar from 'tar-stream';
import { measuredRun } from './measured-run.js';

const LANDFALL = resolve(import.meta.dirname, '../bin/landfall.js');
const ROUNDS = 5;
const MIB = 1 << 20;

interface Blob {
  readonly digest: string;
  readonly size: number;
}

async function main(): Promise<void> {
  const sizes = process.argv.slice(2).map(Number);
  const work = await mkdtemp(join(tmpdir(), 'landfall-memory-'));
  try {
    await using registry = await startRegistry(join(work, 'registry'));
    for (const mib of sizes.length === 0 ? [100, 1024] : sizes) await measure(work, registry.address, mib);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function measure(work: string, registry: string, mib: number): Promise<void> {
  const layout = join(work, `layout-${mib}`);
  await makeLayout(layout, mib);
  const reference = `${registry}/bench/memory:${mib}`;
  const push = ['copy', '-q', '--dest-tls-verify=false', `oci:${layout}:bench`, `docker://${reference}`];
  await peakMemory('skopeo', push);
  await rm(layout, { recursive: true });
  const peers: Record<string, (root: string) => [string, string[]]> = {
    landfall: (root) => [
      process.execPath,
      [LANDFALL, '--root', root, '--progress', 'none', 'pull', reference],
    ],
    skopeo: (root) => [
      'skopeo',
      ['copy', '-q', '--src-tls-verify=false', `docker://${reference}`, `oci:${root}:bench`],
    ],
  };
  const peaks = new Map(Object.keys(peers).map((name) => [name, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, command] of Object.entries(peers)) {
      const root = join(work, 'root');
      const peak = await peakMemory(...command(root));
      await rm(root, { recursive: true, force: true });
      if (round > 0) peaks.get(name)?.push(peak);
    }
  }
  const medians = [...peaks].map(([name, values]) => {
    const sorted = [...values].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] ?? NaN;
    const spread = `${show(sorted[0])} to ${show(sorted.at(-1))}`;
    console.log(
      `one layer of ${mib} MiB  ${name.padEnd(9)} median ${show(median)}  (${spread}, ${values.length} runs)`,
    );
    return median;
  });
  console.log(
    `one layer of ${mib} MiB  landfall / skopeo ${((medians[0] ?? NaN) / (medians[1] ?? NaN)).toFixed(2)}`,
  );
}

const show = (bytes: number | undefined): string => `${((bytes ?? NaN) / 1e6).toFixed(0)} MB`;

/** Runs a command to its end and gives the most memory that it ever held, in bytes. */
async function peakMemory(command: string, args: readonly string[]): Promise<number> {
  return (await measuredRun(command, args)).peakBytes;
}

async function makeLayout(directory: string, mib: number): Promise<void> {
  const blobs = join(directory, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const pack = tar.pack();
  const plain = createHash('sha256');
  const gzip = createGzip({ level: 1 });
  pack.on('data', (chunk: unknown) => plain.update(chunk as Buffer));
  const writing = pipeline(pack, gzip, createWriteStream(join(blobs, 'layer')));
  // One random block again and again, further apart than gzip looks back: new to gzip each time, and quick to make.
  const block = randomBytes(MIB);
  const entry = pack.entry({ name: 'large', size: mib * MIB }, () => undefined);
  for (let i = 0; i < mib; i++) if (!entry.write(block)) await once(entry, 'drain');
  entry.end(Buffer.alloc(0));
  pack.finalize();
  await writing;
  const layer = await adopt(blobs, 'layer');
  const config = await put(blobs, {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: [`sha256:${plain.digest('hex')}`] },
  });
  const manifest = await put(blobs, {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...layer }],
  });
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const annotations = { 'org.opencontainers.image.ref.name': 'bench' };
  const described = { mediaType: 'application/vnd.oci.image.manifest.v1+json', ...manifest, annotations };
  await writeFile(
    join(directory, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [described] }),
  );
}

async function put(blobs: string, document: object): Promise<Blob> {
  await writeFile(join(blobs, 'document'), JSON.stringify(document));
  return adopt(blobs, 'document');
}

/** Gives a file the name of its digest. */
async function adopt(blobs: string, name: string): Promise<Blob> {
  const hash = createHash('sha256');
  const path = join(blobs, name);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  const hex = hash.digest('hex');
  await rename(path, join(blobs, hex));
  return { digest: `sha256:${hex}`, size: (await stat(join(blobs, hex))).size };
}

async function startRegistry(directory: string): Promise<AsyncDisposable & { address: string }> {
  await mkdir(directory, { recursive: true });
  const config = join(directory, 'config.yml');
  await writeFile(
    config,
    JSON.stringify({
      version: 0.1,
      log: { level: 'info' },
      storage: { filesystem: { rootdirectory: join(directory, 'data') } },
      http: { addr: '127.0.0.1:0' },
    }),
  );
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  const port = await new Promise<string>((resolvePort, reject) => {
    let said = '';
    // Read to its end: a process that cannot write its log dies of it.
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const found = /listening on 127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (found !== undefined) resolvePort(found);
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`docker-registry did not start:\n${said}`)));
  });
  return {
    address: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

await main();
