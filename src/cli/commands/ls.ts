import { formatPlatform } from '../../spec/index.js';
import { fromBytePath, toBytePath, type BytePath } from '../../system/index.js';
import type { ImageViews } from '../../transfer/image-views.js';
import { entryOf, findPath, type TreeEntry, walkTree } from '../../unpack/index.js';
import type { CommandContext, CommandResult } from '../output/command-context.js';
import { jsonWithList, longColumns, nameWithTarget, nodeInfo, pathInfo } from './tree-entry-info.js';
import { printable } from '../format/text.js';
import { OpenedImages, type OpenedLayers } from '../images/opened-images.js';
import { openViews } from '../images/open-views.js';
import { writeAll } from '../output/bytes-output.js';

export interface LsFlags {
  readonly platform?: string;
  readonly long?: boolean;
  readonly recursive?: boolean;
  readonly directory?: boolean;
  readonly null?: boolean;
}

/** Something that is listed, and what it is called there. */
interface Listed {
  readonly label: BytePath;
  readonly entry: TreeEntry;
}

/** Lists a directory of an image, wherever that lies, without unpacking it. */
export async function lsCommand(
  source: string,
  path: string,
  flags: LsFlags,
  context: CommandContext,
): CommandResult {
  await using images = new OpenedImages(context);
  const opened = await images.layers(source, flags.platform);
  await using views = await openViews(context, { images, opened: [opened] });
  const entries = (): AsyncIterable<Listed> => listed(views, path, flags, context);
  await writeAll(context, render(entries, { ...sourceInfo(opened), path }, flags, context));
  return 0;
}

/** As `ls` has it, a symlink is followed unless it is itself what is to be described. */
async function* listed(
  { stacks }: ImageViews,
  path: string,
  { long = false, recursive = false, directory = false }: LsFlags,
  { signal }: CommandContext,
): AsyncGenerator<Listed, void, undefined> {
  const [stack] = stacks;
  if (stack === undefined) return;
  const typed = toBytePath(path);
  const found = await findPath(stack.root, typed, { follow: !long && !directory });
  if (found.node.kind !== 'directory' || directory) {
    yield { label: typed, entry: await entryOf(found.path, typed, found.node) };
    return;
  }
  for await (const entry of walkTree(found.node, { recursive, signal })) {
    yield { label: recursive ? `/${entry.path}` : entry.name, entry };
  }
}

async function* render(
  entries: () => AsyncIterable<Listed>,
  head: object,
  flags: LsFlags,
  { settings }: CommandContext,
): AsyncGenerator<string | Buffer, void, undefined> {
  if (settings.output === 'json') {
    yield* jsonWithList(head, 'entries', info(entries()));
  } else if (flags.null === true) {
    for await (const { label } of entries()) yield Buffer.from(`${label}\0`, 'latin1');
  } else if (flags.long === true) {
    yield* longLines(entries);
  } else {
    for await (const { label } of entries()) yield `${printable(fromBytePath(label))}\n`;
  }
}

async function* info(entries: AsyncIterable<Listed>): AsyncGenerator<object, void, undefined> {
  for await (const { entry } of entries) yield { ...pathInfo(entry.path), ...nodeInfo(entry) };
}

const SIZE_COLUMN = 2;

/** Goes through all of them twice, since there may be more than can be kept as text. */
async function* longLines(entries: () => AsyncIterable<Listed>): AsyncGenerator<string, void, undefined> {
  const widths: number[] = [];
  for await (const { entry } of entries()) {
    for (const [at, { length }] of longColumns(entry).entries())
      widths[at] = Math.max(widths[at] ?? 0, length);
  }
  for await (const { label, entry } of entries()) {
    const cells = longColumns(entry).map((cell, at) =>
      at === SIZE_COLUMN ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0),
    );
    yield `${[...cells, nameWithTarget(label, entry)].join('  ')}\n`;
  }
}

/** The image or layer that is listed. */
function sourceInfo(opened: OpenedLayers): object {
  const { name } = opened;
  if (opened.kind === 'layer') return { name, layer: opened.layer.descriptor.digest };
  const { manifestDescriptor, platform } = opened.image;
  return { name, digest: manifestDescriptor.digest, platform: formatPlatform(platform) };
}
