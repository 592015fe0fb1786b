import { mapLimited } from '../../concurrency/index.js';
import { rawNamesOf } from '../../content/index.js';
import { resolveImage } from '../../engine/images/names.js';
import type { Store } from '../../engine/store.js';
import { KeptSignatures } from '../../engine/trust/signature-sources.js';
import { type Abortable, isLandfallError } from '../../errors.js';
import { formatReference, parseReference, shortDigest } from '../../spec/index.js';
import type { GovernedImage, SourceRepository } from '../transports/destination.js';
import type { JudgedRoot } from './judge-images.js';
import { registryImage } from '../../trust/index.js';
import type { VerifyOptions } from './verify.js';
import { LayoutTransport, policyName } from '../transports/layout-transport.js';
import type { RegistryTransport } from '../transports/registry-transport.js';

/** All that a layout or an archive lists, each with the name that people know it by. */
export async function layoutRoots(transport: LayoutTransport, o: Abortable = {}): Promise<JudgedRoot[]> {
  const repository = transport.repository('');
  const entries = await transport.entries(o);
  return entries.map((entry) => {
    const { target, reference } = entry;
    const [raw] = rawNamesOf(target);
    const canonical = raw === undefined || reference === undefined ? undefined : formatReference(reference);
    return {
      name: canonical ?? raw ?? shortDigest(target.digest),
      target,
      repository,
      governed: () => transport.governed(policyName(entry)),
    };
  });
}

/** What is verified of a store. */
export interface StoreRoots extends Pick<VerifyOptions, 'isLeftOut'> {
  readonly roots: readonly JudgedRoot[];
}

/**
 * All of a store, or one image of it. What of an index was not pulled, and what was dropped on purpose, is
 * left out.
 */
export async function storeRoots(store: Store, name?: string): Promise<StoreRoots> {
  const images = name === undefined ? await store.catalog.list() : [await resolveImage(store, name)];
  const { content } = store;
  const index = (): Promise<never> => Promise.reject(new Error('the index of a store is not read'));
  const repository = new LayoutTransport({
    content: {
      info: (digest) => content.info(digest),
      open: (...of) => content.open(...of),
      path: (digest) => content.path(digest),
      index,
    },
    location: `store:${store.root}`,
  }).repository('');
  const { discarded } = store;
  const targets = new Set(images.map(({ target }) => target.digest));
  return {
    roots: images.map(({ name: canonical, target }) => ({
      name: canonical,
      target,
      repository,
      governed: () => Promise.resolve(storedImage(canonical, store)),
      has: async ({ digest }) => (await content.info(digest)) !== undefined,
    })),
    isLeftOut: async (child, { descriptor, manifest: document }) => {
      if (document.kind === 'index') return true;
      // A manifest below an index that is not recorded was begun by a pull that did not end.
      const isBegun = (await store.manifests.get(descriptor.digest)) === undefined;
      if (isBegun && !targets.has(descriptor.digest)) return true;
      return (await discarded.get(child.digest)) !== undefined;
    },
  };
}

/**
 * Only what the store keeps counts, not what it remembers: a proof looks for itself, and asks no registry.
 */
function storedImage(name: string, store: Store): GovernedImage {
  const reference = parseReference(name);
  return { image: registryImage(reference), tag: reference.tag, signatures: [new KeptSignatures(store)] };
}

/** Repositories whose tags are listed and resolved at once. */
const CONCURRENCY = 8;

/**
 * Every tag of every repository of a registry below a path, as far as the registry lists them. A repository
 * that lists no tags has none, also where the registry says so by an error: some list what was deleted.
 *
 * @param path `''` for all, `hub/` for those below it
 */
export async function registryRoots(
  transport: RegistryTransport,
  path: string,
  { signal }: Abortable = {},
): Promise<readonly JudgedRoot[]> {
  const all = await transport.repositories({ signal });
  const below = all.filter((name) => name.startsWith(`${transport.host}/${path}`));
  const roots = await mapLimited(below, CONCURRENCY, (name) => tagged(transport.repository(name), signal));
  return roots.flat();
}

async function tagged(
  repository: SourceRepository,
  signal: AbortSignal | undefined,
): Promise<readonly JudgedRoot[]> {
  const roots: JudgedRoot[] = [];
  for (const tag of await tagsOf(repository, signal)) {
    const target = await repository.resolve(tag, { signal });
    const governed = (): Promise<GovernedImage> => repository.governed(tag);
    const name = `${repository.location}:${tag}`;
    if (target !== undefined) roots.push({ name, target, repository, governed });
  }
  return roots;
}

async function tagsOf(repository: SourceRepository, signal: AbortSignal | undefined): Promise<string[]> {
  const tags: string[] = [];
  try {
    for await (const tag of repository.tags({ signal })) tags.push(tag);
  } catch (error) {
    if (!isLandfallError(error) || error.code !== 'NOT_FOUND') throw error;
  }
  return tags;
}
