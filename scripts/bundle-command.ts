/**
 * Makes the published command of what the compiler made of it: `dist/bin/landfall.js`, with its parts in
 * `dist/bin/chunks` and one file for the worker threads. It takes the place of what the compiler wrote there,
 * so the compiler runs before it each time. See docs/internals/decisions/0014-the-command-is-bundled.md.
 */
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type CodeSplittingGroup, type InputOptions, type OutputChunk, rolldown } from 'rolldown';
import { billOfMaterials } from './bill-of-materials.js';
import { licencesOf, packagePathsOf } from './bundled-licences.js';
import { NATIVE_SOURCES, writeNativeFiles } from './native-files.js';
import { parsePackageLock } from './package-lock.js';
import { removeStale } from './remove-stale.js';

const DIST = join(import.meta.dirname, '..');
const ROOT = join(DIST, '..');
const COMMAND = join(DIST, 'bin', 'landfall.js');
const CHUNKS = join(DIST, 'bin', 'chunks');
/**
 * It lies among the chunks, since `src/unpack/workers/worker-pool.ts` looks for it beside the file that it
 * became a part of.
 */
const WORKER = join(CHUNKS, 'worker.js');
/**
 * The daemon reads them when it starts, and looks for them beside what `src/daemon/grpc/grpc-server.ts`
 * became a part of. So do the packages of gRPC that bring their own, once what they say of it is changed.
 */
const PROTOS = 'protos';
const PROTOS_OF_PACKAGES = ['@grpc/reflection/build/proto', 'grpc-health-check/proto'];
const THEIR_PROTOS = /__dirname(\}|, ["'])(\/?)\.\.\/\.\.\/proto(?=[/`])/g;

/**
 * What of undici is never reached: neither HTTP/2 nor the bodies of fetch. Node's part for HTTP/2 would be
 * loaded with it.
 */
const LEFT_OUT = /\/undici\/lib\/(dispatcher\/client-h2|web\/fetch\/body)\.js$/;

/**
 * What `@sindresorhus/is` makes for itself when it is loaded, its messages' formatters first, takes 10 ms; no
 * check of ours needs it.
 */
const IS = '/@sindresorhus/is/distribution/index.js';
const ITS_OWN = /(?<== )(?:new Intl\.ListFormat|Object\.assign)(?=\()/g;

/**
 * What most commands need lies together, since each file takes most of a millisecond to find and load. The
 * first that fits has a module, and what it imports; `--version` is to load the first two only.
 */
const GROUPS: readonly CodeSplittingGroup[] = [
  { name: 'errors', test: /\/src\/errors\.js$/ },
  { name: 'version', test: /\/src\/cli\/output\/version\.js$/ },
  { name: 'spec', test: /\/src\/spec\// },
  {
    name: 'command',
    test: /\/commander\/|\/src\/cli\/(format\/|(config\/(configuration|settings)|options\/options|output\/(command-context|exit-codes|log|several|terminal))\.js$)/,
  },
  { name: 'concurrency', test: /\/src\/concurrency\// },
];

const INPUT: InputOptions = {
  platform: 'node',
  // It finds the file for the machine by itself.
  external: [/^node:/, /^koffi/],
  // What Node is given of it looks for its other parts at run time; there is another one for bundlers.
  resolve: { alias: { 'jsonc-parser$': 'jsonc-parser/lib/esm/main.js' } },
  // Our modules do nothing when they are loaded, so what a command does not use of an index need not be
  // loaded with it.
  treeshake: { moduleSideEffects: (id) => !id.startsWith(join(DIST, 'src')) || id === entryOf(WORKER) },
  plugins: [
    {
      name: 'is-in-part',
      transform: (code, id) => (id.endsWith(IS) ? code.replace(ITS_OWN, '/* @__PURE__ */ $&') : null),
    },
    {
      name: 'undici-in-part',
      load: (id) => (LEFT_OUT.test(id) ? 'module.exports = {};' : null),
      resolveId: (source) => (source === 'undici' ? join(import.meta.dirname, 'bundled-undici.js') : null),
    },
    {
      name: 'protos-beside',
      renderChunk: (code) => code.replace(THEIR_PROTOS, `import.meta.dirname$1$2${PROTOS}`),
    },
  ],
};

/** What the compiler made of an entry. */
function entryOf(file: string): string {
  return file === WORKER ? join(DIST, 'src', 'unpack', 'workers', 'worker.js') : file;
}

const [command, worker] = await Promise.all([bundle(COMMAND), bundle(WORKER)]);
await mkdir(CHUNKS, { recursive: true });
// The command itself comes last: whoever runs it meanwhile finds all its parts, of the old one or of the new
// one.
const files = [...worker, ...command.slice(1), ...command.slice(0, 1)];
for (const { path, code, mode } of files) {
  await writeFile(`${path}.new`, code, { mode });
  await rename(`${path}.new`, path);
}
const protos = join(ROOT, 'src', 'daemon', 'grpc', PROTOS);
for (const beside of [join(DIST, 'src', 'daemon', 'grpc'), CHUNKS])
  await cp(protos, join(beside, PROTOS), { recursive: true });
for (const path of PROTOS_OF_PACKAGES)
  await cp(join(ROOT, 'node_modules', path), join(CHUNKS, PROTOS), {
    recursive: true,
    filter: (file) => !file.includes('/proto/sample'),
  });
const kept = new Set([...files.map(({ path }) => basename(path)), PROTOS]);
for (const name of await readdir(CHUNKS)) if (!kept.has(name)) await rm(join(CHUNKS, name));
// It would tell of the file that was there before.
await rm(`${COMMAND}.map`, { force: true });
const modules = files.flatMap(({ modules: ids }) => ids);
await writeFile(join(DIST, 'bin', 'LICENSES.txt'), await licencesOf(modules));
await writeNativeFiles();
const lock = parsePackageLock(await readFile(join(ROOT, 'package-lock.json'), 'utf8'));
const copied = packagePathsOf([...modules, ...NATIVE_SOURCES], ROOT);
await writeFile(join(DIST, 'sbom.cdx.json'), billOfMaterials(lock, copied));
await removeStale(join(DIST, 'src'), join(DIST, '..', 'src'));

interface BundledFile {
  readonly path: string;
  readonly code: string;
  readonly mode: number;
  /** The files that it was made of. */
  readonly modules: readonly string[];
}

/**
 * The bundle of an entry; its own file is the first. The worker is one file, since each thread needs all of
 * it.
 */
async function bundle(entry: string): Promise<readonly BundledFile[]> {
  await using build = await rolldown({ ...INPUT, input: { [basename(entry, '.js')]: entryOf(entry) } });
  const { output } = await build.generate({
    format: 'esm',
    codeSplitting: entry !== WORKER && { groups: [...GROUPS] },
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
  });
  return output
    .filter((file) => file.type === 'chunk')
    .map((chunk: OutputChunk) => ({
      path: join(dirname(entry), chunk.fileName),
      code: chunk.code,
      mode: entry === COMMAND && chunk.isEntry ? 0o755 : 0o644,
      modules: chunk.moduleIds,
    }));
}
