import { basename, resolve as resolvePath } from 'node:path';

import type { BlobProvider, OciLayout } from '../content/index.js';
import { LandfallError } from '../errors.js';
import { type Descriptor, parseReference, type Reference, repositoryName } from '../spec/index.js';
import type { ServeSource } from './serve-source.js';
import { tagTable, type TagTable } from './tag-table.js';

/** Where `ctr images export` puts the full name; its ref.name then holds the tag alone. */
const CONTAINERD_NAME = 'io.containerd.image.name';
const REF_NAME = 'org.opencontainers.image.ref.name';

/**
 * The images of an OCI layout directory (image-spec: image-layout.md), which is only read.
 *
 * The specification leaves the form of `org.opencontainers.image.ref.name` open, and tools differ:
 * - a name with `:`, `/` or `@` is a reference: `landfall/demo:1.0` is tag 1.0 of docker.io/landfall/demo;
 * - a bare word, which is what umoci writes, is a tag in a repository named like the directory: tag `1.0` of the
 *   layout `/srv/Demo` is served as `demo:1.0`;
 * - the only image of a layout that gives it no name is `latest` of that repository;
 * - anything else can be had by digest.
 */
export class LayoutSource implements ServeSource {
  readonly blobs: BlobProvider;
  readonly #layout: Pick<OciLayout, 'index'>;
  readonly #ownName: string;

  /** @param directory the layout's directory, for its name */
  constructor(layout: BlobProvider & Pick<OciLayout, 'index'>, directory: string) {
    this.blobs = layout;
    this.#layout = layout;
    this.#ownName = repositoryOf(directory);
  }

  async resolve(repository: string, tag: string): Promise<Descriptor | undefined> {
    return (await this.#table()).get(repository)?.get(tag);
  }

  async tags(repository: string): Promise<readonly string[] | undefined> {
    const tags = (await this.#table()).get(repository);
    return tags === undefined ? undefined : [...tags.keys()];
  }

  /** What has no name here belongs to every repository, as it can be had by digest from every one: so oras keeps referrers. */
  async targets(repository: string): Promise<readonly Descriptor[]> {
    const named = await this.#named();
    return named
      .filter(({ reference }) => reference === undefined || repositoryName(reference) === repository)
      .map(({ target }) => target);
  }

  async repositories(): Promise<readonly string[]> {
    return [...(await this.#table()).keys()];
  }

  async #table(): Promise<TagTable> {
    const images: { reference: Reference; target: Descriptor }[] = [];
    for (const { reference, target } of await this.#named()) {
      if (reference !== undefined) images.push({ reference, target });
    }
    return tagTable(images);
  }

  async #named(): Promise<{ reference: Reference | undefined; target: Descriptor }[]> {
    const { manifests } = await this.#layout.index();
    return manifests.map((target) => ({ reference: this.#nameOf(target, manifests.length === 1), target }));
  }

  #nameOf(target: Descriptor, only: boolean): Reference | undefined {
    const name = target.annotations?.[CONTAINERD_NAME] ?? target.annotations?.[REF_NAME];
    if (name === undefined) return only ? tryParse(`${this.#ownName}:latest`) : undefined;
    return tryParse(/[:/@]/.test(name) ? name : `${this.#ownName}:${name}`);
  }
}

/** A name is somebody else's text: one that is no reference only means that the image has none here. */
function tryParse(text: string): Reference | undefined {
  try {
    return parseReference(text, { defaultTag: true });
  } catch (error) {
    if (error instanceof LandfallError && error.code === 'INVALID_REFERENCE') return undefined;
    throw error;
  }
}

/** A directory's name as the last component of a repository: lower case, and one `-` for each run of what a name cannot hold. */
function repositoryOf(directory: string): string {
  const name = basename(resolvePath(directory))
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return name === '' ? 'image' : name;
}
