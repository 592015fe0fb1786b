import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeModule } from '../../src/native-module.js';
import { type DockerRegistry, REGISTRY_USER, startDockerRegistry } from '../support/docker-registry.js';
import { installedWithout, type Lack } from '../support/installed-without.js';
import { type CommandResult, landfall, runCommand } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout } from '../support/tiny-image.js';

/** How the loaders of the three, and the one of the system, begin. */
const LOADERS_WORDS = /^ {2}(Could not locate|Cannot find|.*\.node: |libc\.musl)/;
const NOT_READY = `is not ready-made for linux-${process.arch}`;

describe.skipIf(needsPeer('docker-registry') !== undefined)('without a native module', () => {
  let work: string;
  let registry: DockerRegistry;
  let serial = 0;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-native-'));
    registry = await startDockerRegistry();
    for (const compression of ['gzip', 'zstd'] as const) {
      const { dir } = await makeTinyLayout(join(work, compression), { compression });
      const to = `docker://${registry.address}/fleet/${compression}:1`;
      expect((await landfall(['copy', '--plain-http', `oci:${dir}`, to])).code).toBe(0);
    }
  });
  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** Runs the command of such an installation. */
  async function within(lacks: Readonly<Partial<Record<NativeModule, Lack>>>): Promise<{
    directory: string;
    run: (args: readonly string[], input?: string) => Promise<CommandResult>;
  }> {
    const directory = await mkdtemp(join(work, 'installed-'));
    const command = await installedWithout(directory, lacks);
    const root = join(work, `root-${(serial += 1)}`);
    const run = (args: readonly string[], input = ''): Promise<CommandResult> =>
      runCommand(process.execPath, [command, ...args, '--root', root, '--plain-http'], {
        env: { HOME: work },
        input,
      });
    return { directory, run };
  }
  const image = (name: string): string => `${registry.address}/fleet/${name}:1`;

  const ROWS: readonly (readonly [NativeModule, Lack, string])[] = [
    ['sqlite3', 'absent', NOT_READY],
    ['sqlite3', 'not built beside', 'was not built here'],
    ['sqlite3', 'of another processor', 'was built for another processor'],
    ['sqlite3', 'cut short', 'was not written as a whole'],
    ['zstd-napi', 'absent', NOT_READY],
    ['zstd-napi', 'not built beside', 'was not built here'],
    ['zstd-napi', 'of another processor', 'was built for another processor'],
    ['koffi', 'absent', 'is not installed'],
    ['koffi', 'not built', 'was not built here'],
    ['koffi', 'of another C library', 'was built for musl, and this system has another C library'],
    ['koffi', 'of another processor', 'was built for another processor'],
  ];
  it.each(ROWS)(
    '%s, %s: a pull says in three lines that it %s, and what to do',
    async (module, lack, why) => {
      const { directory, run } = await within({ [module]: lack });
      const { code, stderr, stdout } = await run(['pull', '--progress', 'none', image('zstd')]);
      expect(code).toBe(1);
      expect(stdout).toBe('');
      const lines = stderr.trimEnd().split('\n');
      // A worker thread's errors come without what caused them; the first line says it too.
      expect(lines).toHaveLength(module === 'zstd-napi' ? 2 : 3);
      const [what, reason] = lines;
      expect(what).toContain(`the native module ${module}, which `);
      expect(what).toMatch(new RegExp(`, ${why}$`));
      if (lines.length === 3) expect(reason).toMatch(LOADERS_WORDS);
      const remedy =
        module === 'koffi'
          ? `Run \`npm install --include=optional\` in ${directory}, `
          : `Run \`npm ${lack === 'not built beside' ? 'rebuild' : 'install'} ${module}\` in ${directory}; it needs python3, make and g++.`;
      expect(lines.at(-1)).toContain(`  hint: ${remedy}`);
    },
  );

  it('doctor names each, and what to do', async () => {
    const { directory, run } = await within({
      sqlite3: 'not built beside',
      koffi: 'not built',
      'zstd-napi': 'not built beside',
    });
    const { code, stdout } = await run(['doctor']);
    expect(code).toBe(0);
    for (const row of ['SQLite', 'native calls', 'zstd'])
      expect(stdout).toMatch(new RegExp(`^${row} +no +the native module .* was not built here`, 'm'));
    expect(stdout).toContain(`SQLite: Run \`npm rebuild sqlite3\` in ${directory};`);
    expect(stdout).toMatch(/^native calls, .*: Run `npm install --include=optional` in /m);
    expect(stdout).toContain(`zstd: Run \`npm rebuild zstd-napi\` in ${directory};`);
  });

  it('what uses none of them works', async () => {
    const { run } = await within({ sqlite3: 'not built', koffi: 'not built', 'zstd-napi': 'not built' });
    const said = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await run(args);
      expect(`${code} ${stderr}`, args.join(' ')).toBe('0 ');
      return stdout;
    };
    expect(await said('--version')).toMatch(/^landfall \d/);
    expect(await said('--help')).toContain('pull');
    const digest = await said('resolve', image('gzip'));
    expect(digest).toMatch(/^sha256:/);
    expect(await said('tags', `${registry.address}/fleet/gzip`)).toBe('1\n');
    expect(await said('referrers', image('gzip'))).toBeDefined();
    const copied = `docker://${registry.address}/fleet/copied:1`;
    expect(await said('copy', '--progress', 'none', `docker://${image('gzip')}`, copied)).toContain('copied');
    expect(await said('resolve', copied)).toBe(digest);
  });

  it('login works', async () => {
    await using guarded = await startDockerRegistry({ htpasswd: true });
    const { run } = await within({ sqlite3: 'not built', koffi: 'not built', 'zstd-napi': 'not built' });
    const { username, password } = REGISTRY_USER;
    const login = ['login', '--username', username, '--password-stdin', guarded.address];
    const { code, stdout } = await run(login, password);
    expect([code, stdout]).toEqual([0, expect.stringContaining('logged in to ')]);
  });

  it('the library throws UNSUPPORTED with the module, and does what needs none', async () => {
    const { directory } = await within({ sqlite3: 'not built beside' });
    const program = `
      import { LandfallError, openStore, parseReference } from 'landfall';
      console.log(parseReference('alpine').repository);
      const error = await openStore({ root: ${JSON.stringify(join(directory, 'store'))} }).catch((e) => e);
      console.log(error instanceof LandfallError, error.code, error.details.module, error.hint);`;
    const args = ['--input-type=module', '--eval', program];
    const { stdout, stderr } = await runCommand(process.execPath, args, { cwd: directory });
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^library\/alpine\ntrue UNSUPPORTED sqlite3 Run `npm rebuild sqlite3` in /);
  });
});
