import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LoadedModules, loadedBy } from '../support/loaded-modules.js';
import { type LyingRegistry, startLyingRegistry } from '../support/lying-registry.js';
import { makeTinyLayout } from '../support/tiny-image.js';

describe('the built command loads', () => {
  let work: string;
  let registry: LyingRegistry;
  let name: string;
  let cold: LoadedModules;

  const run = async (...args: string[]): Promise<LoadedModules> => {
    const file = join(await mkdtemp(join(work, 'loaded-')), 'list');
    const loaded = await loadedBy([...args, '--root', join(work, 'root'), '--snapshots', 'native'], file);
    expect(loaded.stderr).toBe('');
    expect(loaded.code).toBe(0);
    return loaded;
  };
  const pull = (): Promise<LoadedModules> =>
    run('pull', '--plain-http', '--platform', 'linux/amd64', '--hosts-dir', '/nonexistent', '-q', name);

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-loaded-'));
    registry = await startLyingRegistry(await makeTinyLayout(join(work, 'layout'), { compression: 'zstd' }));
    name = `${registry.address}/team/app:1`;
    cold = await pull();
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it('all that a pull needs: so it would be seen', () => {
    expect(cold.native).toEqual(expect.arrayContaining(['koffi.node', 'sqlite3.node']));
    expect(cold.own).toEqual(expect.arrayContaining([...UNPACKING]));
    expect(cold.packages).toEqual(expect.arrayContaining(['undici']));
  });

  it('next to nothing for --version', async () => {
    const file = join(work, 'version');
    const { own, packages, native, stdout } = await loadedBy(['--version'], file);
    expect(stdout).toMatch(/^landfall \d/);
    expect({ own, packages, native }).toEqual({
      own: ['cli/main', 'cli/output/version', 'errors', 'landfall'],
      packages: [],
      native: [],
    });
  });

  it('neither system calls nor inflaters nor threads for a pull of what is here', async () => {
    registry.requests.length = 0;
    const warm = await pull();
    expect(warm.stdout).toBe(cold.stdout);
    expect(registry.requests).toEqual(['HEAD /v2/team/app/manifests/1']);
    expect(warm.native).toEqual(['sqlite3.node']);
    expect(warm.own.filter((module) => UNPACKING.includes(module))).toEqual([]);
    expect(warm.packages).toEqual(['@sindresorhus/is', 'commander', 'p-limit', 'undici', 'yocto-queue']);
    expect(warm.builtin).toContain('net');
    expect(warm.builtin).not.toContain('http2');
  });

  it('of @sindresorhus/is the checks, and not what takes long to make', async () => {
    const chunks = join(import.meta.dirname, '../../dist/bin/chunks');
    const code = await Promise.all(
      (await readdir(chunks))
        .filter((name) => name.endsWith('.js'))
        .map((name) => readFile(join(chunks, name), 'utf8')),
    );
    expect(code.join('')).toContain('function isPlainObject(');
    expect(code.join('')).not.toContain('Intl.ListFormat');
  });

  it.each(['images', 'inspect'])('no client and no system calls for %s', async (command) => {
    const { own, packages, native } = await run(command, ...(command === 'inspect' ? [name] : []));
    expect(native).toEqual(['sqlite3.node']);
    expect(packages).not.toContain('undici');
    expect(own.filter((module) => module.startsWith('registry/') || UNPACKING.includes(module))).toEqual([]);
  });
});

/** What only unpacks, and so is only of use in a worker thread. */
const UNPACKING: readonly string[] = [
  'unpack/workers/worker',
  'unpack/layer/apply-layer',
  'unpack/tar/tar-reader',
  'unpack/compression/decompress',
  'unpack/layer/layer-writer',
];
