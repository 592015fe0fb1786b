import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { type Installation, INSTALLATIONS, installPackage, npm } from '../support/installed-package.js';
import { type CommandResult, landfall, runCommand } from '../support/landfall-command.js';
import { NODE_VERSIONS, nodePrograms, type NodeVersion } from '../support/node-versions.js';
import { packedPackage } from '../support/packed-package.js';
import { needsPeer } from '../support/peers.js';
import { isLong } from '../support/rounds.js';
import { makeTinyLayout } from '../support/tiny-image.js';

const MINUTE_MS = 60_000;
/** Of the packages that are installed, those that may run a script then; and of those that we develop with. */
const WITH_SCRIPTS = ['koffi'];
const OURS_WITH_SCRIPTS = ['esbuild', 'koffi', 'protobufjs', 'sqlite3', 'zstd-napi'];

const OLDEST = NODE_VERSIONS[0];
/** The nightly run installs in each way for each Node.js; a pull request's in one way for one. */
const INSTALLED_BY: readonly NodeVersion[] = isLong ? NODE_VERSIONS : [OLDEST];
const MATRIX = INSTALLATIONS.slice(isLong ? 0 : -1).flatMap((installation) =>
  INSTALLED_BY.map((by): [Installation, NodeVersion] => [installation, by]),
);

let work: string;
let archive: string;
let nodes: ReadonlyMap<NodeVersion, string>;

function nodeOf(version: NodeVersion): string {
  const path = nodes.get(version);
  if (path === undefined) throw new Error(`there is no Node.js ${version}`);
  return path;
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-package-'));
  archive = await packedPackage();
  nodes = await nodePrograms(INSTALLED_BY);
}, 5 * MINUTE_MS);
afterAll(() => rm(work, { recursive: true, force: true }));

