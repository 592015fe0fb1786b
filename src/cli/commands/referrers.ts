import { type Referrer, referrerTree } from '../../engine/referrer-tree.js';
import { type Descriptor, formatReference, repositoryName } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { openRegistry } from '../open-registry.js';
import { parseRegistryName } from '../registry-name.js';
import { renderReferrers } from '../render-referrers.js';
import { showsUnicode, tableWidth } from '../terminal.js';

export interface ReferrersFlags {
  readonly artifactType?: string;
}

/** Shows what refers to an image at its registry, and what refers to that. */
export async function referrersCommand(
  name: string,
  { artifactType }: ReferrersFlags,
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
