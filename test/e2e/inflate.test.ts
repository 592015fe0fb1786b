import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { probeInflater } from '../../src/system/index.js';
import { type CommandResult, LANDFALL, runCommand } from '../support/landfall-command.js';
import { type LyingRegistry, startLyingRegistry } from '../support/lying-registry.js';
import { MOUNT_NAMESPACE } from '../support/needs-root.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

interface Pulled {
  readonly layers: readonly { readonly decompressor?: string }[];
}

interface Doctor {
  readonly capabilities: readonly {
    readonly name: string;
    readonly available: boolean;
    readonly detail: string;
  }[];
}

/** Where ISA-L lies, once it is loaded. */
function isalPath(): string {
  probeInflater('isa-l');
  const path = /\S+\/libisal\.so\S*$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0];
  if (path === undefined) throw new Error('ISA-L is not there');
  return path;
}

describe.skipIf(needsPeer('igzip') !== undefined)('what inflates layers', () => {
  let work: string;
  let layout: TinyLayout;
  let registry: LyingRegistry;
  let root: string;
  let stores = 0;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-inflate-'));
    layout = await makeTinyLayout(join(work, 'layout'));
    registry = await startLyingRegistry(layout);
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(() => {
    root = join(work, `store-${stores++}`);
  });

  type Run = (args: readonly string[], env?: Record<string, string>) => Promise<CommandResult>;
  const here: Run = (args, env = {}) =>
    runCommand(process.execPath, [LANDFALL, '--root', root, '--output', 'json', ...args], { env });
  /** Where the library is no library any more. */
  const without: Run = (args, env = {}) => {
    const script = 'mount --bind /dev/null "$1" && shift && exec "$@"';
    const command = [process.execPath, LANDFALL, '--root', root, '--output', 'json', ...args];
    return runCommand('unshare', [MOUNT_NAMESPACE, 'sh', '-c', script, 'sh', isalPath(), ...command], {
      env,
    });
  };
  const pull = (run: Run, flags: readonly string[], env?: Record<string, string>): Promise<CommandResult> =>
    run(['--progress', 'json', '--log-level', 'debug', ...flags, 'pull', `${registry.address}/app:1`], env);

  it.each<[name: string, run: Run, flags: string[], env: Record<string, string>, by: string]>([
    ['ISA-L where it is installed', here, [], {}, 'isa-l'],
    ['zlib where it is asked for', here, ['--inflate', 'zlib'], {}, 'zlib'],
    ['zlib where the environment asks for it', here, [], { LANDFALL_INFLATE: 'zlib' }, 'zlib'],
    ['ISA-L where the option says so', here, ['--inflate', 'isa-l'], { LANDFALL_INFLATE: 'zlib' }, 'isa-l'],
    ['zlib where ISA-L is not installed', without, [], {}, 'zlib'],
  ])('is %s, and pull tells it', async (_, run, flags, env, by) => {
    const { code, stdout, stderr } = await pull(run, flags, env);
    expect(code, stderr).toBe(0);
    const [pulled] = JSON.parse(stdout) as [Pulled];
    expect(pulled.layers.map(({ decompressor }) => decompressor)).toEqual([by, by]);
    const events = stderr
      .split('\n')
      .filter((line) => line.includes('"unpacked"'))
      .map((line) => (JSON.parse(line) as { decompressor?: string }).decompressor);
    expect(events).toEqual([by, by]);
    expect(stderr.match(new RegExp(`was decompressed by ${by}$`, 'gm'))).toHaveLength(2);
    const [again] = JSON.parse((await pull(run, flags, env)).stdout) as [Pulled];
    expect(again.layers.map((layer) => 'decompressor' in layer)).toEqual([false, false]);
  });

  it.each([
    ['pull', () => ['pull', `${registry.address}/app:1`]],
    ['unpack', () => ['unpack', `oci:${layout.dir}`, join(work, 'tree')]],
    ['export', () => ['export', `oci:${layout.dir}`, '-o', join(work, 'tree.tar')]],
  ])('is refused before anything is done where %s asks for ISA-L in vain', async (_, args) => {
    registry.requests.length = 0;
    const { code, stderr } = await without(['--progress', 'none', '--inflate', 'isa-l', ...args()]);
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      code: 'UNSUPPORTED',
      hint: expect.stringContaining('libisal2') as string,
    });
    expect(registry.requests.filter((request) => request.includes('/blobs/'))).toEqual([]);
  });

  it('is refused before a layer is fetched again, which was dropped once it was unpacked', async () => {
    const pulled = await here(['pull', '--discard-layers', `${registry.address}/app:1`]);
    expect(pulled, pulled.stderr).toMatchObject({ code: 0 });
    registry.requests.length = 0;
    const args = ['--progress', 'none', '--inflate', 'isa-l', 'unpack', `${registry.address}/app:1`];
    expect(await without([...args, join(work, 'again')])).toMatchObject({ code: 1 });
    expect(registry.requests).toEqual([]);
  });

  it('is known to the doctor', async () => {
    const isal = async (run: Run): Promise<boolean | undefined> => {
      const { capabilities } = JSON.parse((await run(['doctor'])).stdout) as Doctor;
      expect(capabilities).toContainEqual(expect.objectContaining({ name: 'native zlib', available: true }));
      return capabilities.find(({ name }) => name === 'ISA-L')?.available;
    };
    expect(await isal(here)).toBe(true);
    expect(await isal(without)).toBe(false);
  });
});
