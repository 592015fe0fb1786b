import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Resolver } from '../../src/system/index.js';
import type { LayerChanges } from '../../src/unpack/terms/layer-changes.js';
import { defaultOwnership, type Ownership } from '../../src/unpack/terms/ownership.js';
import { LayerWriter } from '../../src/unpack/layer/layer-writer.js';
import { TarReader } from '../../src/unpack/tar/tar-reader.js';
import { Sentinel } from './sentinel.js';
import { isRoot } from './needs-root.js';

export interface ExtractOptions {
  ownership?: Ownership;
  devices?: boolean;
  resolver?: Resolver;
}

export interface Extracted {
  readonly directory: string;
  readonly changes: LayerChanges;
  readonly warnings: readonly string[];
}

/**
 * A place to extract layers in, with things beside the layer's directory that no layer may touch. Call {@link
 * assertUntouched} after each extraction, failed ones too.
 */
export class Sandbox {
  readonly root: string;
  readonly outside: string;
  readonly layer: string;
  readonly #sentinel: Sentinel;
  readonly #descriptors: number;

  constructor() {
    this.root = mkdtempSync(join(tmpdir(), 'landfall-layer-'));
    this.outside = join(this.root, 'outside');
    this.layer = join(this.root, 'layer');
    this.#sentinel = new Sentinel(this.outside);
    mkdirSync(this.layer);
    this.#descriptors = readdirSync('/proc/self/fd').length;
  }

  extract(archive: Buffer, o: ExtractOptions = {}): Extracted {
    const writer = new LayerWriter(this.layer, {
      ownership: o.ownership ?? defaultOwnership(),
      devices: o.devices ?? true,
      ...(o.resolver === undefined ? {} : { resolver: o.resolver }),
    });
    try {
      const reader = new TarReader(writer);
      reader.push(archive);
      reader.end();
      const changes = writer.finish();
      return { directory: this.layer, changes, warnings: writer.warnings };
    } finally {
      writer.close();
    }
  }

  /** What is different outside the layer's directory, and descriptors that leaked; empty when all is well. */
  damage(): string[] {
    const beside = readdirSync(this.root).filter((name) => name !== 'layer' && name !== 'outside');
    const damage = [...this.#sentinel.damage(), ...beside.map((name) => `${name} is beside the layer`)];
    const descriptors = readdirSync('/proc/self/fd').length;
    return descriptors === this.#descriptors
      ? damage
      : [...damage, `${descriptors - this.#descriptors} descriptors leaked`];
  }

  remove(): void {
    // What a layer made may have any mode, which is in nobody's way but a user's.
    if (!isRoot) execFileSync('chmod', ['-R', 'u+rwX', this.root]);
    rmSync(this.root, { recursive: true, force: true });
  }
}

/**
 * What lies in a directory: path to `dir MODE`, `file MODE CONTENT`, `symlink TARGET`, `char MAJOR:MINOR
 * MODE`, … Paths are bytes.
 */
export function listing(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = (path: string): void => {
    const at = bytes(join(directory, path));
    for (const name of permitted(at, () => readdirSync(at, { encoding: 'latin1' })).sort()) {
      const inner = path === '' ? name : `${path}/${name}`;
      const shown = describeNode(bytes(`${directory}/${inner}`));
      found[inner] = shown;
      if (shown.startsWith('dir ')) visit(inner);
    }
  };
  visit('');
  return found;
}

function describeNode(path: Buffer): string {
  const stat = lstatSync(path);
  const mode = (stat.mode & 0o7777).toString(8);
  if (stat.isDirectory()) return `dir ${mode}`;
  if (stat.isSymbolicLink()) return `symlink ${readlinkSync(path, { encoding: 'latin1' })}`;
  if (stat.isFIFO()) return `fifo ${mode}`;
  const device = `${(stat.rdev >> 8) & 0xfff}:${(stat.rdev & 0xff) | ((stat.rdev >> 12) & 0xfff00)}`;
  if (stat.isCharacterDevice()) return `char ${device} ${mode}`;
  if (stat.isBlockDevice()) return `block ${device} ${mode}`;
  return `file ${mode} ${permitted(path, () => readFileSync(path, 'latin1'))}`;
}

/** Reads something whose mode may be in the way of who is not root. */
function permitted<T>(path: Buffer, read: () => T): T {
  const { mode } = lstatSync(path);
  if (isRoot || (mode & 0o500) === 0o500) return read();
  chmodSync(path, mode | 0o500);
  try {
    return read();
  } finally {
    chmodSync(path, mode);
  }
}

function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
