import { basename, resolve as resolvePath } from 'node:path';

import { isLandfallError } from '../errors.js';
import { type Descriptor, type ImageIndex, parseReference, type Reference } from '../spec/index.js';
import { REF_NAME } from './render-index.js';

/** Where containerd puts the full name of an image; its ref.name then holds the tag alone. */
export const CONTAINERD_NAME = 'io.containerd.image.name';

/** An entry of an `index.json`, and what image it is by the rules of {@link namedEntries}. */
export interface NamedEntry {
  readonly target: Descriptor;
  /** Undefined where it has no name that is one here: it can be had by its digest. */
  readonly reference: Reference | undefined;
}

/**
 * The images that an `index.json` names (image-spec: image-layout.md).
 *
 * The specification leaves the form of `org.opencontainers.image.ref.name` open, and tools differ:
 * - `io.containerd.image.name`, where it stands, is the full name, whatever the other says;
 * - a name with `:`, `/` or `@` is a reference: `landfall/demo:1.0` is tag 1.0 of docker.io/landfall/demo;
 * - a bare word, which is what umoci writes, is a tag in a repository named like the directory or file: tag `1.0` of the
 *   layout `/srv/Demo` is `demo:1.0`;
 * - the only image of a layout that gives it no name is `latest` of that repository;
 * - anything else has no name.
 *
 * @param place the path of the directory or file, for its name; without one a bare word names nothing
 */
export function namedEntries(index: ImageIndex, place: string | undefined): NamedEntry[] {
  const ownName = place === undefined ? undefined : repositoryOf(place);
  const only = index.manifests.length === 1;
  return index.manifests.map((target) => ({ target, reference: referenceOf(target, ownName, only) }));
}

/** The names that an entry has, as they stand there: containerd's first. */
export function rawNamesOf({ annotations }: Descriptor): string[] {
  const names = [annotations?.[CONTAINERD_NAME], annotations?.[REF_NAME]];
  return [...new Set(names.filter((name) => name !== undefined))];
}

function referenceOf(target: Descriptor, ownName: string | undefined, only: boolean): Reference | undefined {
  const [name] = rawNamesOf(target);
  if (name !== undefined && /[:/@]/.test(name)) return tryParse(name);
  if (ownName === undefined) return undefined;
  if (name === undefined) return only ? tryParse(`${ownName}:latest`) : undefined;
  return tryParse(`${ownName}:${name}`);
}

/** A name is somebody else's text: one that is no reference only means that the image has none here. */
function tryParse(text: string): Reference | undefined {
  try {
    return parseReference(text, { defaultTag: true });
  } catch (error) {
    if (isLandfallError(error) && error.code === 'INVALID_REFERENCE') return undefined;
    throw error;
  }
}

/** A path's name as the last component of a repository: lower case, and one `-` for each run of what a name cannot hold. */
function repositoryOf(place: string): string {
  const name = basename(resolvePath(place))
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return name === '' ? 'image' : name;
}
