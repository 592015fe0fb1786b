import { type Referrer, referrerTree } from '../../engine/images/referrer-tree.js';
import { type Abortable, isLandfallError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  type Descriptor,
  formatReference,
  formatSize,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import { cosignReferrers } from '../../transfer/transports/image-graph.js';
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
  // cosign's tags have no artifact type.
  const tagged = artifactType === undefined ? await byTag(registry, reference, target, { signal }) : [];
  const { digest, mediaType, size } = target;
  const json = {
    reference: formatReference(reference),
    digest,
    mediaType,
    size,
    referrers: referrers.map(referrerJson),
    cosignTags: tagged.map(({ tag, descriptor }) => ({ tag, ...descriptor })),
  };
  answer(context, json, () =>
    renderReferrers(`${repositoryName(reference)}@${digest}`, [...referrers, ...tagged], {
      unicode: showsUnicode(env),
      width: tableWidth(context.stdout, env),
    }),
  );
  return 0;
}

/** An artifact beside an image under one of cosign's tags, which name its digest. */
interface TaggedReferrer extends Referrer {
  /** `sha256-….sig` */
  readonly tag: string;
}

async function byTag(
  registry: RegistryClient,
  { registry: host, repository }: Reference,
  { digest }: Descriptor,
  { signal }: Abortable,
): Promise<readonly TaggedReferrer[]> {
  const resolver = registry.resolver();
  const resolve = (tag: string): Promise<Descriptor | undefined> =>
    resolver.resolve({ registry: host, repository, tag }, { signal }).catch((error: unknown) => {
      if (isLandfallError(error) && error.code === 'NOT_FOUND') return undefined;
      throw error;
    });
  const found = await cosignReferrers({ resolve }, digest, { signal });
  return found.map((each) => ({ ...each, referrers: [] }));
}

function referrerJson({ descriptor, referrers }: Referrer): object {
  const { digest, mediaType, artifactType, size, annotations = {} }: Descriptor = descriptor;
  return { digest, mediaType, artifactType, size, annotations, referrers: referrers.map(referrerJson) };
}

/** The content under each of cosign's tags, by its end. */
const BY_COSIGN: Readonly<Record<string, string>> = {
  sig: "signatures (cosign's tag)",
  att: "attestations (cosign's tag)",
  sbom: "SBOM (cosign's tag)",
};

const CREATED = 'org.opencontainers.image.created';

/**
 * The tree of what refers to an image: type, digest, size of the manifest, and when it was made. All but the
 * digests was written by others.
 */
export function renderReferrers(
  root: string,
  referrers: readonly (Referrer | TaggedReferrer)[],
  { unicode, width: limit }: { readonly unicode: boolean; readonly width?: number | undefined },
): string {
  if (referrers.length === 0) return `${root}\nnothing refers to it\n`;
  const below = (one: Referrer | TaggedReferrer): readonly (Referrer | TaggedReferrer)[] => one.referrers;
  const drawn = drawTree(referrers, below, branches({ unicode }));
  const lines = [...drawn].map(({ node, branch }) => lineOf(node, branch));
  return `${[root, ...alignedLines(lines, limit)].join('\n')}\n`;
}

/** Its title is the branches and the type. */
function lineOf(referrer: Referrer | TaggedReferrer, branch: string): TreeLine {
  const { artifactType = '', mediaType, digest, size, annotations } = referrer.descriptor;
  const byCosign = 'tag' in referrer ? BY_COSIGN[referrer.tag.split('.').at(-1) ?? ''] : undefined;
  const title = `${branch}${byCosign ?? printable(artifactType === '' ? mediaType : artifactType)}`;
  return { title, digest, size: formatSize(size), notes: printable(annotations?.[CREATED] ?? '') };
}
