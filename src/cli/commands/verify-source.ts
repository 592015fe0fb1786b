import { stat } from 'node:fs/promises';
import { discardedBlobs } from '../../engine/images/discard-layers.js';
import { resolveImage } from '../../engine/images/find-image.js';
import type { Store } from '../../engine/store.js';
import { KeptSignatures } from '../../engine/trust/kept-signatures.js';
import { LandfallError } from '../../errors.js';
import { formatReference, parseReference, repositoryName } from '../../spec/index.js';
import { transportOf } from '../../transfer/transports/archives/archive.js';
import { openArchive } from '../../transfer/transports/archives/open-archive.js';
import type { GovernedImage } from '../../transfer/transports/destination.js';
import { readDeclarationFile } from '../../transfer/transports/layout-index.js';
import { LayoutPlace } from '../../transfer/transports/layout-place.js';
import { layoutRoots, registryRoots } from '../../transfer/verify/layout-roots.js';
import { RegistryPlace } from '../../transfer/transports/registry-place.js';
import type { JudgedRoot } from '../../transfer/verify/judge-images.js';
import type { VerifyOptions } from '../../transfer/verify/verify.js';
import { registryImage } from '../../trust/index.js';
import type { CommandContext } from '../output/command-context.js';
import { type ImagePlace, parseImagePlace } from '../../transfer/transports/image-place.js';
import { openRegistry } from '../images/open-registry.js';
import { withStore } from '../images/with-store.js';

/** What is to be proven whole, opened. */
export interface VerifySource extends Pick<VerifyOptions, 'isLeftOut'> {
  /** As a person would write it. */
  readonly name: string;
  readonly roots: readonly JudgedRoot[];
  /** What is wrong with it that its images do not show. */
  readonly faults: readonly LandfallError[];
}

/**
 * Opens what is to be proven whole, for as long as a function needs it: a file or `-` for an archive, `oci:DIR`, `docker://REF`,
 * `docker://HOST/` or `docker://HOST/PATH/` for all that lies below, an image of the store, or without a name all of them.
 *
 * @throws {LandfallError} those of opening; BLOB_NOT_FOUND, NOT_FOUND for what is not there
 */
export async function withVerifySource<T>(
  text: string | undefined,
  context: CommandContext,
  use: (source: VerifySource) => Promise<T>,
): Promise<T> {
  const mirror = text === undefined ? null : MIRROR_NAME.exec(text);
  if (mirror !== null) return await withMirror(mirror, context, use);
  const place = text === undefined ? undefined : await placeOf(text);
  switch (place?.kind) {
    case undefined:
    case 'store':
      return await withStore(context, async (store) => use(await storeSource(store, place?.name)));
    case 'layout':
      return await use(await layoutSource(place, context));
    case 'archive':
      return await withArchive(place, context, use);
    case 'registry':
      return await withRegistry(place, context, use);
  }
}

/** What ends with a slash is all that lies below it. */
const MIRROR_NAME = /^docker:\/\/([^/]+)\/((?:[^:@]+\/)?)$/;

/** Nobody calls an image so; of one that is not there an archive is missed. */
const ARCHIVE_NAME = /^[^:]*\.(?:tar|tgz|tzst|tar\.gz|tar\.zst)$/;

/** A path needs no transport where it can be nothing else. */
async function placeOf(text: string): Promise<ImagePlace> {
  const archive = { kind: 'archive', format: 'oci', file: text, name: undefined } as const;
  if (text === '-') return archive;
  const [file, parts] = await Promise.all([stat(text), stat(`${text}.parts.json`)].map(kindOrNothing));
  if (file === 'file' || (file === undefined && (parts === 'file' || ARCHIVE_NAME.test(text))))
    return archive;
  if (file === 'directory' && /^\.{0,2}\//.test(text)) {
    return { kind: 'layout', directory: text, name: undefined };
  }
  return parseImagePlace(text);
}

async function kindOrNothing(
  found: Promise<{ isFile(): boolean; isDirectory(): boolean }>,
): Promise<'file' | 'directory' | undefined> {
  try {
    const status = await found;
    return status.isFile() ? 'file' : status.isDirectory() ? 'directory' : undefined;
  } catch {
    return undefined;
  }
}

