import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ExpectedImage } from '../support/expected-image.js';
import { type CommandResult, landfall } from '../support/landfall-command.js';
import { HERE, MountNamespace } from '../support/mount-namespace.js';
import { rounds } from '../support/rounds.js';
import { filesIn, type ServedImages, serveImages } from '../support/served-images.js';
import { leftovers, mountFaults, storeFaults } from '../support/store-faults.js';
import { storeTables } from '../support/store-tables.js';

const ROUNDS = rounds({ short: 1, long: 20 });
const PROCESSES = 8;
/** A header that tells the registry who asks. */
const WHO = 'x-process';

interface BlobRequest {
  readonly who: string;
  /** The first byte that is asked for. */
  readonly from: number;
}

describe('eight processes', () => {
  let work: string;
  let served: ServedImages;
  let wholeMs: number;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-eight-'));
    // So slow that all are at work before the first has ended.
    served = await serveImages({
      count: 4,
      shared: [filesIn('usr', 40, 20_000), filesIn('lib', 40, 20_000), filesIn('srv', 40, 20_000)],
      blobs: { bytesPerSecond: 8e5 },
    });
    const root = join(work, 'alone');
    const before = performance.now();
    expect(await pull(root, served.images[0], 'nobody')).toMatchObject({ code: 0 });
    wholeMs = performance.now() - before;
  });

  afterAll(async () => {
    await served[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it(
    `pull four images that share layers into one empty root, some of them killed (${ROUNDS} rounds)`,
    { timeout: ROUNDS * 240_000 },
    async () => {
      await using namespace = await MountNamespace.start();
      for (let round = 0; round < ROUNDS; round++) {
        const root = join(work, `root-${round}`);
        const before = served.registry.requests.length;
        // In the first round nobody dies: then each blob is asked for once.
        const killed = new Set(round === 0 ? [] : threeOf(PROCESSES));
        const results = await Promise.all(
          Array.from({ length: PROCESSES }, (_, process) =>
            pull(root, imageOf(process), `${round}-${process}`, killed.has(process)),
          ),
        );
        const died = new Set<string>();
        results.forEach(({ code, signal, stderr }, process) => {
          if (signal === 'SIGKILL') died.add(`${round}-${process}`);
          else expect({ code, stderr }, `process ${process}, round ${round}`).toMatchObject({ code: 0 });
        });
        for (const [process, { signal }] of results.entries()) {
          if (signal !== 'SIGKILL') continue;
          expect(await pull(root, imageOf(process), `${round}-${process}-again`)).toMatchObject({ code: 0 });
        }

        expect(
          faultsOfDownloads(served, before, died),
          `round ${round}, died: ${[...died].join(' ')}`,
        ).toEqual([]);
        expect((await storeTables(HERE, root)).images.map(({ name }) => name)).toEqual(
          served.images.map(({ name }) => name).sort(),
        );
        expect(await landfall(['--root', root, 'gc'])).toMatchObject({ code: 0 });
        expect(await storeFaults(HERE, root, served.images), `round ${round}`).toEqual([]);
        expect(await leftovers(HERE, root, served.images), `round ${round}`).toEqual([]);
        for (const image of served.images) {
          expect(await mountFaults(namespace, root, image, join(namespace.directory, 'target'))).toEqual([]);
        }
        await rm(root, { recursive: true });
      }
    },
  );

  function imageOf(process: number): ExpectedImage {
    return served.images[process % served.images.length] ?? served.images[0];
  }

  /** Pulls as somebody whom the registry can tell from others, and dies at a random moment if it is to. */
  async function pull(root: string, image: ExpectedImage, who: string, dies = false): Promise<CommandResult> {
    const { address } = served.registry;
    const hosts = join(work, `hosts-${who}`);
    await mkdir(join(hosts, address), { recursive: true });
    await writeFile(
      join(hosts, address, 'hosts.toml'),
      `server = "http://${address}"\n[header]\n${WHO} = "${who}"\n`,
    );
    const args = ['--root', root, '--hosts-dir', hosts, '--progress', 'none', 'pull', image.name];
    return await landfall(args, {
      onStart: (child) => {
        if (!dies) return;
        const timer = setTimeout(() => child.kill('SIGKILL'), Math.random() * wholeMs);
        child.on('exit', () => clearTimeout(timer));
      },
    });
  }
});

/** What was downloaded more often than it had to be. */
function faultsOfDownloads(served: ServedImages, from: number, died: ReadonlySet<string>): string[] {
  const asked = new Map<string, BlobRequest[]>();
  for (const { line, headers } of served.registry.requests.slice(from)) {
    const digest = /^GET .*\/(?:blobs|manifests)\/(sha256:.*)$/.exec(line)?.[1];
    if (digest === undefined) continue;
    const start = Number(/^bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0);
    asked.set(digest, [...(asked.get(digest) ?? []), { who: String(headers[WHO]), from: start }]);
  }
  const digests = new Set(served.images.flatMap(({ layout }) => [...layout.blobs.keys()]));
  const faults: string[] = [];
  for (const digest of digests) {
    const requests = asked.get(digest) ?? [];
    const reported = requests.map(({ who, from: start }) => `${who} from ${start}`).join(', ');
    // All but the last died over it, and each goes on behind the one before.
    if (requests.length === 0) faults.push(`${digest} was never asked for`);
    if (requests.slice(0, -1).some(({ who }) => !died.has(who)))
      faults.push(`${digest} was asked for by ${reported}`);
    if (requests.some((request, i) => request.from < (requests[i - 1]?.from ?? 0))) {
      faults.push(`${digest} was begun anew: ${reported}`);
    }
  }
  return faults;
}

function threeOf(count: number): number[] {
  return Array.from({ length: count }, (_, n) => ({ n, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .slice(0, 3)
    .map(({ n }) => n);
}
