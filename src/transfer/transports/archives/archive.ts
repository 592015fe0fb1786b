import type { BlobProvider } from '../../../content/index.js';
import type { Abortable, LandfallError } from '../../../errors.js';
import type { ImageIndex } from '../../../spec/index.js';
import type { Declaration } from '../declaration.js';

/** `both`: an OCI layout that also has Docker's `manifest.json`. */
export type ArchiveFormat = 'oci' | 'docker' | 'both';

/** As what an archive is read, whatever it was called by who named it: so a signature policy sees it too. */
export function transportOf({ format }: Pick<Archive, 'format'>): 'oci-archive' | 'docker-archive' {
  return format === 'docker' ? 'docker-archive' : 'oci-archive';
}

/**
 * Many images in one file, to read: an OCI layout in a tar archive (image-spec: image-layout.md), or what
 * `docker save` writes. Of one that is both the OCI side counts. Of the other a manifest is made for each
 * image, always the same one, as containerd makes it: it has a digest, so has its config, which is the
 * image's ID, and so have the layers as they lie there.
 *
 * Its blobs were verified by nobody: whoever reads one checks it. `path` is UNSUPPORTED, since blobs are no
 * files here.
 */
export interface Archive extends BlobProvider, AsyncDisposable {
  /** The file's name, or `standard input`. */
  readonly location: string;
  readonly format: ArchiveFormat;
  /** What it says was left out of its images on purpose, and which images of its set it lacks. */
  readonly declaration: Declaration;
  /**
   * The images, each under its names, as in a layout's `index.json`. Errors: SpecError INVALID_MANIFEST,
   * INVALID_DIGEST, LIMIT_EXCEEDED; BAD_ARCHIVE; the first of {@link faults}.
   */
  index(o?: Abortable): Promise<ImageIndex>;
  /**
   * What is wrong with it that neither its index nor its blobs show: of an archive of Docker, whose manifests
   * are made here, what does not fit its configs. It takes reading all layers, once.
   */
  faults(o?: Abortable): Promise<readonly LandfallError[]>;
}
