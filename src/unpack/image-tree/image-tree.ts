import type { BytePath } from '../../system/index.js';
import type { TarEntryType, TarTime } from '../archive/tar-entry.js';

/*
 * The merged root file system of an image in memory: names and attributes, no content. It is what unpacking the layers as root
 * leaves (image-spec layer.md: Applying Changesets), with owners, devices and extended attributes that this user could
 * not make.
 */

/** What a layer says of a file or directory beside what it is. */
export interface ImageAttributes {
  /** Permissions with setuid, setgid and sticky bit. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: TarTime;
  readonly atime?: TarTime;
  readonly xattrs: ReadonlyMap<BytePath, Buffer>;
}

/** The entry of an archive that made something. */
export interface EntryPosition {
  /** Place of the layer in the image, from 0. */
  readonly layer: number;
  /** Place of the entry in the layer's archive, from 0, extended headers not counted. */
  readonly entry: number;
}

/** Anything but a directory. Its hard links are one object under several names. */
export interface ImageFile extends ImageAttributes, EntryPosition {
  readonly type: Exclude<TarEntryType, 'directory' | 'link'>;
  /** The target of a symlink, else empty. */
  readonly linkPath: BytePath;
  /** Bytes; 0 for all that has no content. */
  readonly size: number;
  /** Of a device, else 0. */
  readonly major: number;
  readonly minor: number;
  /** Whether it ever had a second name. */
  linked: boolean;
}

/** One directory, and what is in it. */
export class ImageDirectory implements EntryPosition {
  /** Undefined for the root. */
  readonly parent: ImageDirectory | undefined;
  readonly name: BytePath;
  readonly layer: number;
  readonly entry: number;
  /** Undefined where no layer lists it, but only things below it: see {@link UNLISTED}. */
  attributes: ImageAttributes | undefined;
  /** The directories in it. */
  readonly children: Map<BytePath, ImageDirectory> = new Map<BytePath, ImageDirectory>();
  /** All else. */
  readonly files: Map<BytePath, ImageFile>;

  constructor(
    parent: ImageDirectory | undefined,
    name: BytePath,
    { layer, entry }: EntryPosition,
    files: Map<BytePath, ImageFile> = new Map<BytePath, ImageFile>(),
  ) {
    this.parent = parent;
    this.name = name;
    this.layer = layer;
    this.entry = entry;
    this.files = files;
  }

  /** From the root, which is `''`. */
  get path(): BytePath {
    return this.parent === undefined ? '' : this.parent.pathOf(this.name);
  }

  pathOf(name: BytePath): BytePath {
    const { path } = this;
    return path === '' ? name : `${path}/${name}`;
  }
}

/** What a directory is that no layer lists. Its time would be that of unpacking; a fixed one makes an image one archive. */
export const UNLISTED: ImageAttributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  xattrs: new Map(),
};
