import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { gzipSync } from 'node:zlib';

import { writeTar } from '../fixtures/write-tar.js';
import { PROJECT } from './landfall-process.js';

/*
 * How large the house is, and how far its files reach: `node dist/scripts/house-figures.js`. CI prints it; nothing here fails for a
 * figure, but for a pull that fails. `test/import-rule.test.ts` keeps the directions.
 */

/** A source file, with what it imports of the others by a static import, a type's included. */
interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly imports: ReadonlySet<string>;
}

interface Sources {
  readonly root: string;
  readonly files: ReadonlyMap<string, SourceFile>;
}

function readSources(root: string): Sources {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
    .map((path) => join(root, path));
  const known = new Set(paths);
  const files = paths.map((path): SourceFile => {
    const text = readFileSync(path, 'utf8');
    const named = [...text.matchAll(/from '(\.[^']+)\.js'/g)].map(([, name = '']) =>
      resolve(dirname(path), `${name}.ts`),
    );
    return { path, text, imports: new Set(named.filter((one) => known.has(one))) };
  });
  return { root, files: new Map(files.map((file) => [file.path, file])) };
}

/** Lines that are neither blank nor of a comment alone. */
function codeLines(text: string): number {
  const withoutBlocks = text.replace(/^\s*\/\*[\s\S]*?\*\/[^\n]*$/gm, '');
  return withoutBlocks.split('\n').filter((line) => !/^\s*(\/\/|$)/.test(line)).length;
}

/**
 * Pairs of folders within one top folder whose files import one another both ways. An index stands above its
 * rooms.
 */
function twoWayRooms({ root, files }: Sources): number {
  const doors = new Set<string>();
  for (const { path, imports } of files.values()) {
    if (path.endsWith(`${sep}index.ts`)) continue;
    for (const imported of imports) {
      const [from, to] = [dirname(relative(root, path)), dirname(relative(root, imported))];
      if (from !== to && topOf(from) === topOf(to)) doors.add(`${from} ${to}`);
    }
  }
  return [...doors].filter((door) => doors.has(door.split(' ').reverse().join(' '))).length / 2;
}

/** Imports from another top folder that has an index, of what is no index. */
function importsBehindIndex({ root, files }: Sources): number {
  let count = 0;
  for (const { path, imports } of files.values()) {
    for (const imported of imports) {
      const [from, to] = [topOf(relative(root, path)), topOf(relative(root, imported))];
      const index = join(root, to, 'index.ts');
      if (from !== to && files.has(index) && !imported.endsWith(`${sep}index.ts`)) count += 1;
    }
  }
  return count;
}

/** Folders of the first level; what lies beside them is a room of its own. */
function topOf(path: string): string {
  return path.includes(sep) ? path.slice(0, path.indexOf(sep)) : path;
}

/** Sets of files that lead to one another: strongly connected components of more than one file. */
function importCycles({ files }: Sources): number {
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  let cycles = 0;
  const visit = (path: string): number => {
    const number = order.size;
    order.set(path, number);
    let low = number;
    open.push(path);
    for (const imported of files.get(path)?.imports ?? []) {
      if (!order.has(imported)) low = Math.min(low, visit(imported));
      else if (open.includes(imported)) low = Math.min(low, order.get(imported) ?? low);
    }
    lowest.set(path, low);
    if (low === number && open.splice(open.indexOf(path)).length > 1) cycles += 1;
    return low;
  };
  for (const path of files.keys()) if (!order.has(path)) visit(path);
  return cycles;
}

interface PulledFiles {
  readonly loaded: number;
  /** In which a function was called. */
  readonly ran: number;
}

/**
 * Which files of the library a pull loads, and runs something of, into a new store, of an image with one
 * layer.
 */
