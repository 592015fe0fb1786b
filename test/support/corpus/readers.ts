import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

export const READERS = ['GNU tar', 'bsdtar', 'umoci'] as const;
export type ReaderName = (typeof READERS)[number];

/** What a program made of an archive. */
export interface Reading {
  readonly directory: string;
  /** Its exit status; not 0 where it refused something. */
  readonly status: number | null;
  readonly stderr: string;
}

/**
 * Extracts one archive with other programs, as root and with all attributes, each into a directory of its own
 * below `root`.
 */
export class OtherReaders {
  readonly #root: string;
  readonly #layout: string;
  #count = 0;

  constructor(root: string) {
    this.#root = root;
    this.#layout = join(root, 'layout');
  }

  read(reader: ReaderName, file: string): Reading {
    const directory = join(this.#root, `read-${this.#count++}`);
    switch (reader) {
      case 'GNU tar': {
        const xattrs = ['--xattrs', '--xattrs-include=*', '--acls'];
        return this.#extract(
          ['tar', '-xpf', file, ...xattrs, '--numeric-owner', '--delay-directory-restore'],
          directory,
        );
      }
      case 'bsdtar':
        return this.#extract(['bsdtar', '-xpf', file, '--xattrs', '--acls', '--numeric-owner'], directory);
      case 'umoci':
        return this.#unpack(file, directory);
    }
  }

  #extract(command: readonly string[], directory: string): Reading {
    mkdirSync(directory);
    return run([...command, '-C', directory], directory);
  }

  /** As the only layer of an image. */
  #unpack(file: string, bundle: string): Reading {
    if (!existsSync(this.#layout)) {
      execFileSync('umoci', ['init', '--layout', this.#layout], { stdio: 'pipe' });
      execFileSync('umoci', ['new', '--image', `${this.#layout}:empty`], { stdio: 'pipe' });
    }
    const tag = `t${this.#count}`;
    const add = ['raw', 'add-layer', '--image', `${this.#layout}:empty`, '--tag', tag, file];
    execFileSync('umoci', add, { stdio: 'pipe' });
    const unpack = ['umoci', 'unpack', '--image', `${this.#layout}:${tag}`, bundle];
    return run(unpack, join(bundle, 'rootfs'));
  }
}

function run([program = '', ...args]: readonly string[], directory: string): Reading {
  const { status, stderr } = spawnSync(program, args, {
    env: { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC' },
    encoding: 'latin1',
  });
  return { directory, status, stderr };
}
