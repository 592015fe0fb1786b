import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { llistxattr, type Resolver } from '../../src/system/index.js';
import type { LayerChanges, LayerForm } from '../../src/unpack/layer-snapshotter.js';
import { LayerWriter } from '../../src/unpack/layer/layer-writer.js';
import { TarReader } from '../../src/unpack/archive/tar-reader.js';

export interface ExtractOptions {
  form?: LayerForm;
  ownership?: 'preserve' | 'caller';
  devices?: boolean;
  resolver?: Resolver;
}

export interface Extracted {
  readonly directory: string;
  readonly changes: LayerChanges;
  readonly warnings: readonly string[];
}

/**
 * A place to extract layers in, with things beside the layer's directory that no layer may touch. Call {@link assertUntouched}
 * after each extraction, failed ones too.
 */
export class Sandbox {
  readonly root: string;
  readonly outside: string;
  readonly layer: string;
  readonly #before: string;
  readonly #descriptors: number;

  constructor() {
    this.root = mkdtempSync(join(tmpdir(), 'landfall-layer-'));
    this.outside = join(this.root, 'outside');
    this.layer = join(this.root, 'layer');
    mkdirSync(join(this.outside, 'directory'), { recursive: true });
    writeFileSync(join(this.outside, 'sentinel'), 'sentinel', { mode: 0o600 });
    writeFileSync(join(this.outside, 'directory', 'file'), 'inner');
    mkdirSync(this.layer);
    this.#before = this.#state();
    this.#descriptors = readdirSync('/proc/self/fd').length;
  }

  extract(archive: Buffer, o: ExtractOptions = {}): Extracted {
    const writer = new LayerWriter(this.layer, {
      form: o.form ?? 'plain',
      ownership: o.ownership ?? 'preserve',
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
    const damage = this.#state() === this.#before ? [] : [`outside changed: ${this.#state()}`];
    const descriptors = readdirSync('/proc/self/fd').length;
    return descriptors === this.#descriptors
      ? damage
      : [...damage, `${descriptors - this.#descriptors} descriptors leaked`];
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  #state(): string {
    return JSON.stringify([
      readdirSync(this.root),
      ...[this.outside, ...readdirSync(this.outside, { recursive: true, encoding: 'utf8' }).sort()].map(
        (name) => {
          const path = join(this.outside, name === this.outside ? '' : name);
          const { mode, uid, gid, nlink, size, mtimeMs, ctimeMs } = lstatSync(path);
          return [name, mode, uid, gid, nlink, size, mtimeMs, ctimeMs, llistxattr(path)];
        },
      ),
    ]);
  }
}

/** What lies in a directory: path to `dir MODE`, `file MODE CONTENT`, `symlink TARGET`, `char MAJOR:MINOR MODE`, … Paths are bytes. */
export function listing(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = (path: string): void => {
    for (const name of readdirSync(bytes(join(directory, path)), { encoding: 'latin1' }).sort()) {
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
  return `file ${mode} ${readFileSync(path, 'latin1')}`;
}

function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
