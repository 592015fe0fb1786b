import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packedPackage } from '../support/packed-package.js';

const run = promisify(execFile);
const MODULES = resolve('node_modules');

interface Manifest {
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
  readonly dependencies: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;
/** `landfall`, `landfall/registry`, … */
const entries = Object.keys(manifest.exports)
  .filter((path) => path !== './package.json')
  .map((path) => `landfall${path.slice(1)}`);

let project: string;
let installed: string;

/** A project that has what npm would install of the package, and types for Node, but nothing else. */
beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'landfall-consumer-'));
  installed = join(project, 'node_modules/landfall');
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', await packedPackage(), '-C', installed, '--strip-components', '1']);
  for (const name of [...Object.keys(manifest.dependencies), '@types/node', 'undici-types']) {
    const link = join(project, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(MODULES, name), link);
  }
  await writeFile(join(project, 'package.json'), '{ "type": "module" }');
});
afterAll(() => rm(project, { recursive: true }));

/** What a program answers, whatever its exit code: both tell all that is wrong before they fail. */
async function answerOf(tool: string, ...args: readonly string[]): Promise<{ code: number; output: string }> {
  const command = [join(MODULES, '.bin', tool), ...args];
  const done = await run(process.execPath, command, { cwd: project }).catch((error: unknown) => error);
  const { code = 0, stdout, stderr } = done as { code?: number; stdout: string; stderr: string };
  return { code, output: stdout + stderr };
}

/** The modules that the declarations of a file name, and those of all files that it leads to. */
function reachedFrom(file: string, seen: Map<string, readonly string[]>): void {
  if (seen.has(file)) return;
  const named = [...readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*['"]([^'"]+)['"]/g)].map(
    ([, name = '']) => name,
  );
  seen.set(
    file,
    named.filter((name) => !name.startsWith('.')),
  );
  for (const name of named.filter((one) => one.startsWith('.'))) {
    reachedFrom(resolve(dirname(file), name.replace(/\.js$/, '.d.ts')), seen);
  }
}

describe('the types of the package', () => {
  it('are found right by whoever resolves modules as Node or a bundler does', async () => {
    const { code, output } = await answerOf(
      'attw',
      await packedPackage(),
      '--profile',
      'esm-only',
      '--no-color',
      '--format',
      'ascii',
    );
    expect(code, output).toBe(0);
    expect(output.match(/^ ?node16 \(from ESM\): 🟢/gm)).toHaveLength(Object.keys(manifest.exports).length);
  });

  it('and all else that its package.json says are as publint wants them', async () => {
    const { code, output } = await answerOf('publint', 'run', await packedPackage(), '--strict');
    expect(output).toContain('All good!');
    expect(code).toBe(0);
  });

  it('need only packages that are installed with it', () => {
    const seen = new Map<string, readonly string[]>();
    for (const target of Object.values(manifest.exports)) {
      if (typeof target !== 'string') reachedFrom(join(installed, target.types), seen);
    }
    expect(seen.size).toBeGreaterThan(100);
    const packages = new Set(
      [...seen.values()].flat().map((name) =>
        name
          .split('/')
          .slice(0, name.startsWith('@') ? 2 : 1)
          .join('/'),
      ),
    );
    const others = [...packages].filter(
      (name) => !name.startsWith('node:') && !Object.hasOwn(manifest.dependencies, name),
    );
    expect(others).toEqual([]);
  });

  it.each(['node16', 'nodenext', 'bundler'])(
    'are sound to a strict project that resolves as %s',
    async (how) => {
      const examples = readdirSync('examples').filter((name) => name.endsWith('.ts'));
      for (const name of examples) await writeFile(join(project, name), readFileSync(join('examples', name)));
      await writeFile(
        join(project, 'all.ts'),
        entries.map((name, i) => `import * as entry${i} from '${name}';\nvoid entry${i};\n`).join(''),
      );
      await writeFile(
        join(project, 'tsconfig.json'),
        JSON.stringify({
          compilerOptions: {
            target: 'es2022',
            lib: ['es2022', 'esnext.disposable'],
            module: how === 'bundler' ? 'esnext' : how,
            moduleResolution: how,
            types: ['node'],
            strict: true,
            skipLibCheck: false,
            noEmit: true,
          },
          include: ['*.ts'],
        }),
      );
      const { code, output } = await answerOf('tsc', '-p', 'tsconfig.json');
      expect(output).toBe('');
      expect(code).toBe(0);
    },
  );
});

describe('the entries of the package', () => {
  it.each(entries)('%s loads', async (name) => {
    const { stdout } = await run(
      process.execPath,
      ['--input-type=module', '-e', `console.log(Object.keys(await import('${name}')).length)`],
      { cwd: project },
    );
    // Some consist of types alone.
    expect(Number(stdout)).toBeGreaterThanOrEqual(name === 'landfall/unpack' ? 0 : 1);
  });

  it('are all: nothing that lies deeper can be imported', async () => {
    const deep = `import('landfall/dist/src/index.js').then(() => console.log('imported'), ({ code }) => console.log(code))`;
    const { stdout } = await run(process.execPath, ['-e', deep], { cwd: project });
    expect(stdout.trim()).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED');
    expect(existsSync(join(installed, 'dist/src/index.js'))).toBe(true);
    expect(await readdir(join(installed, 'dist'))).not.toContain('test');
  });
});
