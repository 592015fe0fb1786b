import { type ImageSummary, listImages } from '../../engine/images/images.js';
import { familiarReference, formatSize, matchesGlob, parseReference, shortDigest } from '../../spec/index.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { formatAge, renderTable, type TableOptions } from '../format/text.js';
import { tableWidth } from '../output/terminal.js';
import { withStore } from '../images/with-store.js';
import { invalidConfig } from '../config/settings.js';

export interface ImagesFlags {
  readonly quiet?: boolean;
  readonly filter?: readonly string[];
}

export async function imagesCommand(flags: ImagesFlags, context: CommandContext): CommandResult {
  const filters = (flags.filter ?? []).map(parseImageFilter);
  const images = await withStore(context, (store) => listImages(store));
  const shown = images.filter((image) => filters.every((fits) => fits(image)));
  const { stdout, env } = context;
  if (flags.quiet === true) {
    const digests = [...new Set(shown.map(({ digest }) => digest))];
    answer(context, digests, () => digests.map((digest) => `${digest}\n`).join(''));
  } else {
    answer(context, shown, () => renderImages(shown, new Date(), { width: tableWidth(stdout, env) }));
  }
  return 0;
}

/**
 * Images as a table. SIZE is what an image takes on the disk, blobs and unpacked layers; UNIQUE of that what
 * no other image needs, SHARED the rest.
 */
export function renderImages(images: readonly ImageSummary[], now: Date, options: TableOptions = {}): string {
  const somewhereElse = images.some(({ additionalRoot }) => additionalRoot !== undefined);
  return renderTable(
    [
      { title: 'REPOSITORY', shrinks: true, keeps: 'end' },
      { title: 'TAG', shrinks: true },
      { title: 'DIGEST' },
      { title: 'PLATFORM', shrinks: true },
      { title: 'SIZE', align: 'right' },
      { title: 'UNIQUE', align: 'right', optional: true },
      { title: 'SHARED', align: 'right', optional: true },
      { title: 'PINNED' },
      { title: 'CREATED', optional: true },
      { title: 'LAST USED', optional: true },
      // Without such images the column would be empty.
      ...(somewhereElse ? [{ title: 'ADDITIONAL ROOT', shrinks: true }] : []),
    ],
    images.map((image) => {
      const { tag, registry, repository } = parseReference(image.name);
      return [
        familiarReference({ registry, repository }),
        tag ?? '-',
        shortDigest(image.digest),
        image.platforms.join(', '),
        formatSize(image.size + image.snapshotSize),
        formatSize(image.unique),
        formatSize(image.shared),
        image.pinned ? 'yes' : '',
        formatAge(image.createdAt, now),
        formatAge(image.usedAt, now),
        ...(somewhereElse ? [image.additionalRoot ?? ''] : []),
      ];
    }),
    options,
  );
}

/** The properties of an image that filters look at. */
export interface FilteredImage {
  /** Canonical. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pinned: boolean;
}

export type ImageFilter = (image: FilteredImage) => boolean;

/**
 * A filter as docker's `--filter` has it: `reference=GLOB`, `label=KEY`, `label=KEY=VALUE`, `pinned=true`,
 * `pinned=false`. Errors: INVALID_CONFIG.
 */
export function parseImageFilter(text: string): ImageFilter {
  const [, key = '', value = ''] = /^(\w+)=(.+)$/s.exec(text) ?? [];
  if (key === 'reference') return ({ name }) => namesOf(name).some((one) => matchesGlob(value, one));
  if (key === 'label') return labelFilter(value);
  if (key === 'pinned' && (value === 'true' || value === 'false'))
    return ({ pinned }) => pinned === (value === 'true');
  throw invalidConfig(`${JSON.stringify(text)} is not a filter`, {
    hint: 'Write --filter reference=GLOB, label=KEY, label=KEY=VALUE or pinned=true; for example reference=debian:*.',
  });
}

function labelFilter(text: string): ImageFilter {
  const at = text.indexOf('=');
  if (at < 0) return ({ labels }) => Object.hasOwn(labels, text);
  const key = text.slice(0, at);
  const value = text.slice(at + 1);
  return ({ labels }) => Object.hasOwn(labels, key) && labels[key] === value;
}

/** A filter may be written for either form of a name. */
function namesOf(name: string): readonly string[] {
  return [name, familiarReference(parseReference(name))];
}