async function filesOfColdPull(): Promise<PulledFiles> {
  const work = await mkdtemp(join(tmpdir(), 'landfall-figures-'));
  const blobs = new Map<string, Buffer>();
  const put = (type: string, bytes: Buffer): object => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType: `application/vnd.oci.image.${type}`, digest, size: bytes.length };
  };
  const tar = writeTar([
    { path: 'etc/harbour', type: 'file', content: 'calm\n', mode: 0o644, uid: 0, gid: 0, mtime: '0' },
  ]);
  const layer = put('layer.v1.tar+gzip', gzipSync(tar));
  const rootfs = { type: 'layers', diff_ids: [digestOf(tar)] };
  const config = put('config.v1+json', json({ architecture: 'amd64', os: 'linux', config: {}, rootfs }));
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = json({ schemaVersion: 2, mediaType, config, layers: [layer] });
  const server = createServer(({ method, url = '' }, response) => {
    const [, kind, name = ''] = /\/(manifests|blobs)\/([^?]+)/.exec(url) ?? [];
    const bytes = kind === 'manifests' ? manifest : (blobs.get(name) ?? Buffer.from('{}'));
    response.setHeader('content-length', bytes.length);
    if (kind === 'manifests') response.setHeader('content-type', mediaType);
    response.end(method === 'HEAD' ? undefined : bytes);
  }).listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
    const reference = `127.0.0.1:${(server.address() as AddressInfo).port}/team/app:1`;
    const coverage = join(work, 'coverage');
    const args = ['pull', '--root', join(work, 'root'), '--plain-http', '--progress', 'none', reference];
    const program = join(work, 'pull.mjs');
    await writeFile(program, PROGRAM);
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, LANDFALL_CONFIG: '/dev/null', NODE_V8_COVERAGE: coverage },
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`the pull ended with ${code}`);
    return filesIn(coverage);
  } finally {
    server.close();
    await rm(work, { recursive: true, force: true });
  }
}

/** The command as it is compiled, not bundled, so that its files are told apart. */
const PROGRAM = `
import { main } from ${JSON.stringify(join(PROJECT, 'dist/src/cli/main.js'))};
const { env, stdin, stdout, stderr } = process;
process.exit(await main(process.argv.slice(2), { env, stdin, stdout, stderr, uid: process.geteuid() }, process));`;

interface V8Coverage {
  readonly result: readonly {
    readonly url: string;
    readonly functions: readonly {
      readonly functionName: string;
      readonly ranges: readonly { readonly startOffset: number; readonly count: number }[];
    }[];
  }[];
}

function filesIn(coverage: string): PulledFiles {
  const loaded = new Set<string>();
  const ran = new Set<string>();
  for (const name of existsSync(coverage) ? readdirSync(coverage) : []) {
    const { result } = JSON.parse(readFileSync(join(coverage, name), 'utf8')) as V8Coverage;
    for (const { url, functions } of result) {
      if (!url.includes('/dist/src/')) continue;
      loaded.add(url);
      // The module itself is a function without a name, at 0.
      const called = functions.some(
        ({ functionName, ranges: [range] }) =>
          functionName !== '' && range !== undefined && range.count > 0 && range.startOffset > 0,
      );
      if (called) ran.add(url);
    }
  }
  return { loaded: loaded.size, ran: ran.size };
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

const sources = readSources(join(PROJECT, 'src'));
const texts = [...sources.files.values()].map(({ text }) => text);
const lines = texts.reduce((sum, text) => sum + text.split('\n').length - 1, 0);
const pulled = await filesOfColdPull();
const figures: Readonly<Record<string, number>> = {
  files: sources.files.size,
  'code lines': texts.reduce((sum, text) => sum + codeLines(text), 0),
  'lines a file': Math.round(lines / sources.files.size),
  'two-way rooms': twoWayRooms(sources),
  'import cycles': importCycles(sources),
  'imports behind an index': importsBehindIndex(sources),
  'files that a cold pull loads': pulled.loaded,
  'files that a cold pull runs': pulled.ran,
};
for (const [name, figure] of Object.entries(figures)) process.stdout.write(`${name}: ${figure}\n`);
