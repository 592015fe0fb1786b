import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { formatReference, parseReference, quoted, type Reference, repositoryName } from '../../spec/index.js';

/** The transports by which images come here (containers-transports(5)). */
export type PolicyTransport = 'docker' | 'oci' | 'oci-archive' | 'docker-archive' | 'dir';

/** An image as a policy sees it: where it comes from, and what it is called. */
export interface PolicyImage {
  readonly transport: PolicyTransport;
  /**
   * What it may be found under below its transport, the most specific first; without `''`, the transport's
   * own default.
   */
  readonly scopes: readonly string[];
  /**
   * What it is called; undefined where it has no name that is a reference. With a digest, the tag beside it
   * counts for nothing.
   */
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

/**
 * The image itself, its repository, what its repository is below, its host with the port, and then, without
 * the port, each domain that the host is below; each in its canonical spelling.
 */
function registryScopes(reference: Reference): readonly string[] {
  const canonical = { ...reference, registry: canonicalRegistry(reference.registry) };
  const domains = canonical.registry.split(':', 1).join('').split('.').slice(1);
  return [
    formatReference(canonical),
    ...withParents(repositoryName(canonical)),
    ...domains.map((_, index) => `*.${domains.slice(index).join('.')}`),
  ];
}

/** `HOST`, `HOST:PORT`, where the host may be an address. */
const REGISTRY = /^(?:[a-z0-9.-]+|\[[a-f0-9:]+\])(?::[0-9]+)?$/i;

/**
 * The one spelling of a scope of the transport `docker`: another spelling of a host (`REG.example`,
 * `reg.example:0443`, `127.1`) reaches the same registry, and must not lead past its rule. Both default ports
 * are the host without a port, since which of them is meant depends on TLS, which a name does not say.
 */
export function canonicalRegistryScope(scope: string): string {
  if (scope.startsWith('*.')) return scope.toLowerCase();
  const slash = scope.indexOf('/');
  const registry = slash === -1 ? scope : scope.slice(0, slash);
  return canonicalRegistry(registry) + scope.slice(registry.length);
}

function canonicalRegistry(registry: string): string {
  const url = `https://${registry}/`;
  if (!REGISTRY.test(registry) || !URL.canParse(url)) return registry;
  return new URL(url).host.replace(/:80$/, '');
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

/**
 * The real path of what is there. What is not there cannot be read either, so whoever reads it tells of it.
 */
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

/**
 * How what a signature says that it is for has to fit the image (containers-policy.json(5):
 * `signedIdentity`). Without one in the policy it is `matchRepoDigestOrExact`.
 *
 * `matchDigest` is landfall's own, for signatures that name no repository, as cosign's bundles do: a name
 * that is there has to be of the image's repository, and none will do.
 */
export type SignedIdentity =
  | { readonly type: 'matchExact' }
  | { readonly type: 'matchRepoDigestOrExact' }
  | { readonly type: 'matchRepository' }
  | { readonly type: 'matchDigest' }
  | { readonly type: 'exactReference'; readonly dockerReference: string }
  | { readonly type: 'exactRepository'; readonly dockerRepository: string }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string };

/**
 * Whether a signature is for the image.
 *
 * @param claimed what the signature says that it is for; undefined or empty where it does not say
 * @returns true, or in words why not: `it is for quay.io/other/app:1, not for quay.io/team/app:1`
 */
export function matchesIdentity(
  identity: SignedIdentity,
  image: PolicyImage,
  claimed: string | undefined,
): true | string {
  if (claimed === undefined || claimed === '') {
    if (identity.type === 'matchDigest') return true;
    return 'it names no repository, which only the signedIdentity "matchDigest" allows';
  }
  const signed = referenceIn(claimed);
  if (signed === undefined) return `it is for ${quoted(claimed)}, which is no reference`;
  if (identity.type === 'exactReference')
    return matchesExactly(referenceIn(identity.dockerReference), signed);
  if (identity.type === 'exactRepository') {
    return matchesRepository(referenceIn(identity.dockerRepository), signed);
  }
  const { reference, name } = image;
  if (reference === undefined) {
    return `it is for ${formatReference(signed)}, and ${name} has no name to hold that against`;
  }
  switch (identity.type) {
    case 'matchExact':
      return matchesExactly(reference, signed);
    case 'matchRepoDigestOrExact':
      return matchesRepoDigestOrExact(reference, signed);
    case 'matchRepository':
    case 'matchDigest':
      return matchesRepository(reference, signed);
    case 'remapIdentity':
      return matchesRepoDigestOrExact(remapped(reference, identity), signed);
  }
}

function matchesRepository(intended: Reference | undefined, signed: Reference): true | string {
  if (intended !== undefined && repositoryName(intended) === repositoryName(signed)) return true;
  return isNotFor(signed, intended === undefined ? undefined : repositoryName(intended));
}

/** A name without tag and digest is never exact, not even where both are the same. */
function matchesExactly(intended: Reference | undefined, signed: Reference): true | string {
  if (isNameOnly(signed)) return namesNoTag(signed);
  if (
    intended === undefined ||
    isNameOnly(intended) ||
    formatReference(intended) !== formatReference(signed)
  ) {
    return isNotFor(signed, intended === undefined ? undefined : formatReference(intended));
  }
  return true;
}

/**
 * Whoever asks by digest has said which content it is, and that the signature is for it has been verified.
 */
function matchesRepoDigestOrExact(intended: Reference | undefined, signed: Reference): true | string {
  if (isNameOnly(signed)) return namesNoTag(signed);
  const byDigest = intended?.tag === undefined && intended?.digest !== undefined;
  return byDigest ? matchesRepository(intended, signed) : matchesExactly(intended, signed);
}

/** What the image is called where it was signed; undefined where that would be no name. */
function remapped(
  reference: Reference,
  { prefix, signedPrefix }: { prefix: string; signedPrefix: string },
): Reference | undefined {
  const name = repositoryName(reference);
  if (name !== prefix && !name.startsWith(`${prefix}/`)) return reference;
  return explicitReference(signedPrefix + formatReference(reference).slice(prefix.length));
}

/** A reference in its full form, with its registry; undefined for everything else. */
function explicitReference(text: string): Reference | undefined {
  const reference = referenceIn(text);
  return reference !== undefined && formatReference(reference) === text ? reference : undefined;
}

function referenceIn(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

function isNameOnly({ tag, digest }: Reference): boolean {
  return tag === undefined && digest === undefined;
}

function namesNoTag(signed: Reference): string {
  return `it is for ${formatReference(signed)} without a tag, as cosign's are, which only "matchRepository", "exactRepository" and "matchDigest" allow`;
}

function isNotFor(signed: Reference, intended: string | undefined): string {
  const is = `it is for ${formatReference(signed)}`;
  return intended === undefined
    ? `${is}, which the policy's prefixes map to nothing`
    : `${is}, not for ${intended}`;
}
