import { crc32 } from 'node:zlib';
import { unpackLimits } from '../../../src/spec/index.js';
import type { TarEntry } from '../../../src/unpack/tar/tar-header.js';
import { type TarHandler, TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { chunkingFor, type Chunking, chunksOf } from '../chunking.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { randomArchive } from '../random-input.js';
import type { Random } from '../random.js';
import { checkSame, outcomeOfSync, Violation } from '../violation.js';

/** The reader of archives alone: what it finds is sound, and the same however the bytes arrive. */
export const readTarget: FuzzTarget = {
  name: 'read',
  weight: 60,
  isPure: true,
  generate: (random, seeds) => ({ layers: [randomArchive(random, seeds)] }),
  check: ({ layers: [archive = Buffer.alloc(0)] }, { random }) => {
    const chunking = chunkingFor(random, archive.length);
    const expected = readAll(archive, 'whole', random);
    checkSame(`read in chunks of ${chunking}`, expected, readAll(archive, chunking, random));
  },
};

function readAll(archive: Buffer, chunking: Chunking, random: Random): unknown {
  const handler = new SoundnessHandler();
  const reader = new TarReader(handler);
  const outcome = outcomeOfSync(() => {
    for (const chunk of chunksOf(archive, chunking, random)) reader.push(chunk);
    reader.end();
  });
  return { outcome, found: handler.found };
}

const { layerBytes } = unpackLimits();
const MAX_OWNER = 2 ** 32 - 2;

/** Holds each entry and its content against what a writer may count on, and keeps a note of both. */
class SoundnessHandler implements TarHandler {
  readonly found: unknown[] = [];
  #expected = 0;
  #seen = 0;
  #sum = 0;
  #open = false;

  entry(entry: TarEntry): void {
    if (this.#open) throw new Violation('wrong', 'an entry begins before the last has ended');
    checkEntry(entry);
    this.#expected = entry.sparse?.reduce((sum, { length }) => sum + length, 0) ?? entry.size;
    this.#open = true;
    this.#seen = this.#sum = 0;
    this.found.push({
      ...entry,
      xattrs: [...entry.xattrs].map(([name, value]) => [name, value.toString('hex')]),
    });
  }

  data(chunk: Buffer): void {
    if (!this.#open) throw new Violation('wrong', 'content that belongs to no entry');
    this.#seen += chunk.length;
    this.#sum = crc32(chunk, this.#sum);
  }

  endEntry(): void {
    if (!this.#open) throw new Violation('wrong', 'an end without an entry');
    if (this.#seen !== this.#expected) {
      throw new Violation('wrong', `${this.#seen} bytes of content where ${this.#expected} were told`);
    }
    this.#open = false;
    this.found.push(this.#sum);
  }
}

function checkEntry(entry: TarEntry): void {
  const {
    mode,
    uid,
    gid,
    size,
    mtime,
    atime = mtime,
    major,
    minor,
    sparse = [],
    type,
    linkPath,
    path,
  } = entry;
  let end = 0;
  const inOrder = sparse.every(({ offset, length }) => {
    const sound = isCount(offset, size) && isCount(length, size) && offset >= end;
    end = offset + length;
    return sound && end <= size;
  });
  const rules: Readonly<Record<string, boolean>> = {
    mode: isCount(mode, 0o7777),
    owner: isCount(uid, MAX_OWNER) && isCount(gid, MAX_OWNER),
    size: isCount(size, layerBytes) && (type === 'file' || size === 0),
    times: [mtime, atime].every(
      (t) => Number.isSafeInteger(t.seconds) && isCount(t.nanoseconds, 999_999_999),
    ),
    device: Number.isSafeInteger(major) && Number.isSafeInteger(minor),
    map: inOrder,
    names: !path.includes('\0') && !linkPath.includes('\0'),
    target: type === 'link' || type === 'symlink' || linkPath === '',
  };
  const broken = Object.keys(rules).filter((rule) => rules[rule] === false);
  if (broken.length > 0) throw new Violation('wrong', `an entry with a bad ${broken.join(', ')}: ${path}`);
}

function isCount(value: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= most;
}
