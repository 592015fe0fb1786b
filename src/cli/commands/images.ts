import { type ImageSummary, listImages } from '../../engine/images.js';
import { LandfallError } from '../../errors.js';
import { familiarReference, parseReference, shortDigest } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { formatAge } from '../format/duration.js';
import { formatSize } from '../format/size.js';
import { renderTable } from '../format/table.js';
import { matchesGlob } from '../glob.js';
import { withStore } from '../with-store.js';

export interface ImagesFlags {
  readonly quiet?: boolean;
  readonly filter?: readonly string[];
}

export async function imagesCommand(flags: ImagesFlags, context: CommandContext): CommandResult {
  const globs = (flags.filter ?? []).map(parseFilter);
  const images = await withStore(context, (store) => listImages(store));
  const shown = images.filter(({ name }) =>
    globs.every((glob) => namesOf(name).some((n) => matchesGlob(glob, n))),
  );
  const digests = [...new Set(shown.map((image) => image.digest))];
  answer(context, flags.quiet === true ? digests : shown, () =>
    flags.quiet === true ? digests.map((digest) => `${digest}\n`).join('') : renderImages(shown, context),
  );
  return 0;
}

function parseFilter(text: string): string {
  const glob = /^reference=(.+)$/s.exec(text)?.[1];
  if (glob !== undefined) return glob;
  throw new LandfallError('INVALID_CONFIG', `${JSON.stringify(text)} is not a filter`, {
    hint: "Write --filter reference=GLOB, for example --filter 'reference=debian:*'.",
  });
}

/** A filter may be written for either form of a name. */
function namesOf(name: string): readonly string[] {
  return [name, familiarReference(parseReference(name))];
}

function renderImages(images: readonly ImageSummary[], { stdout }: CommandContext): string {
  const now = new Date();
  return renderTable(
    [
      { title: 'REPOSITORY', shrinks: true },
      { title: 'TAG', shrinks: true },
      { title: 'DIGEST' },
      { title: 'PLATFORM', shrinks: true },
      { title: 'SIZE', align: 'right' },
      { title: 'CREATED' },
    ],
    images.map((image) => {
      const { tag, ...reference } = parseReference(image.name);
      const repository = familiarReference({
        registry: reference.registry,
        repository: reference.repository,
      });
      return [
        repository,
        tag ?? '-',
        shortDigest(image.digest),
        image.platforms.join(', '),
        formatSize(image.size),
        formatAge(image.createdAt, now),
      ];
    }),
    { width: stdout.isTTY === true ? stdout.columns : undefined },
  );
}
