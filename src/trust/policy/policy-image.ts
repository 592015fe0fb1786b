import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

import { formatReference, type Reference, repositoryName } from '../../spec/index.js';
import { explicitReference } from './signed-identity.js';

/** The transports by which images come here (containers-transports(5)). */
export type PolicyTransport = 'docker' | 'oci' | 'oci-archive' | 'docker-archive';

/** An image as a policy sees it: where it comes from, and what it is called. */
export interface PolicyImage {
  readonly transport: PolicyTransport;
  /** What it may be found under below its transport, the most specific first; without `''`, the transport's own default. */
  readonly scopes: readonly string[];
  /** What it is called; undefined where it has no name that is a reference. With a digest, the tag beside it counts for nothing. */
  readonly reference: Reference | undefined;
  /** As a person would write it: `docker.io/library/alpine:3`, `oci:/srv/layout:app`. */
  readonly name: string;
}

/** An image at a registry; without tag and digest it is `latest`. */
export function registryImage(reference: Reference): PolicyImage {
  const counted = withoutTagBesideDigest(reference);
  const exact =
    counted.tag === undefined && counted.digest === undefined ? { ...counted, tag: 'latest' } : counted;
  return {
    transport: 'docker',
    scopes: registryScopes(exact),
    reference: exact,
    name: formatReference(reference),
  };
}

/** Where an image lies that is in a file. */
export interface FileImage {
  readonly transport: Exclude<PolicyTransport, 'docker'>;
  /** Of the layout's directory, or the archive; undefined for what comes from a stream. */
  readonly path: string | undefined;
  /** What it is called there; only what is a reference with a registry can be held against a signature. */
  readonly tag: string | undefined;
  readonly name: string;
}

/** An image in a file. Its path is followed through links, as policies name it without. */
export async function fileImage({ transport, path, tag, name }: FileImage): Promise<PolicyImage> {
  const reference = tag === undefined ? undefined : explicitReference(tag);
  return {
    transport,
    // Peers give a docker-archive no scope but the transport's own.
    scopes: path === undefined || transport === 'docker-archive' ? [] : pathScopes(await withoutLinks(path)),
    reference: reference === undefined ? undefined : withoutTagBesideDigest(reference),
    name,
  };
}

function withoutTagBesideDigest({ registry, repository, tag, digest }: Reference): Reference {
  return {
    registry,
    repository,
    ...(digest !== undefined ? { digest } : tag !== undefined ? { tag } : {}),
  };
}

/** A host is the same however it is written, so a scope in lower case holds for it too; peers take only what is written alike. */
function registryScopes(reference: Reference): readonly string[] {
  const registry = reference.registry.toLowerCase();
  const written = scopesAsWritten(reference);
  if (registry === reference.registry) return written;
  const lower = scopesAsWritten({ ...reference, registry });
  return written.flatMap((scope, at) => [scope, ...lower.slice(at, at + 1)]);
}

/**
 * The image itself, its repository, what its repository is below, its host with the port, and then, without the port, each domain
 * that the host is below.
 */
function scopesAsWritten(reference: Reference): readonly string[] {
  const name = repositoryName(reference);
  const domains = reference.registry.split(':', 1).join('').split('.').slice(1);
  return [
    formatReference(reference),
    ...withParents(name),
    ...domains.map((_, index) => `*.${domains.slice(index).join('.')}`),
  ];
}

/** The path and all directories above it, but not `/`, which no policy can name. */
function pathScopes(path: string): readonly string[] {
  return withParents(path).filter((parent) => parent !== '' && parent !== '/');
}

/** `a/b/c`, `a/b`, `a` */
function withParents(path: string): readonly string[] {
  const parts = path.split('/');
  return parts.map((_, index) => parts.slice(0, parts.length - index).join('/'));
}

/** The real path of what is there. What is not there cannot be read either, so whoever reads it tells of it. */
async function withoutLinks(path: string): Promise<string> {
  const absolute = resolve(path);
  try {
    return await realpath(absolute);
  } catch (error) {
    const parent = dirname(absolute);
    if (parent === absolute) throw error;
    return join(await withoutLinks(parent), basename(absolute));
  }
}
