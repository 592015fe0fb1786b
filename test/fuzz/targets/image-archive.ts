import { posix } from 'node:path';
import { type ErrorCode, isLandfallError } from '../../../src/errors.js';
import { digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import type { ArchiveFile } from '../../../src/transfer/transports/archives/archive-file.js';
import { openTar } from '../../../src/transfer/transports/archives/open-archive.js';
import { indexTar, type TarIndex } from '../../../src/transfer/transports/archives/tar-index.js';
import { DECLARATION_FILE, renderDeclaration } from '../../../src/transfer/transports/declaration.js';
import { LayoutTransport } from '../../../src/transfer/transports/layout-transport.js';
import { layoutRoots } from '../../../src/transfer/verify/layout-roots.js';
import { verify } from '../../../src/transfer/verify/verify.js';
import type { TarEntry } from '../../../src/unpack/tar/tar-header.js';
import { TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { dockerArchive, sha256 } from '../../support/docker-archive.js';
import { archive, directory, file } from '../../support/tar-builder.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { mutateArchive } from '../mutate-archive.js';
import { randomArchive } from '../random-input.js';
import type { Random } from '../random.js';
import { Violation } from '../violation.js';

/** What an archive of images may be refused with, or be found to have. */
const ANSWERS: ReadonlySet<ErrorCode> = new Set([
  'BAD_ARCHIVE',
  'BLOB_NOT_FOUND',
  'DIFF_ID_MISMATCH',
  'DIGEST_MISMATCH',
  'INVALID_DIGEST',
  'INVALID_MANIFEST',
  'LIMIT_EXCEEDED',
  'SIZE_MISMATCH',
  'UNSUPPORTED',
  'UNSUPPORTED_ENTRY',
  'UNSUPPORTED_MEDIA_TYPE',
]);

/**
 * The reader of archives of images: whatever the bytes are, it answers as it says; what it finds in an
 * archive is what the reader of layers finds; and what it makes of an archive of Docker is the same each
 * time.
 */
export const imageArchiveTarget: FuzzTarget = {
  name: 'image-archive',
  weight: 20,
  isPure: true,
  generate: (random, seeds) => ({
    layers: [random.chance(0.2) ? randomArchive(random, seeds) : mutateArchive(whole(random), random)],
  }),
  check: async ({ layers: [bytes = Buffer.alloc(0)] }) => {
    const tar = await answered(() => indexTar(new MemoryFile(bytes)));
    if (tar !== undefined) checkFiles(bytes, tar);
    const [first, second] = [await found(bytes), await found(bytes)];
    if (first !== second) throw new Violation('differs', `read once it is ${first}, and then ${second}`);
  },
};

/** All that is found of it, as text. */
async function found(bytes: Buffer): Promise<string> {
  const report = await answered(async () => {
    await using opened = await openTar(new MemoryFile(bytes));
    const place = new LayoutTransport({ content: opened, location: 'archive' });
    const roots = await layoutRoots(place);
    for (const name of await place.repositories()) {
      const tags: string[] = [];
      for await (const tag of place.repository(name).tags()) tags.push(tag);
      for (const tag of tags) await place.repository(name).resolve(tag);
    }
    const { images, faults, blobs } = await verify(roots, { diffIds: true });
    const codes = faults.map(({ code, descriptor }) => `${code} ${descriptor?.digest ?? ''}`);
    const wrong = faults.find(({ code }) => !ANSWERS.has(code));
    if (wrong !== undefined) throw new Violation('crash', `${wrong.code} is no answer to an archive`);
    return JSON.stringify([images, codes, blobs]);
  });
  return report ?? 'refused';
}

async function answered<T>(attempt: () => Promise<T>): Promise<T | undefined> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof Violation) throw error;
    if (isLandfallError(error) && ANSWERS.has(error.code)) return undefined;
    throw new Violation('crash', error instanceof Error ? error.message : String(error), error);
  }
}

/** What the reader of layers finds has to lie where the index says. */
function checkFiles(bytes: Buffer, tar: TarIndex): void {
  for (const [path, content] of filesOf(bytes)) {
    const member = tar.find(path);
    if (member === undefined) throw new Violation('differs', `the index lacks ${path}`);
    if (!bytes.subarray(member.offset, member.offset + member.size).equals(content)) {
      throw new Violation('differs', `the index has another content for ${path}`);
    }
  }
}

/** The first of each name. */
function filesOf(bytes: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  let current: { path: string; chunks: Buffer[] } | undefined;
  const reader = new TarReader({
    entry: (entry: TarEntry) => {
      const text = Buffer.from(entry.path, 'latin1').toString('utf8');
      const path = posix.normalize(text).replace(/^\/+|\/$/g, '');
      current = entry.type === 'file' ? { path, chunks: [] } : undefined;
    },
    data: (chunk) => current?.chunks.push(Buffer.from(chunk)),
    endEntry: () => {
      if (current !== undefined && !files.has(current.path))
        files.set(current.path, Buffer.concat(current.chunks));
    },
  });
  reader.push(bytes);
  reader.end();
  return files;
}

class MemoryFile implements ArchiveFile {
  readonly location = 'archive';
  readonly isRegular = true;
  readonly size: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.size = bytes.length;
  }

  read(buffer: Buffer, position: number): Promise<number> {
    return Promise.resolve(this.#bytes.copy(buffer, 0, position));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** An archive with which nothing is wrong. */
function whole(random: Random): Buffer {
  const layers = Array.from({ length: random.between(0, 3) }, (_, at) => {
    const bytes = archive(file(`file-${at}`, random.bytes(random.below(600))));
    return { path: `${at}/layer.tar`, bytes, diffId: sha256(bytes) };
  });
  if (random.chance(0.4))
    return dockerArchive([{ layers, tags: random.chance(0.5) ? ['a:1', 'b:2'] : null }]);
  const blobs: Buffer[] = [];
  const add = (mediaType: string, bytes: Buffer): object => {
    blobs.push(file(`blobs/sha256/${sha256(bytes).slice('sha256:'.length)}`, bytes));
    return { mediaType, digest: sha256(bytes), size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const config = {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  };
  const manifest = add(
    MEDIA_TYPES.ociManifest,
    json({
      schemaVersion: 2,
      config: add(MEDIA_TYPES.ociConfig, json(config)),
      layers: layers.map(({ bytes }) => add(MEDIA_TYPES.ociLayer, bytes)),
    }),
  );
  const name = random.pick(['a/b:1', 'word', 'docker.io/library/a:1', '../../a', '']);
  const annotations = { 'org.opencontainers.image.ref.name': name };
  const index = json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] });
  const layout = Buffer.from('{"imageLayoutVersion":"1.0.0"}');
  const files = { 'index.json': digestOf(index), 'oci-layout': digestOf(layout) };
  return archive(
    file('oci-layout', layout),
    file('index.json', index),
    ...(random.chance(0.5) ? [file(DECLARATION_FILE, renderDeclaration({ omitted: [], files }))] : []),
    directory('blobs/'),
    ...blobs,
  );
}
