import { childForPlatform, readManifest, readVerified } from '../../engine/images/read-manifest.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  formatSize,
  parsePlatform,
  type Platform,
  shortDigest,
} from '../../spec/index.js';
import { type GraphNode, imageGraph } from '../../transfer/transports/image-graph.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { branches, drawTree, printable } from '../format/text.js';
import { type OpenedImage, OpenedImages } from '../images/opened-images.js';
import { showsUnicode, tableWidth } from '../output/terminal.js';

export interface TreeFlags {
  readonly platform?: string;
  /** False with `--no-referrers`. */
  readonly referrers: boolean;
}

/** Shows what an image consists of, and what refers to it. */
export async function treeCommand(source: string, flags: TreeFlags, context: CommandContext): CommandResult {
  const { signal, log, env, stdout } = context;
  await using images = new OpenedImages(context);
  const { name, target, repository, content, isRemote } = await images.image(source);
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  if (platform !== undefined) await requirePlatform({ target, content }, platform);
  const graph = await imageGraph(target, {
    repository,
    content,
    isLocal: !isRemote,
    platform,
    referrers: flags.referrers,
    signal,
    onWarning: (message) => log.warn(message),
  });
  const json = { name, ...graphInfo(graph, { isLocal: !isRemote }) };
  answer(context, json, () =>
    renderGraph(name, graph, { unicode: showsUnicode(env), width: tableWidth(stdout, env) }),
  );
  return 0;
}

/** @throws {SpecError} NO_MATCHING_PLATFORM for an index that has nothing for it */
async function requirePlatform(
  { target, content }: Pick<OpenedImage, 'target' | 'content'>,
  platform: Platform,
): Promise<void> {
  const document = await readManifest(content, target);
  if (document.kind === 'manifest') return;
  await childForPlatform(target, document, platform, (d) => readVerified(content, d));
}

/**
 * What `tree` tells of each thing: docs/json-output.md. It is not said to be here where that is not known
 * without fetching it.
 */
export function graphInfo(node: GraphNode, { isLocal }: { readonly isLocal: boolean }): object {
  const { role, descriptor, artifactType, tag, uses, isRepeated, isMissing } = node;
  const { mediaType, digest, size, annotations } = descriptor;
  return {
    ...{ role, mediaType, digest, size, platform: platformText(descriptor), artifactType, tag, annotations },
    ...{ uses, repeated: isRepeated, here: isLocal && isMissing !== undefined ? !isMissing : undefined },
    children: node.children.map((child) => graphInfo(child, { isLocal })),
    referrers: node.referrers.map((referrer) => graphInfo(referrer, { isLocal })),
  };
}

/** A node as it is drawn, which is below another one as a part of it or as what refers to it. */
interface Shown {
  readonly node: GraphNode;
  readonly isReferrer: boolean;
}

/**
 * The tree for people: what it is, digest, size, and what else is worth saying. Names and types were written
 * by others.
 */
export function renderGraph(
  name: string,
  root: GraphNode,
  { unicode, width: limit }: { readonly unicode: boolean; readonly width?: number | undefined },
): string {
  const below = ({ node }: Shown): readonly Shown[] => [
    ...node.children.map((child) => ({ node: child, isReferrer: false })),
    ...node.referrers.map((referrer) => ({ node: referrer, isReferrer: true })),
  ];
  const drawn = drawTree([{ node: root, isReferrer: false }], below, branches({ unicode }));
  const lines = [...drawn].map(({ node, branch }) => ({
    title: `${branch}${titleOf(node)}`,
    digest: node.node.descriptor.digest,
    size: formatSize(node.node.descriptor.size),
    notes: notesOf(node.node, unicode),
  }));
  return `${[printable(name), ...alignedLines(lines, limit)].join('\n')}\n`;
}

/** A line of a drawn tree: its branches with what it is, then the other columns. */
export interface TreeLine {
  readonly title: string;
  readonly digest: Digest;
  readonly size: string;
  readonly notes: string;
}

/** The lines in columns. Digests are cut where a terminal would break the lines, and the tree with them. */
export function alignedLines(lines: readonly TreeLine[], limit: number | undefined): readonly string[] {
  const widest = Math.max(...lines.map(({ title }) => title.length));
  const widestSize = Math.max(...lines.map(({ size }) => size.length));
  const draw = (shown: (digest: Digest) => string): readonly string[] =>
    lines.map(({ title, digest, size, notes }) =>
      [title.padEnd(widest), shown(digest), size.padStart(widestSize), notes].join('  ').trimEnd(),
    );
  const whole = draw((digest) => digest);
  const isTooWide = limit !== undefined && whole.some((line) => line.length > limit);
  return isTooWide ? draw((digest) => shortDigest(digest)) : whole;
}

function titleOf({ node, isReferrer }: Shown): string {
  const { role, descriptor, artifactType, tag } = node;
  const platform = platformText(descriptor);
  if (!isReferrer) return platform === undefined ? role : `${role} ${printable(platform)}`;
  const what =
    tag === undefined
      ? (artifactType ?? descriptor.mediaType)
      : `.${tag.split('.').at(-1) ?? ''} (by its tag)`;
  return `referrer ${printable(what)}`;
}

function notesOf({ uses, isRepeated, isMissing }: GraphNode, unicode: boolean): string {
  const notes = [
    ...(uses > 1 ? [`${unicode ? '×' : 'x'}${uses}`] : []),
    ...(isRepeated ? ['see above'] : []),
    ...(isMissing === true ? ['not here'] : []),
  ];
  return notes.join(', ');
}

/** An attestation says that it is for no platform. */
function platformText({ platform }: Descriptor): string | undefined {
  if (platform === undefined || platform.os === 'unknown') return undefined;
  return formatPlatform(platform);
}
