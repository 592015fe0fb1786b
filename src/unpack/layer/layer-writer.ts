import { systemCode, UnpackError } from '../../errors.js';
import { LIMITS } from '../../spec/index.js';
import {
  fromBytePath,
  linkat,
  mknodat,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  openat,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  symlinkat,
  type BytePath,
  type Resolver,
} from '../../system/index.js';
import { atEntry, badArchive, limitExceeded, printable } from '../archive-error.js';
import { filesystemError } from '../filesystem-error.js';
import type { LayerChanges, LayerForm } from '../layer-snapshotter.js';
import type { TarEntry } from '../archive/tar-entry.js';
import type { TarHandler } from '../archive/tar-reader.js';
import { Warnings } from '../warnings.js';
import { EntryAttributes } from './entry-attributes.js';
import { entryComponents } from './entry-path.js';
import { FileContent } from './file-content.js';
import { finishLayer } from './finish-layer.js';
import type { LayerNode } from './layer-node.js';
import { LayerTree } from './layer-tree.js';
import { meaningOf } from './whiteout-name.js';

export interface LayerWriterOptions {
  readonly form: LayerForm;
  readonly ownership: 'preserve' | 'caller';
  /** Whether device nodes are made. */
  readonly devices: boolean;
  readonly warnings?: Warnings;
  /** How paths are held below the directory; by default the best way that the kernel has. */
  readonly resolver?: Resolver;
}

/**
 * Writes a layer's entries below an empty directory (image-spec layer.md: Applying Changesets), alone: what concerns lower
 * layers is only noted down, in {@link LayerChanges}. An entry replaces what an earlier one made at the same path, but a
 * directory over a directory keeps what is in it.
 *
 * Methods throw UnpackError: UNSAFE_PATH, BAD_ARCHIVE, UNSUPPORTED_ENTRY, LIMIT_EXCEEDED, NO_SPACE, FILESYSTEM. After an error only
 * {@link close} may be called, and it must be called in any case.
 */
export class LayerWriter implements TarHandler {
  readonly #options: LayerWriterOptions;
  readonly #tree: LayerTree;
  readonly #attributes: EntryAttributes;
  readonly #warnings: Warnings;
  #content: FileContent | undefined;
  #links = 0;
  #aclBytes = 0;

