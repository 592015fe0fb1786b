import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CommandResult, runCommand } from '../support/landfall-command.js';

const IMAGE = `oci:${resolve('fixtures/image')}`;
const PROGRAM = `
import { copy, openStore, unpackImage } from 'landfall';
import { parseDigest } from 'landfall/spec';
const [root] = process.argv.slice(2);
try {
  await using store = await openStore({ root: root + '/store' });
  await copy({ store, source: ${JSON.stringify(IMAGE)}, destination: 'fleet/app:1' });
  await unpackImage(store, 'fleet/app:1', root + '/tree');
  console.log('unpacked', typeof parseDigest);
} catch (error) {
  console.log(error.code, error.message, error.hint);
}
`;

type Bundler = (input: string, output: string, external: boolean) => Promise<unknown>;
const BUNDLERS: readonly (readonly [string, Bundler])[] = [
  [
    'esbuild',
    (input, output, external) =>
      build({
        entryPoints: [input],
        outfile: output,
        bundle: true,
        platform: 'node',
        format: 'esm',
        target: 'node20',
        external: external ? ['landfall'] : [],
        logLevel: 'error',
      }),
  ],
  [
    'rolldown',
    async (input, output, external) => {
      await using bundle = await rolldown({
        input,
        platform: 'node',
        external: external ? /^landfall(\/|$)/ : [],
        transform: { target: 'node20' },
        logLevel: 'silent',
      });
      await bundle.write({ file: output, codeSplitting: false });
    },
  ],
];

describe.each(BUNDLERS)('a program that %s bundles', (name, bundle) => {
  let work: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), `landfall-${name}-`));
    // As npm lays it: what it needs beside it.
    const modules = join(work, 'node_modules');
    await mkdir(join(modules, 'landfall'), { recursive: true });
    for (const part of ['package.json', 'dist/src', 'dist/native'])
      await cp(part, join(modules, 'landfall', part), { recursive: true });
    await symlink(resolve('node_modules'), join(modules, 'landfall/node_modules'));
    await symlink(resolve('node_modules/koffi'), join(modules, 'koffi'));
    await writeFile(join(work, 'app.mjs'), PROGRAM);
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  const bundled = async (file: string, external: boolean): Promise<CommandResult> => {
    await bundle(join(work, 'app.mjs'), join(work, file), external);
    return await runCommand(process.execPath, [join(work, file), join(work, `root-of-${file}`)], {
      cwd: work,
    });
  };

  it('runs, with landfall left out as the docs say', async () => {
    const { stdout, stderr } = await bundled('left-out.mjs', true);
    expect([stderr, stdout]).toEqual(['', 'unpacked function\n']);
  });

  it('says what to leave out, where landfall is a part of it', async () => {
    const hint =
      'Leave landfall out of the bundle, as with `--external:landfall`, and install it beside the bundle.';
    const { stdout } = await bundled('within.mjs', false);
    expect(stdout).toBe(
      `UNSUPPORTED the native module sqlite3, which keeps the store's database, is not found from inside a bundle ${hint}\n`,
    );
    // With the natives beside it, the file of the worker threads is what is missing.
    for (const native of ['sqlite3', 'zstd-napi'])
      await symlink(resolve('node_modules', native), join(work, 'node_modules', native));
    const again = await bundled('within.mjs', false);
    expect(again.stdout).toBe(
      `UNSUPPORTED the file of the threads that unpack is missing: ${join(work, 'worker.js')} ${hint}\n`,
    );
  });
});
