import { type Referrer, referrerTree } from '../../engine/images/referrer-tree.js';
import { type Descriptor, formatReference, formatSize, repositoryName } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { branches, drawTree, printable } from '../format/text.js';
import { openRegistry } from '../images/open-registry.js';
import { parseRegistryName } from './tags.js';
import { alignedLines, type TreeLine } from './tree.js';
import { showsUnicode, tableWidth } from '../output/terminal.js';

/** Shows what refers to an image at its registry, and what refers to that. */
export async function referrersCommand(
  name: string,
  { artifactType }: { readonly artifactType?: string },
  context: CommandContext,
): CommandResult {
  const { signal, log, env } = context;
  const reference = parseRegistryName(name);
  await using registry = await openRegistry(context, [formatReference(reference)]);
  const target = await registry.resolver().resolve(reference, { signal });
  const referrers = await referrerTree(target.digest, {
    repository: registry.repository(reference),
    ...(artifactType === undefined ? {} : { artifactType }),
    signal,
    onWarning: (message) => log.warn(message),
  });
  const { digest, mediaType, size } = target;
  const json = {
    reference: formatReference(reference),
    digest,
    mediaType,
    size,
    referrers: referrers.map(referrerJson),
  };
  answer(context, json, () =>
    renderReferrers(`${repositoryName(reference)}@${digest}`, referrers, {
      unicode: showsUnicode(env),
      width: tableWidth(context.stdout, env),
    }),
  );
  return 0;
}

function referrerJson({ descriptor, referrers }: Referrer): object {
  const { digest, mediaType, artifactType, size, annotations = {} }: Descriptor = descriptor;
  return { digest, mediaType, artifactType, size, annotations, referrers: referrers.map(referrerJson) };
}

const CREATED = 'org.opencontainers.image.created';

/**
 * The tree of what refers to an image: type, digest, size of the manifest, and when it was made. All but the
 * digests was written by others.
 */
export function renderReferrers(
  root: string,
  referrers: readonly Referrer[],
  { unicode, width: limit }: { readonly unicode: boolean; readonly width?: number | undefined },
): string {
  if (referrers.length === 0) return `${root}\nnothing refers to it\n`;
  const drawn = drawTree(referrers, (one) => one.referrers, branches({ unicode }));
  const lines = [...drawn].map(({ node, branch }) => lineOf(node, branch));
  return `${[root, ...alignedLines(lines, limit)].join('\n')}\n`;
}

/** Its title is the branches and the type. */
function lineOf({ descriptor }: Referrer, branch: string): TreeLine {
  const { artifactType = '', mediaType, digest, size, annotations } = descriptor;
  const title = `${branch}${printable(artifactType === '' ? mediaType : artifactType)}`;
  return { title, digest, size: formatSize(size), notes: printable(annotations?.[CREATED] ?? '') };
}
