import type { ImageSummary } from '../engine/images.js';
import { familiarReference, parseReference, shortDigest } from '../spec/index.js';
import { formatAge } from './format/duration.js';
import { formatSize } from './format/size.js';
import { renderTable } from './format/table.js';

export interface RenderImagesOptions {
  /** Columns; absent: as wide as it gets. */
  readonly width?: number | undefined;
}

/**
 * Images as a table. SIZE is what an image takes on the disk, blobs and unpacked layers; UNIQUE of that what no other image
 * needs, SHARED the rest.
 */
export function renderImages(
  images: readonly ImageSummary[],
  now: Date,
  options: RenderImagesOptions = {},
): string {
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
      // Where there are no such images, nobody need read of them.
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