describe.skipIf(needsPeer('docker-registry') !== undefined).each(MATRIX)(
  'the package in an empty project without a compiler, by %s on Node.js %s',
  (installation, by) => {
    let project: string;
    let registry: DockerRegistry;
    let roots = 0;

    beforeAll(async () => {
      registry = await startDockerRegistry();
      for (const compression of ['gzip', 'zstd'] as const) {
        const { dir } = await makeTinyLayout(join(work, `${compression}-${by}-${installation.length}`), {
          compression,
        });
        const to = `docker://${registry.address}/fleet/${compression}:1`;
        expect((await landfall(['copy', '--plain-http', `oci:${dir}`, to])).code).toBe(0);
      }
      project = await mkdtemp(join(work, 'project-'));
      await installPackage(project, archive, installation, nodeOf(by));
    }, 10 * MINUTE_MS);
    afterAll(() => registry.stop());

    // What is installed once serves every Node.js, since native modules use Node-API.
    const on: readonly NodeVersion[] = isLong && by === OLDEST ? NODE_VERSIONS : [by];
    describe.each(on)('on Node.js %s', (version) => {
      let root: string;
      beforeAll(() => {
        root = join(project, `store-${(roots += 1)}`);
      });
      const run = (...args: string[]): Promise<CommandResult> =>
        runCommand(nodeOf(version), [join(project, 'node_modules/.bin/landfall'), ...args], {
          env: { HOME: project, LANDFALL_ROOT: root },
          cwd: project,
        });
      const said = async (...args: string[]): Promise<string> => {
        const { code, stdout, stderr } = await run(...args);
        expect(code, `landfall ${args.join(' ')}: ${stderr}`).toBe(0);
        return stdout;
      };

      it('is the Node.js that it is said to be, and the version of the package', async () => {
        const { stdout } = await runCommand(nodeOf(version), ['--version'], {});
        expect(stdout).toMatch(new RegExp(`^v${version}\\.`));
        const manifest = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
        expect(await said('--version')).toBe(`landfall ${manifest.version}\n`);
      });

      it('doctor finds what is compiled', async () => {
        const { capabilities } = JSON.parse(await said('doctor', '--output', 'json')) as {
          capabilities: { name: string; available: boolean; detail: string }[];
        };
        const found = new Map(capabilities.map(({ name, available }) => [name, available]));
        for (const name of ['SQLite', 'native calls', 'native zlib', 'zstd', 'syncfs'])
          expect(found.get(name), name).toBe(true);
      });

      it.each(['gzip', 'zstd'])(
        'pulls, unpacks, shows and exports an image with %s layers',
        async (compression) => {
          const name = `${registry.address}/fleet/${compression}:1`;
          await said('pull', '--plain-http', '--progress', 'none', name);
          expect(await said('images')).toContain(`fleet/${compression}`);
          expect(await said('inspect', name)).toContain('linux/amd64');
          const to = join(root, `${compression}.tar`);
          await said('export', name, '-o', to);
          const { stdout } = await runCommand(
            'tar',
            ['--extract', '--to-stdout', '--file', to, './etc/harbour'],
            {},
          );
          expect(stdout).toBe('calm\n');
        },
      );

      it('serves a node, and stops when it is told to', async () => {
        const socket = join(project, `${roots}-${version}.sock`);
        const args = ['daemon', '--cri', `unix://${socket}`];
        const child = spawn(nodeOf(version), [join(project, 'node_modules/.bin/landfall'), ...args], {
          env: { PATH: process.env['PATH'] ?? '', HOME: project, LANDFALL_ROOT: root },
          stdio: ['ignore', 'pipe', 'pipe'],
        });
        try {
          await untilListening(child);
          expect((await stat(socket)).isSocket()).toBe(true);
          child.kill('SIGTERM');
          const [code] = (await once(child, 'exit')) as [number | null];
          expect([0, 143]).toContain(code);
        } finally {
          child.kill('SIGKILL');
        }
      });

      it('is a library: all of its entrances, a pull, and an error that says its code', async () => {
        const program = join(project, `program-${version}.mjs`);
        await writeFile(program, PROGRAM);
        const { exports } = JSON.parse(await readFile('package.json', 'utf8')) as {
          exports: Record<string, unknown>;
        };
        const entrances = Object.keys(exports).filter((name) => !name.endsWith('.json'));
        const input = { entrances, root: `${root}-library`, reference: `${registry.address}/fleet/zstd:1` };
        const { stdout, stderr } = await runCommand(nodeOf(version), [program, JSON.stringify(input)], {
          cwd: project,
        });
        expect(stderr).toBe('');
        const { imported, layers, code } = JSON.parse(stdout) as {
          imported: string[];
          layers: number;
          code: string;
        };
        expect(imported).toEqual(entrances);
        expect(layers).toBe(2);
        expect(code).toBe('INVALID_REFERENCE');
      });

      it('is run by npx', async () => {
        expect(await npm(project, nodeOf(version), ['exec', '--no', '--', 'landfall', '--version'])).toMatch(
          /^landfall \d/,
        );
      });
    });

    it('comes with few packages, in a few MB', async () => {
      const { packages } = JSON.parse(
        await readFile(join(project, 'node_modules/.package-lock.json'), 'utf8'),
      ) as { packages: object };
      const { stdout } = await runCommand('du', ['-sk', join(project, 'node_modules')], {});
      const megabytes = (Number.parseInt(stdout) * 1024) / 1e6;
      const count = Object.keys(packages).length;
      process.stdout.write(`installed: ${count} packages, ${megabytes.toFixed(0)} MB\n`);
      expect(count).toBeLessThanOrEqual(60);
      expect(megabytes).toBeLessThan(45);
    });

    it('lies in the project once, with nothing of itself below it', async () => {
      const below = await readdir(join(project, 'node_modules'), { recursive: true });
      expect(below.filter((path) => /(^|\/)node_modules\/landfall$|^landfall$/.test(path))).toEqual([
        'landfall',
      ]);
      expect(below.filter((path) => path.startsWith('landfall/node_modules'))).toEqual([]);
    });

    it('brought no script but those that are known', async () => {
      const { packages } = JSON.parse(
        await readFile(join(project, 'node_modules/.package-lock.json'), 'utf8'),
      ) as { packages: Record<string, { hasInstallScript?: boolean }> };
      const withScript = Object.entries(packages).filter(
        ([, { hasInstallScript }]) => hasInstallScript === true,
      );
      expect(withScript.map(([path]) => path.replace(/^.*node_modules\//, '')).sort()).toEqual(WITH_SCRIPTS);
    });
  },
);

describe('the package, installed for everybody', () => {
  it(
    'puts the command and its manual where they are found',
    async () => {
      const prefix = await mkdtemp(join(work, 'prefix-'));
      const flags = [
        '--global',
        '--prefix',
        prefix,
        '--ignore-scripts',
        '--prefer-offline',
        '--no-audit',
        '--no-fund',
      ];
      await npm(work, process.execPath, ['install', ...flags, archive]);
      const { stdout } = await runCommand(join(prefix, 'bin/landfall'), ['--version'], {});
      expect(stdout).toMatch(/^landfall \d/);
      expect(await readdir(join(prefix, 'share/man/man1'))).toEqual(
        expect.arrayContaining(['landfall.1', 'landfall-pull.1']),
      );
      const images = ['images', '--root', join(prefix, 'store')];
      const { code, stderr } = await runCommand(join(prefix, 'bin/landfall'), images, {});
      expect([code, stderr]).toEqual([0, '']);
      const native = join(prefix, 'lib/node_modules/landfall/dist/native');
      await rm(native, { recursive: true });
      const without = await runCommand(join(prefix, 'bin/landfall'), images, {});
      expect(without.code).toBe(1);
      expect(without.stderr).toContain(
        `hint: Run \`npm install --global --prefix ${prefix} sqlite3\`; it needs python3, make and g++.`,
      );
    },
    5 * MINUTE_MS,
  );
});

it('the repository itself knows no script but those, and allows those that it needs', async () => {
  const { packages } = JSON.parse(await readFile('package-lock.json', 'utf8')) as {
    packages: Record<string, { hasInstallScript?: boolean; optional?: boolean }>;
  };
  const withScript = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript === true);
  const names = withScript.map(([path]) => path.replace(/^.*node_modules\//, ''));
  expect(names.sort()).toEqual(OURS_WITH_SCRIPTS);
  const { allowScripts } = JSON.parse(await readFile('package.json', 'utf8')) as { allowScripts: object };
  // That of protobufjs only looks at how its user names a version, and that of esbuild makes it start sooner.
  expect(allowScripts).toEqual({
    esbuild: false,
    koffi: true,
    protobufjs: false,
    sqlite3: true,
    'zstd-napi': true,
  });
});

/** Until the daemon says that it serves. @throws Error with what it said, where it ends first */
async function untilListening(child: ChildProcess): Promise<void> {
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error('what the daemon says is not read');
  const log: string[] = [];
  createInterface({ input: stderr }).on('line', (line) => log.push(line));
  const answered = once(createInterface({ input: stdout }), 'line');
  const ended = once(child, 'exit').then(() => {
    throw new Error(`the daemon has ended:\n${log.join('\n')}`);
  });
  ended.catch(() => undefined);
  await Promise.race([answered, ended]);
}

/** As a user writes it, in a file of the project. */
const PROGRAM = `
import { openStore, parseReference, pull, RegistryClient } from 'landfall';
const { entrances, root, reference } = JSON.parse(process.argv[2]);
const imported = [];
for (const entrance of entrances) {
  // One may have types alone.
  await import(entrance.replace('.', 'landfall'));
  imported.push(entrance);
}
const store = await openStore({ root });
const registry = new RegistryClient({ plainHttp: true });
const { layers } = await pull({ store, registry, reference });
await registry.close();
await store.close();
let code;
try { parseReference('NOT A REFERENCE'); } catch (error) { code = error.code; }
console.log(JSON.stringify({ imported, layers: layers.length, code }));
`;
