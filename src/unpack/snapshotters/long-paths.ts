import { closeSync } from 'node:fs';
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_PATH, openat, procFdPath } from '../../system/index.js';

/** Longer paths go on from an open directory; the kernel takes 4095 bytes, of which a name may be 255. */
const LONGEST = 2048;

/** An open directory, and how many places are reached from it. */
interface Base {
  readonly fd: number;
  places: number;
}

/** A file, by a path that the kernel takes. */
export interface LongPlace {
  readonly path: Buffer;
  readonly base: Base | undefined;
}

/** Paths of a tree of any depth, for a walk that leaves each place once. */
export class LongPaths implements Disposable {
  readonly #bases = new Set<Base>();

  /** @param path - absolute */
  start(path: Buffer): LongPlace {
    return { path, base: undefined };
  }

  /**
   * The places of names in a directory.
   *
   * @throws SystemError
   */
  below(directory: LongPlace, names: readonly Buffer[]): LongPlace[] {
    const { path, base } = directory.path.length > LONGEST ? this.#rebase(directory) : directory;
    if (base !== undefined) base.places += names.length;
    const places = names.map((name) => ({ path: Buffer.concat([path, Buffer.from('/'), name]), base }));
    this.#closeUnused(base);
    return places;
  }

  leave({ base }: LongPlace): void {
    if (base === undefined) return;
    base.places -= 1;
    this.#closeUnused(base);
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#bases) closeSync(fd);
    this.#bases.clear();
  }

  #rebase({ path }: LongPlace): LongPlace {
    const fd = openat(AT_FDCWD, path.toString('latin1'), O_PATH | O_DIRECTORY | O_NOFOLLOW);
    const base = { fd, places: 0 };
    this.#bases.add(base);
    return { path: Buffer.from(procFdPath(fd)), base };
  }

  #closeUnused(base: Base | undefined): void {
    if (base === undefined || base.places > 0 || !this.#bases.delete(base)) return;
    closeSync(base.fd);
  }
}
