import { quoted } from '../../spec/index.js';
import { fromBytePath, toBytePath } from '../../system/index.js';
import { findPath, type FoundPath, type ViewedFile } from '../../unpack/index.js';
import { writeBytes } from '../output/bytes-output.js';
import type { CommandContext, CommandResult } from '../output/command-context.js';
import { OpenedImages } from '../images/opened-images.js';
import { openViews } from '../images/open-views.js';
import { invalidConfig } from '../config/settings.js';

export interface CatFlags {
  readonly platform?: string;
  readonly file?: string;
}

/** Writes a file of an image, wherever that lies, without unpacking it. */
export async function catCommand(
  source: string,
  path: string,
  flags: CatFlags,
  context: CommandContext,
): CommandResult {
  await using images = new OpenedImages(context);
  const opened = await images.layers(source, flags.platform);
  await using views = await openViews(context, { images, opened: [opened] }, { keep: true });
  const [stack] = views.stacks;
  if (stack === undefined) return 0;
  const file = fileOf(await findPath(stack.root, toBytePath(path)), path);
  await writeBytes(
    views.readFile(file),
    { file: flags.file, what: quoted(path), info: { name: opened.name, path } },
    context,
  );
  return 0;
}

/** @throws {LandfallError} INVALID_CONFIG where it has no content */
function fileOf({ node, path }: FoundPath, typed: string): ViewedFile {
  if (node.kind === 'file' && node.file.type === 'file') return node;
  const what = node.kind === 'file' ? NAMES[node.file.type] : NAMES[node.kind];
  const absolute = `/${fromBytePath(path)}`;
  throw invalidConfig(`${quoted(typed)} is ${what}, and has no content`, {
    hint:
      node.kind === 'directory' ? `List it with \`landfall ls\`.` : '`landfall ls --long` shows its type.',
    details: { path: absolute },
  });
}

const NAMES = {
  file: 'a file',
  directory: 'a directory',
  symlink: 'a symbolic link',
  character: 'a character device',
  block: 'a block device',
  fifo: 'a pipe',
  link: 'a hard link to a file of another layer',
} as const;
