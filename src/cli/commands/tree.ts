import { documentLimit, readManifest, readVerified } from '../../engine/read-document.js';
import { childForPlatform } from '../../engine/select-manifest.js';
import { parsePlatform, type Platform } from '../../spec/index.js';
import { imageGraph } from '../../transfer/image-graph.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { graphFacts, renderGraph } from '../image-tree-facts.js';
import { type OpenedImage, OpenedImages } from '../opened-images.js';
import { showsUnicode, tableWidth } from '../terminal.js';

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
  const json = { name, ...graphFacts(graph, { isLocal: !isRemote }) };
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
  await childForPlatform(target, document, platform, (d) => readVerified(content, d, documentLimit(d)));
}
