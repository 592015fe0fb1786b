import { SpecError } from '../../errors.js';
import { LIMITS, parseJson } from '../../spec/index.js';
import { optionalStrings, readObject, requiredString } from '../../spec/json-fields.js';

/** One image of a `manifest.json`, as `docker save` writes it. */
export interface DockerImage {
  /** Paths within the archive. */
  readonly config: string;
  /** Bottom first. */
  readonly layers: readonly string[];
  /** `alpine:3` */
  readonly tags: readonly string[];
}

/** The file's name, at the top of an archive. */
export const DOCKER_MANIFEST = 'manifest.json';
/** That of an archive before Docker 1.10, which has no `manifest.json`. */
export const DOCKER_REPOSITORIES = 'repositories';
export const DOCKER_MANIFEST_MAX_BYTES: number = 64 * 1024 * 1024;

/** @throws {SpecError} INVALID_MANIFEST, LIMIT_EXCEEDED */
export function parseDockerManifest(bytes: Uint8Array): DockerImage[] {
  const list = parseJson(bytes, DOCKER_MANIFEST, DOCKER_MANIFEST_MAX_BYTES);
  if (!Array.isArray(list)) throw new SpecError('INVALID_MANIFEST', `${DOCKER_MANIFEST} is not a list`);
  if (list.length > LIMITS.indexManifests) {
    throw new SpecError('LIMIT_EXCEEDED', `${DOCKER_MANIFEST} has more than ${LIMITS.indexManifests} images`);
  }
  return list.map((value: unknown, at): DockerImage => {
    const where = `[${at}]`;
    const raw = readObject(value, where);
    return {
      config: requiredString(raw, 'Config', where),
      layers: optionalStrings(raw, 'Layers', where) ?? [],
      tags: optionalStrings(raw, 'RepoTags', where) ?? [],
    };
  });
}

/** The bytes of the file, as Docker and Podman read it. */
export function renderDockerManifest(images: readonly DockerImage[]): Buffer {
  const list = images.map(({ config, layers, tags }) => ({
    Config: config,
    RepoTags: tags.length === 0 ? null : tags,
    Layers: layers,
  }));
  return Buffer.from(`${JSON.stringify(list)}\n`);
}
