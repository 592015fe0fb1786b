import { LIMITS } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import { isWhiteoutName } from './whiteout-name.js';

/** A name in a directory. */
export interface NamedPlace<N> {
  readonly parent: N;
  readonly name: BytePath;
}

/**
 * The directory of the entry before, under the text that its path has for it: entries come grouped by directory, and what
 * this text means was found out and found to be right once. It holds until something is removed.
 */
export class LastDirectory<N> {
  /** With the slash at its end; empty for the root. */
  #text: BytePath = '';
  #directory: N | undefined;

  /** Where an entry goes whose path is the text and one plain name; undefined for any other, which says nothing of it. */
  find(path: BytePath): NamedPlace<N> | undefined {
    const directory = this.#directory;
    if (directory === undefined) return undefined;
    const end = endOf(path);
    const begin = path.lastIndexOf('/', end - 1) + 1;
    if (begin !== this.#text.length || !path.startsWith(this.#text)) return undefined;
    const name = path.slice(begin, end);
    return isPlain(name) ? { parent: directory, name } : undefined;
  }

  /** Remembers where an entry went, if its path is a text for the directory and one plain name. */
  remember(path: BytePath, { parent, name }: NamedPlace<N>): void {
    const begin = endOf(path) - name.length;
    const plain = isPlain(name) && path.startsWith(name, begin) && (begin === 0 || path[begin - 1] === '/');
    this.#text = plain ? path.slice(0, begin) : '';
    this.#directory = plain ? parent : undefined;
  }

  forget(): void {
    this.#directory = undefined;
  }
}

/** Without the one slash that ends the names of directories. */
function endOf(path: BytePath): number {
  return path.endsWith('/') ? path.length - 1 : path.length;
}

function isPlain(name: BytePath): boolean {
  if (name === '' || name === '.' || name === '..') return false;
  return name.length <= LIMITS.nameBytes && !isWhiteoutName(name);
}