  constructor(directory: string, options: LayerWriterOptions) {
    this.#options = options;
    this.#warnings = options.warnings ?? new Warnings();
    this.#attributes = new EntryAttributes({ ownership: options.ownership, warnings: this.#warnings });
    const ownedByRoot = options.ownership === 'preserve';
    this.#tree = new LayerTree(directory, {
      ownedByRoot,
      ...(options.resolver === undefined ? {} : { resolver: options.resolver }),
    });
  }

  get warnings(): readonly string[] {
    return this.#warnings.list();
  }

  entry(entry: TarEntry): void {
    this.#guarded(entry.path, () => this.#place(entry));
  }

  data(chunk: Buffer): void {
    const content = this.#content;
    if (content !== undefined) this.#guarded(content.entry.path, () => content.write(chunk));
  }

  endEntry(): void {
    const content = this.#content;
    if (content === undefined) return;
    this.#guarded(content.entry.path, () => {
      content.finish();
      this.#attributes.setFile(content.fd, content.entry);
    });
    this.#content = undefined;
    content.close();
  }

  /** The archive is at its end: writes the form's whiteouts, and what directories could not have before. */
  finish(): LayerChanges {
    return finishLayer(this.#tree, this.#options.form, this.#attributes);
  }

  /** Closes every descriptor. */
  close(): void {
    this.#content?.close();
    this.#content = undefined;
    this.#tree.close();
  }

  #guarded(path: BytePath, write: () => void): void {
    try {
      write();
    } catch (error) {
      if (error instanceof UnpackError) throw atEntry(error, path);
      throw filesystemError(error, `extracting ${printable(path)}`, { entry: fromBytePath(path) });
    }
  }

  #place(entry: TarEntry): void {
    const components = entryComponents(entry.path);
    const meaning = meaningOf(components);
    if (meaning.kind === 'skipped') return;
    const name = components.pop();
    if (name === undefined) {
      this.#placeRoot(entry);
      return;
    }
    if (meaning.kind === 'entry') {
      this.#placeEntry(this.#tree.ensureDirectory(components), name, entry);
      return;
    }
    // umoci writes a file in place of a directory and whiteouts for all that was in that: they are hidden already.
    const parent = this.#tree.ensureUnlessBlocked(components);
    if (parent === undefined) return;
    if (meaning.kind === 'whiteout') parent.addWhiteout(meaning.hidden);
    else parent.opaque = true;
  }

  #placeRoot(entry: TarEntry): void {
    if (entry.type !== 'directory') throw badArchive('an entry would replace the root of the layer');
    this.#setDirectory(this.#tree.root, entry, false);
  }

  #placeEntry(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    switch (entry.type) {
      case 'file':
        this.#content = new FileContent(this.#create(parent, name, entry), entry);
        return;
      case 'directory':
        this.#placeDirectory(parent, name, entry);
        return;
      case 'symlink':
        this.#placeSymlink(parent, name, entry);
        return;
      case 'link':
        this.#placeLink(parent, name, entry);
        return;
      case 'character':
      case 'block':
      case 'fifo':
        this.#placeNode(parent, name, entry);
    }
  }

  /** Runs what makes a name; where something is at the name, removes that and runs it again. */
  #make<T>(parent: LayerNode, name: BytePath, make: (dirfd: number) => T): { made: T; replaced: boolean } {
    const replaced = parent.removeLink(name);
    try {
      return { made: make(this.#tree.descriptor(parent)), replaced };
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
      this.#tree.remove(parent, name);
      return { made: make(this.#tree.descriptor(parent)), replaced: true };
    }
  }

  #create(parent: LayerNode, name: BytePath, entry: TarEntry): number {
    const flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW;
    return this.#make(parent, name, (dirfd) => openat(dirfd, name, flags, 0o600 | (entry.mode % 0o1000)))
      .made;
  }

  #placeDirectory(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    const present = parent.children.get(name);
    if (present !== undefined) {
      this.#setDirectory(present, entry, false);
      return;
    }
    const { made, replaced } = this.#make(parent, name, () => this.#tree.makeDirectory(parent, name, 0o700));
    // A file that stood here hid what the lower layers have; so does the directory that takes its place.
    made.opaque = replaced;
    this.#setDirectory(made, entry, true);
  }

  #setDirectory(node: LayerNode, entry: TarEntry, isNew: boolean): void {
    const defaultAcl = this.#attributes.beginDirectory(this.#tree.descriptor(node), entry, isNew);
    this.#aclBytes += defaultAcl?.length ?? 0;
    if (this.#aclBytes > LIMITS.paxBytes) {
      throw limitExceeded(
        `the default ACLs of directories have more than ${LIMITS.paxBytes} bytes`,
        entry.path,
      );
    }
    node.attributes = { mode: entry.mode, mtime: entry.mtime, atime: entry.atime ?? entry.mtime, defaultAcl };
  }

  #placeSymlink(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    const target = entry.linkPath;
    if (target === '') throw badArchive('a symbolic link has no target');
    if (target.length >= LIMITS.linkBytes) {
      throw limitExceeded(`the target of a symbolic link has ${target.length} bytes`);
    }
    this.#make(parent, name, (dirfd) => symlinkat(target, dirfd, name));
    this.#attributes.setSpecial(this.#tree.descriptor(parent), name, entry);
  }

  /** A link has no attributes of its own: they are those of the file. */
  #placeLink(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    const target = this.#tree.locate(entryComponents(entry.linkPath));
    const path = target.kind === 'here' ? target.node.pathOf(target.name) : target.path;
    if (`${path}/`.startsWith(`${parent.pathOf(name)}/`)) throw badArchive('a hard link to itself');
    if (target.kind === 'absent') {
      this.#waitForLower(parent, name, path);
      return;
    }
    if (target.node.children.has(target.name)) throw badArchive('a hard link to a directory');
    // A link to what itself waits for a lower layer waits for the same file.
    const waiting = target.node.links.get(target.name);
    if (waiting !== undefined) {
      this.#waitForLower(parent, name, waiting.target);
      return;
    }
    try {
      this.#make(parent, name, (dirfd) =>
        linkat(this.#tree.descriptor(target.node), target.name, dirfd, name),
      );
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      this.#waitForLower(parent, name, path);
    }
  }

  #waitForLower(parent: LayerNode, name: BytePath, target: BytePath): void {
    this.#tree.remove(parent, name);
    parent.addLink(name, { path: parent.pathOf(name), target, order: this.#links++ });
  }

  #placeNode(parent: LayerNode, name: BytePath, entry: TarEntry): void {
    const { major, minor, type } = entry;
    if (type === 'character' && major === 0 && minor === 0) {
      throw new UnpackError(
        'UNSUPPORTED_ENTRY',
        'a character device 0:0, which overlay mounts take for a whiteout',
        {
          hint: 'Build the layer with a .wh. entry where a whiteout is meant.',
        },
      );
    }
    if (type !== 'fifo' && !this.#options.devices) {
      this.#skipNode(parent, name, entry, 'this user may not make devices');
      return;
    }
    const format = type === 'fifo' ? S_IFIFO : type === 'block' ? S_IFBLK : S_IFCHR;
    try {
      this.#make(parent, name, (dirfd) => mknodat(dirfd, name, format | 0o600, major, minor));
    } catch (error) {
      if (systemCode(error) !== 'EPERM' || this.#options.devices) throw error;
      this.#skipNode(parent, name, entry, 'the system refuses to make it');
      return;
    }
    this.#attributes.setSpecial(this.#tree.descriptor(parent), name, entry);
  }

  /** What the lower layers have at the name must not show through. */
  #skipNode(parent: LayerNode, name: BytePath, entry: TarEntry, reason: string): void {
    this.#tree.remove(parent, name);
    parent.addWhiteout(name);
    const kind = { character: 'character devices', block: 'block devices', fifo: 'fifos' }[
      entry.type as 'character' | 'block' | 'fifo'
    ];
    this.#warnings.once(kind, `${kind} are left out, ${reason}; the first is ${printable(entry.path)}`);
  }
}
