import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { renderTable } from '../src/cli/format/text.js';
import { systemCode } from '../src/errors.js';
import { type Digest, formatSize, shortDigest } from '../src/spec/index.js';
import { CommandFailed, runForJson, runShown, startRegistry } from './landfall-process.js';
import { renderStore } from './render-store.js';
import { renderTree } from './render-tree.js';

/*
 * The main job for a person to watch: `node dist/scripts/demo.js [REF]`. Everything it writes lies below one temporary
 * directory, which is gone when it ends, however it ends.
 */

const FIXTURE = 'oci:fixtures/image';
const FIXTURE_NAME = 'landfall/demo:1.0';

/** What `pull --output json` says of an image, as far as it is shown here. */
interface Pulled {
  readonly digest: Digest;
  readonly imageId: Digest;
  readonly platform: string;
  readonly layers: readonly { digest: Digest; diffId: Digest; chainId: Digest; size: number }[];
  readonly bytesDownloaded: number;
}

interface Stage {
  readonly directory: string;
  readonly signal: AbortSignal;
}

async function demo(reference: string | undefined, stage: Stage): Promise<void> {
  if (reference !== undefined) {
    await show(reference, stage);
    return;
  }
  heading('A registry');
  command('serve', FIXTURE, '--listen', '127.0.0.1:0');
  await using registry = await startRegistry(FIXTURE, stage);
  print(`  listens on ${registry.host} and serves ${FIXTURE_NAME} for two platforms`);
  await show(`${registry.host}/${FIXTURE_NAME}`, stage);
}

async function show(reference: string, { directory, signal }: Stage): Promise<void> {
  const root = join(directory, 'store');
  const tree = join(directory, 'rootfs');

  heading('Pull: download, verify and unpack');
  command('pull', reference);
  await runShown(['--root', root, 'pull', reference], { signal });

  heading('The same again: what is here is not downloaded twice');
  command('pull', '--output', 'json', reference);
  const again = await runForJson(
    ['--root', root, '--progress', 'none', '--output', 'json', 'pull', reference],
    { signal },
  );
  const [pulled] = again as Pulled[];
  if (pulled === undefined) throw new Error('landfall pull answered without an image');
  print(`  ${formatSize(pulled.bytesDownloaded)} downloaded`);
  print(`  ${pulled.platform}, image ${shortDigest(pulled.imageId)}, resolved to ${pulled.digest}`);

  heading('Layers, bottom first: each is a snapshot under its chain ID');
  print(renderLayers(pulled));

  heading('The merged tree');
  command('unpack', reference, tree);
  await runShown(['--root', root, '--progress', 'none', 'unpack', reference, tree], { signal });
  print(renderTree(tree, { depth: 4, entries: 7 }).trimEnd());

  heading('Where it all lies');
  print(`  ${root}\n${renderStore(root).trimEnd()}`);
  command('mounts', reference);
  await runShown(['--root', root, 'mounts', reference], { signal });
}

function renderLayers({ layers }: Pulled): string {
  return renderTable(
    [
      { title: '  LAYER' },
      { title: 'DIGEST' },
      { title: 'SIZE', align: 'right' },
      { title: 'DIFF ID' },
      { title: 'CHAIN ID' },
    ],
    layers.map(({ digest, size, diffId, chainId }, at) => [
      `  ${at + 1}`,
      shortDigest(digest),
      formatSize(size),
      shortDigest(diffId),
      shortDigest(chainId),
    ]),
  ).trimEnd();
}

function heading(text: string): void {
  print(`\n${text}\n${'-'.repeat(text.length)}`);
}

function command(...words: string[]): void {
  print(`$ landfall ${words.join(' ')}`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Also where an image has directories that their owner may not write to, which stops all but root. */
async function removeTree(directory: string): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true });
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw error;
    await makeWritable(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

async function makeWritable(directory: string): Promise<void> {
  await chmod(directory, 0o700);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await makeWritable(join(directory, entry.name));
  }
}

async function main(args: readonly string[]): Promise<number> {
  const [reference] = args;
  if (args.length > 1 || reference?.startsWith('-') === true) {
    process.stderr.write('usage: npm run demo [-- REF]\n');
    return 2;
  }
  const interruption = new AbortController();
  let interruptedBy: number | undefined;
  for (const [name, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.on(name, () => {
      interruptedBy ??= code;
      interruption.abort();
    });
  }
  const startedAt = performance.now();
  const directory = await mkdtemp(join(tmpdir(), 'landfall-demo-'));
  try {
    await demo(reference, { directory, signal: interruption.signal });
    print(
      `\nDone in ${((performance.now() - startedAt) / 1000).toFixed(1)} s. ${directory} is removed again.`,
    );
    return 0;
  } catch (error) {
    if (interruptedBy !== undefined) return interruptedBy;
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof CommandFailed ? error.exitCode : 1;
  } finally {
    await removeTree(directory);
  }
}

process.exitCode = await main(process.argv.slice(2));