/** All of the store, or one image of it. What of an index was not pulled, and what was dropped on purpose, is left out. */
async function storeSource(store: Store, name: string | undefined): Promise<VerifySource> {
  const images = name === undefined ? await store.catalog.list() : [await resolveImage(store, name)];
  const { content } = store;
  const index = (): Promise<never> => Promise.reject(new Error('the index of a store is not read'));
  const repository = new LayoutPlace({
    content: {
      info: (digest) => content.info(digest),
      open: (...of) => content.open(...of),
      path: (digest) => content.path(digest),
      index,
    },
    location: `store:${store.root}`,
  }).repository('');
  const discarded = discardedBlobs(store);
  const targets = new Set(images.map(({ target }) => target.digest));
  return {
    name: `store:${store.root}`,
    roots: images.map(({ name: canonical, target }) => ({
      name: canonical,
      target,
      repository,
      governed: () => Promise.resolve(storedImage(canonical, store)),
      has: async ({ digest }) => (await content.info(digest)) !== undefined,
    })),
    faults: [],
    isLeftOut: async (child, { descriptor, document }) => {
      if (document.kind === 'index') return true;
      // A manifest below an index that is not recorded was begun by a pull that did not end.
      const isBegun = (await store.documents.get(descriptor.digest)) === undefined;
      if (isBegun && !targets.has(descriptor.digest)) return true;
      return (await discarded.get(child.digest)) !== undefined;
    },
  };
}

/** Only what the store keeps counts, not what it remembers: a proof looks for itself, and asks no registry. */
function storedImage(name: string, store: Store): GovernedImage {
  const reference = parseReference(name);
  return { image: registryImage(reference), tag: reference.tag, signatures: [new KeptSignatures(store)] };
}

async function layoutSource(
  { directory, name }: Extract<ImagePlace, { kind: 'layout' }>,
  { signal }: CommandContext,
): Promise<VerifySource> {
  const place = await LayoutPlace.open(directory);
  const omitted = await readDeclarationFile(directory);
  return {
    name: place.name,
    roots: await rootsOf(place, name, signal),
    faults: [],
    isLeftOut: among(omitted.map(({ digest }) => digest)),
  };
}

async function withArchive<T>(
  { file, name }: Extract<ImagePlace, { kind: 'archive' }>,
  { signal, stdin, env }: CommandContext,
  use: (source: VerifySource) => Promise<T>,
): Promise<T> {
  await using archive = await openArchive(file === '-' ? { stream: stdin } : { file }, {
    signal,
    spoolDirectory: env['TMPDIR'],
  });
  const faults = await archive.faults({ signal });
  const transport = transportOf(archive);
  const place = new LayoutPlace({
    content: archive,
    location: `${transport}:${archive.location}`,
    file: { transport, path: file === '-' ? undefined : file },
  });
  return await use({
    name: place.name,
    // Manifests cannot be made of what does not fit its configs.
    roots: faults.length > 0 ? [] : await rootsOf(place, name, signal),
    faults,
    isLeftOut: among(archive.omitted.map(({ digest }) => digest)),
  });
}

async function withRegistry<T>(
  { reference }: Extract<ImagePlace, { kind: 'registry' }>,
  context: CommandContext,
  use: (source: VerifySource) => Promise<T>,
): Promise<T> {
  const name = `docker://${formatReference(reference)}`;
  await using registry = await openRegistry(context, [formatReference(reference)]);
  const place = new RegistryPlace({ registry, host: reference.registry });
  const repository = place.repository(repositoryName(reference));
  const from = reference.digest ?? reference.tag ?? 'latest';
  const target = await repository.resolve(from, context);
  if (target === undefined) {
    throw new LandfallError('NOT_FOUND', `there is no ${name}`, {
      hint: 'Check the spelling of repository and tag.',
    });
  }
  const governed = (): Promise<GovernedImage> => repository.governed(from);
  return await use({ name, roots: [{ name, target, repository, governed }], faults: [] });
}

/** Every tag of every repository below a path, as far as the registry lists them. */
async function withMirror<T>(
  [name, host = '', prefix = '']: RegExpExecArray,
  context: CommandContext,
  use: (source: VerifySource) => Promise<T>,
): Promise<T> {
  const { registry: canonical } = parseReference(`${host}/any/repository`);
  await using registry = await openRegistry(context, [`${canonical}/any/repository`]);
  const place = new RegistryPlace({ registry, host: canonical });
  const roots = await registryRoots(place, prefix, { signal: context.signal });
  if (roots.length > 0) return await use({ name, roots, faults: [] });
  throw new LandfallError('NOT_FOUND', `${name} has no image`, {
    hint: 'Check the path; a registry may list less to whoever is not logged in.',
  });
}

async function rootsOf(
  place: LayoutPlace,
  name: string | undefined,
  signal: AbortSignal,
): Promise<readonly JudgedRoot[]> {
  if (name === undefined) return await layoutRoots(place, { signal });
  const repository = place.repository('');
  const target = await repository.resolve(name, { signal });
  const governed = (): Promise<GovernedImage> => repository.governed(name);
  if (target !== undefined) return [{ name, target, repository, governed }];
  throw new LandfallError('BLOB_NOT_FOUND', `${place.name} has no image ${JSON.stringify(name)}`, {
    hint: 'Leave the name out to verify all of it.',
  });
}

function among(digests: readonly string[]): NonNullable<VerifySource['isLeftOut']> {
  const declared = new Set(digests);
  return ({ digest }) => declared.has(digest);
}
