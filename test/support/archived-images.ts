import { OciLayout } from '../../src/content/index.js';
import type { Descriptor } from '../../src/spec/index.js';
import { copy } from '../../src/transfer/copy/copy.js';
import type { PlatformChoice } from '../../src/transfer/copy/copy-request.js';
import { CopySession } from '../../src/transfer/copy/copy-session.js';
import type { DestinationTransport } from '../../src/transfer/transports/destination.js';
import {
  ArchiveDestination,
  type ArchiveDestinationOptions,
} from '../../src/transfer/transports/archives/archive-destination.js';
import { LayoutTransport } from '../../src/transfer/transports/layout-transport.js';
import type { TinyLayout } from './tiny-image.js';

/** An image that goes into an archive: `docker.io/team/app`, and its tag. */
export interface ArchivedImage {
  readonly layout: TinyLayout;
  readonly repository: string;
  readonly tag?: string;
  readonly platforms?: PlatformChoice;
}

/** Copies the images of layouts to a place, and ends it. */
export async function putImages(
  place: DestinationTransport,
  images: readonly ArchivedImage[],
): Promise<Descriptor[]> {
  const session = new CopySession();
  const targets: Descriptor[] = [];
  for (const { layout, repository, tag, platforms = 'present' } of images) {
    const content = await OciLayout.open(layout.dir);
    const source = new LayoutTransport({ content, location: `oci:${layout.dir}`, path: layout.dir });
    const request = { from: '', tag, platforms };
    const report = await copy(source.repository(''), place.repository(repository), request, session);
    targets.push(report.target);
  }
  await place.finish();
  return targets;
}

/** Writes an archive of images. */
export async function writeArchive(
  file: string,
  images: readonly ArchivedImage[],
  options: ArchiveDestinationOptions = {},
): Promise<Descriptor[]> {
  await using place = await ArchiveDestination.open({ file }, options);
  return await putImages(place, images);
}
